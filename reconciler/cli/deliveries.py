"""`deliveries list|show|tail|replay`: what the engine sent, what failed, and sending it again."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import (
    CaFile,
    Directory,
    EngineUrl,
    OptionalEnvironment,
    OutputFormat,
    Quiet,
    TextOrJson,
    Verbose,
    here,
)
from reconciler.cli.wiring import this_terminal

__all__ = ["app"]

app = typer.Typer(help="See what the engine sent and what failed, and send it again.", no_args_is_help=True)


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    JOINED = "joined"
    WAITING = "waiting"


Id = Annotated[str, typer.Argument(metavar="ID", help="A delivery's id, as `deliveries list` shows it.")]
OfCallback = Annotated[
    str | None, typer.Option("--callback", metavar="KEY", help="Of this callback, such as tracker/telemetry.")
]
OfDevice = Annotated[str | None, typer.Option("--device", metavar="HEX", help="Of this device, such as 1C178.")]
OfEndpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint", metavar="URL", help="To this endpoint, such as https://ingest.example.com; smtp for mail."
    ),
]


@app.command("list")
def list_(
    state: Annotated[State | None, typer.Option("--state", help="In this state.")] = None,
    callback: OfCallback = None,
    device: OfDevice = None,
    endpoint: OfEndpoint = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 50,
    before: Annotated[str | None, typer.Option("--before", metavar="ID", help="Continue behind this delivery.")] = None,
    environment: OptionalEnvironment = None,
    engine: EngineUrl = None,
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List deliveries, newest message first."""
    from reconciler.cli.engine_access import get
    from reconciler.cli.project import engine_of
    from reconciler.cli.render.engine_answers import deliveries_as_text

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    access = engine_of(terminal, directory, environment=environment, engine=engine)
    page = get(
        access,
        "deliveries",
        state=state,
        callback=callback,
        device=device,
        endpoint=endpoint,
        limit=limit,
        before=before,
    )
    if format is OutputFormat.JSON:
        terminal.result(json.dumps(page, indent=2, ensure_ascii=False))
        return
    terminal.result(deliveries_as_text(page["deliveries"], paint=terminal.paint))
    if page["next"] is not None:
        terminal.say(f"There are more:\n\n    reconciler deliveries list --before {page['next']}\n")


@app.command("show")
def show(
    delivery_id: Id,
    environment: OptionalEnvironment = None,
    engine: EngineUrl = None,
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show one delivery: what is sent, with secrets hidden, and every attempt."""
    from reconciler.cli.engine_access import get
    from reconciler.cli.project import engine_of
    from reconciler.cli.render.engine_answers import delivery_as_text

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    access = engine_of(terminal, directory, environment=environment, engine=engine)
    delivery = get(access, "deliveries", delivery_id)
    if format is OutputFormat.JSON:
        terminal.result(json.dumps(delivery, indent=2, ensure_ascii=False))
    else:
        terminal.result(delivery_as_text(delivery, paint=terminal.paint))


@app.command("tail")
def tail(
    environment: OptionalEnvironment = None,
    engine: EngineUrl = None,
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Follow attempts as they end, one line each, until interrupted; `--format json` writes NDJSON."""
    from reconciler.cli.engine_access import follow
    from reconciler.cli.project import engine_of
    from reconciler.cli.render.engine_answers import attempt_line

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    access = engine_of(terminal, directory, environment=environment, engine=engine)
    for told in follow(access, opened=lambda url: terminal.say(f"Following {url}; Ctrl-C ends it.")):
        if format is OutputFormat.JSON:
            terminal.result(json.dumps(told, ensure_ascii=False))
        elif "lost" in told:
            terminal.complain(f"{told['lost']} attempts are missing here: this terminal was too slow for them.")
        else:
            terminal.result(attempt_line(told, paint=terminal.paint))
    terminal.say("The engine ended the stream: it stops.")


@app.command("replay")
def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Deliveries, as `deliveries list` shows them.")
    ] = None,
    undelivered: Annotated[
        bool, typer.Option("--undelivered", help="All that were given up, as narrowed by the options below.")
    ] = False,
    callback: OfCallback = None,
    device: OfDevice = None,
    endpoint: OfEndpoint = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = 1000,
    environment: OptionalEnvironment = None,
    engine: EngineUrl = None,
    ca_file: CaFile = None,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Send finished deliveries again, the same bytes, at once.

    Receivers see them twice when the first time did arrive. A line of a batch brings its whole batch.
    """
    from reconciler.cli.engine_access import post
    from reconciler.cli.project import engine_of
    from reconciler.cli.render.text import plural

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    narrowed = any(each is not None for each in (callback, device, endpoint))
    if bool(ids) == undelivered or (ids and narrowed):
        terminal.fail("Name the deliveries to replay, or say --undelivered for those given up.", ExitCode.USAGE)
    wanted: dict[str, Any] = {"ids": ids}
    if undelivered:
        chosen = {"callback": callback, "device": device, "endpoint": endpoint}
        wanted = {"state": "undelivered", "limit": limit} | {name: v for name, v in chosen.items() if v is not None}
    access = engine_of(terminal, directory, environment=environment, engine=engine)
    told = post(access, "deliveries", "replay", body=wanted)
    replayed, unknown = told["replayed"], told.get("unknown", [])
    if format is OutputFormat.JSON:
        terminal.result(json.dumps({"replayed": replayed, **({"unknown": unknown} if unknown else {})}))
    else:
        terminal.result(f"{plural(replayed, 'delivery', 'deliveries')} to send again.")
    if unknown:
        terminal.fail(
            f"This engine has no delivery of {'this id' if len(unknown) == 1 else 'these ids'}: {', '.join(unknown)}.",
            ExitCode.FAILED,
        )
