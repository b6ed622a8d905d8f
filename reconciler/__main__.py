"""The program's first lines: `reconciler`, and `python -m reconciler`.

`--version` is answered before anything else is imported, so that it costs a bare interpreter.
"""

import gc
import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line that the process was started with; the exit code."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from reconciler import __version__

        sys.stdout.write(f"reconciler {__version__}\n")
        return 0
    from reconciler.cli.main import run

    code = run(arguments)
    # The interpreter looks for cycles once more before it ends; in everything that was read, that takes half a second.
    gc.freeze()
    return code


if __name__ == "__main__":
    raise SystemExit(main())
