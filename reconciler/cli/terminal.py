"""Where a verb speaks: results to stdout, talk to stderr.

1. Colour is used only on a terminal, never with `NO_COLOR` set (no-color.org) or `TERM=dumb`; each stream decides for
   itself.
2. `--quiet` silences talk, never results and never the sentence that says why a command failed.
3. Any character can be printed: one that the terminal's encoding lacks becomes an escape, not a traceback.
4. Progress is one line that is written over, on a terminal alone: nothing of it stays, and none of it gets into a pipe.
5. A reader that closes the pipe (`| head`) ends the command in silence, with the exit code that a shell gives SIGPIPE.
"""

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn, TextIO

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.render.text import Paint

__all__ = ["Terminal", "let_go", "open_terminal"]


@dataclass(frozen=True, slots=True)
class Terminal:
    """The two streams of a command. `paint` is for results, `paint_talk` for talk."""

    out: TextIO
    err: TextIO
    paint: Paint
    paint_talk: Paint
    quiet: bool = False
    verbose: bool = False
    animated: bool = False

    def result(self, text: str) -> None:
        """Write what was asked for."""
        try:
            _write(self.out, text)
        except BrokenPipeError:
            let_go(self.out)
            raise typer.Exit(ExitCode.PIPE_CLOSED) from None
        except OSError as error:
            let_go(self.out)
            self.fail(f"The result can not be written: {error.strerror}.", ExitCode.FAILED)

    def say(self, text: str) -> None:
        """Tell something that helps to follow; silent with `--quiet`, and where there is nothing to tell."""
        if text and not self.quiet:
            self.complain(text)

    def detail(self, text: str) -> None:
        """Tell what only `--verbose` asks for."""
        if self.verbose:
            self.complain(text)

    def complain(self, text: str) -> None:
        """Write to stderr, whatever the options say."""
        try:
            _write(self.err, text)
        except OSError:  # nobody listens; that is no reason to stop working
            let_go(self.err)

    def progress(self, text: str) -> None:
        """Show how far the work is, in place of what was shown last; an empty text takes the line away."""
        if self.animated:
            with contextlib.suppress(OSError):
                self.err.write(f"\r\x1b[K{text}")
                self.err.flush()

    def fail(self, text: str, code: ExitCode) -> NoReturn:
        """Say why this command can not do what it was asked to, and end it."""
        self.complain(f"{self.paint_talk.bad('error')}: {text}")
        raise typer.Exit(code)

    @property
    def width(self) -> int | None:
        """How many cells a line of results has; None where nobody's screen ends it, such as in a pipe."""
        return shutil.get_terminal_size().columns if self.out.isatty() else None

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer a question."""
        return sys.stdin is not None and sys.stdin.isatty() and self.err.isatty()


def open_terminal(environment: Mapping[str, str], *, quiet: bool = False, verbose: bool = False) -> Terminal:
    """The terminal of this process."""
    out, err = _stream(sys.stdout), _stream(sys.stderr)
    return Terminal(
        out=out,
        err=err,
        paint=Paint(coloured=_shows_colour(out, environment)),
        paint_talk=Paint(coloured=_shows_colour(err, environment)),
        quiet=quiet,
        verbose=verbose and not quiet,
        animated=err.isatty() and not quiet and environment.get("TERM") != "dumb",
    )


def let_go(stream: TextIO) -> None:
    """Send the rest nowhere: the interpreter flushes once more at its end, and would complain then."""
    with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def _write(stream: TextIO, text: str) -> None:
    stream.write(text if text.endswith("\n") else f"{text}\n")
    stream.flush()


def _stream(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed by whoever started us (`>&-`)
        return io.StringIO()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _shows_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
