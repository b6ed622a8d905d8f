"""How a command ends, for scripts and pipelines."""

from enum import IntEnum

__all__ = ["ExitCode"]


class ExitCode(IntEnum):
    """The exit codes of every verb; 128 + n is the shell's way to say that signal n ended it."""

    FINE = 0
    PROBLEMS = 1
    USAGE = 2
    PENDING = 3
    FAILED = 4
    BUG = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130  # SIGINT
    PIPE_CLOSED = 141  # SIGPIPE: whoever read our output (`| head`) had enough
