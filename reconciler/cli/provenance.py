"""Who publishes, and from which commit: for the history, never for a decision.

1. Who: the name and address that git would sign a commit with, else the user of the operating system.
2. From what: the commit of the project's directory, with `-dirty` behind it when a file there differs from it. Empty
   where there is no git, or no commit yet.
"""

import getpass
import subprocess
from pathlib import Path

__all__ = ["commit_of", "who"]

# git answers in milliseconds; on a network file system that hangs, history is not worth waiting for.
_SECONDS = 10


def who(directory: Path) -> str:
    """Who works in this directory."""
    name, address = (_git(directory, "config", "--get", field) for field in ("user.name", "user.email"))
    if name and address:
        return f"{name} <{address}>"
    return name or address or _operating_system_user()


def commit_of(directory: Path) -> str:
    """The commit of what lies in this directory; empty when unknown."""
    commit = _git(directory, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return ""
    changed = _git(directory, "status", "--porcelain", "--", ".")
    return commit if changed == "" else f"{commit}-dirty"


def _git(directory: Path, *arguments: str) -> str | None:
    """What git prints, None when it fails or is not there."""
    try:
        ended = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            timeout=_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.decode("utf-8", "replace").strip()


def _operating_system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name; OSError from Python 3.13 on
        return "unknown"
