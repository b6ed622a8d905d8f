"""The program's first lines: `reconciler`, and `python -m reconciler`.

`--version` is answered before anything else is imported, so that it costs a bare interpreter.
"""

import gc
import os
import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line that the process was started with; the exit code."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from reconciler import __version__

        sys.stdout.write(f"reconciler {__version__}\n")
        return 0
    # A tenth of a short command: imports make what stays, and the collector's defaults look through it again and again;
    # pydantic would ask every package of the environment whether it has a plugin for it.
    gc.set_threshold(50_000, 20, 50)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from reconciler.cli.main import run

    code = run(arguments)
    # The interpreter looks for cycles once more before it ends; in everything that was read, that takes half a second.
    gc.freeze()
    return code


if __name__ == "__main__":
    raise SystemExit(main())
