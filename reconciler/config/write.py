"""Files that are written all together or not at all.

1. Every new content is written beside its file and brought to the disk first; then each takes its file's place in one
   step. Nobody ever reads half of a file.
2. When a step fails, the files that have changed already get their old contents back.
3. A file keeps its permissions, and a symbolic link stays one. What was changed since it was read is not overwritten.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.config.codes import diagnostic
from reconciler.diagnostics import Diagnostic

__all__ = ["Rewrite", "not_writable", "write_all"]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A file, what it held when it was read, and what it is to hold; None for one that is not there yet."""

    path: Path
    before: bytes | None
    after: bytes


def not_writable(files: Sequence[Rewrite]) -> tuple[Diagnostic, ...]:
    """What is known to stand against writing, before anything is tried."""
    return tuple(found for file in files for found in _obstacles(file))


def write_all(files: Sequence[Rewrite]) -> tuple[Diagnostic, ...]:
    """Write all files, or none of them and say which were changed meanwhile.

    Raises:
        OSError: a file can not be written; all are as they were.
    """
    with contextlib.ExitStack() as undo:
        ready: list[tuple[Rewrite, str, Path]] = []
        for file in files:
            place = Path(os.path.realpath(file.path))
            for folder in reversed([each for each in place.parents if not each.exists()]):
                folder.mkdir()
                undo.callback(_remove_folder, folder)
            temporary = _written(place, file.after)
            undo.callback(_remove, temporary)
            ready.append((file, temporary, place))
        if moved := tuple(found for file in files for found in _moved(file)):
            return moved
        for file, temporary, place in ready:
            undo.callback(_put_back, file, place)
            os.replace(temporary, place)
        undo.pop_all()
    return ()


def _obstacles(file: Rewrite) -> Iterator[Diagnostic]:
    name = file.path.as_posix()
    place = Path(os.path.realpath(file.path))
    folder = next(each for each in place.parents if each.exists())
    if file.before is not None and not os.access(place, os.W_OK):
        yield diagnostic("file-not-writable", f"Its permissions do not allow to change {name}.", file=name)
    elif not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        detail = f"{name} would be written in {folder.as_posix()}, where nothing can be written."
        yield diagnostic("file-not-writable", detail, file=name)


def _moved(file: Rewrite) -> Iterator[Diagnostic]:
    name = file.path.as_posix()
    try:
        now = file.path.read_bytes()
    except FileNotFoundError:
        now = None
    if now != file.before:
        detail = f"{name} is not what it was when it was read. Nothing was written."
        yield diagnostic("file-changed-meanwhile", detail, help="Run the command again.", file=name)


def _written(place: Path, content: bytes) -> str:
    """A file beside another one that holds the new content, with the permissions of the old one."""
    descriptor, temporary = tempfile.mkstemp(prefix=".reconciler-", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.chmod(temporary, stat.S_IMODE(place.stat().st_mode) if place.exists() else _mode_of_new_files())
    except BaseException:
        _remove(temporary)
        raise
    return temporary


def _mode_of_new_files() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _put_back(file: Rewrite, place: Path) -> None:
    """Undo a replacement, if it was made: when not all of them could be."""
    with contextlib.suppress(OSError):
        if place.read_bytes() != file.after:
            return
        if file.before is None:
            place.unlink()
        else:
            os.replace(_written(place, file.before), place)


def _remove(path: Path | str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _remove_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
