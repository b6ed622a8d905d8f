"""`demo`: the two journeys in a few seconds, on this machine alone."""

import typer

from reconciler.cli.options import Quiet, Verbose
from reconciler.cli.wiring import this_terminal

__all__ = ["demo"]


def demo(quiet: Quiet = False, verbose: Verbose = False) -> None:
    """See it work: engine, receiver, project, messages.

    Everything runs in a temporary folder and on loopback; nothing is left behind.
    """
    from reconciler.cli.demonstration import demonstrate
    from reconciler.cli.wiring import run

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    raise typer.Exit(run(demonstrate(terminal)))
