"""All tests and checks, in one command: `python -m tests`.

The quick checks run first and all of them run; the test suite comes last, so that the last line is pytest's own. What
stands behind the command goes to pytest:

    python -m tests -k plan
"""

import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent  # the tools of the environment that runs us, activated or not
CHECKS = {
    "format": ("ruff", "format", "--check", "."),
    "lint": ("ruff", "check", "."),
    "types": ("mypy",),
    "imports": ("lint-imports",),
}


def main(arguments: list[str]) -> int:
    """Run everything; 0 when all of it passed."""
    failed = [name for name, command in CHECKS.items() if not passes(name, command)]
    print(flush=True)
    tests = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False)
    if failed:
        print(f"\nThe tests have ended as above; before them failed: {', '.join(failed)}.")
    return 1 if failed else tests.returncode


def passes(name: str, command: tuple[str, ...]) -> bool:
    """Run one check; its output is shown only when it fails."""
    program, *options = command
    ended = subprocess.run(
        [PROGRAMS / program, *options], cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    passed = ended.returncode == 0
    print(f"{'passed' if passed else 'FAILED'}  {name:8} {shlex.join(command)}", flush=True)
    if not passed:
        sys.stdout.write(ended.stdout.decode("utf-8", "replace"))
        sys.stdout.flush()
    return passed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
