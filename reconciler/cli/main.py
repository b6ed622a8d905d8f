"""The command line as a whole: which verbs there are, and how a run that did not go well ends.

1. Every verb is a function of its own module; its docstring is its help.
2. A broken promise (`reconciler.errors`) becomes one sentence and an exit code here, unless the verb had more to say.
   Anything else that escapes is a bug: a traceback, a sentence, exit code 70.
"""

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from reconciler import __version__
from reconciler.cli import (
    apply,
    decode,
    deliveries,
    demo,
    diff,
    drift,
    engine,
    explain,
    fmt,
    history,
    import_,
    init,
    plan,
    preview_request,
    rollback,
    schema,
    test,
    validate,
)
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.render.failures import exit_code_of, failure_as_text
from reconciler.cli.terminal import let_go
from reconciler.cli.wiring import this_terminal
from reconciler.errors import ReconcilerError

__all__ = ["app", "run"]

app = typer.Typer(
    name="reconciler",
    help="IoT callbacks as code: plan and apply YAML, and run the engine that delivers what was applied.",
    epilog="Exit codes: 0 fine, 1 problems in the files, failed tests or a refused plan, 2 usage, "
    "3 changes pending, 4 target or store failed, 70 bug, 130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("validate")(validate.validate)
app.command("fmt")(fmt.fmt)
app.command("test")(test.run_tests)
app.command("render")(preview_request.render)
app.command("decode")(decode.decode)
app.command("schema")(schema.schema)
app.command("plan")(plan.plan)
app.command("apply")(apply.apply)
app.command("drift")(drift.drift)
app.command("diff")(diff.diff)
app.command("import")(import_.import_)
app.command("history")(history.history)
app.command("rollback")(rollback.rollback)
app.add_typer(engine.app, name="engine")
app.add_typer(deliveries.app, name="deliveries")
app.command("explain")(explain.explain)
app.command("demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reconciler {__version__}")
        raise typer.Exit


@app.callback()
def _reconciler(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself; each verb has its own."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line and say how it ended."""
    try:
        app(list(arguments), prog_name="reconciler")
        code: int = ExitCode.FINE
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else ExitCode.BUG
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except ReconcilerError as error:
        terminal = this_terminal(quiet=False, verbose=False)
        terminal.complain(failure_as_text(error, paint=terminal.paint_talk))
        code = exit_code_of(error)
    except OSError as error:
        # A verb has better words for what it expects; this is a full disk, or files that ran out, anywhere else.
        let_go(sys.stdout)
        where = f" ({error.filename})" if error.filename else ""
        sys.stderr.write(f"error: The system refused: {error.strerror or error}{where}.\n")
        code = ExitCode.FAILED
    except Exception:
        traceback.print_exc()
        sys.stderr.write(
            f"\nThis is a bug in reconciler {__version__}, not in what you did. "
            "Please report it with the lines above.\n"
        )
        code = ExitCode.BUG
    return code
