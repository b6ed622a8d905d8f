"""A broken promise → the lines that a person reads, and the exit code that a script reads."""

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.render.text import Paint, visible
from reconciler.errors import PlanStale, ReconcilerError, TargetRejected

__all__ = ["exit_code_of", "failure_as_text"]


def failure_as_text(error: ReconcilerError, *, paint: Paint) -> str:
    """The error's own words, and each problem that a target named, on a line of its own."""
    first, *rest = str(error).splitlines() or [type(error).__name__]
    problems = error.problems if isinstance(error, TargetRejected) else ()
    lines = [f"{paint.bad('error')}: {visible(first)}", *(visible(line) for line in rest)]
    lines += [f"    {visible(problem)}" for problem in problems]
    return "\n".join(lines) + "\n"


def exit_code_of(error: ReconcilerError) -> ExitCode:
    """A stale plan is a plan to make again; everything else failed at the target or the store."""
    return ExitCode.PROBLEMS if isinstance(error, PlanStale) else ExitCode.FAILED
