"""`engine serve|token|check|backup`: run an engine, make the tokens that open its doors, look after its store.

1. An engine on loopback that has no token yet makes one and shows it once. Beyond loopback it refuses to listen unless
   `--token-file` names a file with tokens: whoever opens a door to a network has decided who may enter.
2. Deliveries go to public addresses only, unless `--allow-egress` says more (`runtime.channels.egress`).
3. Mail goes to the one server that `--smtp` names; it may be at a private address without being told so in rule 2.
4. What keeps an engine from starting is one sentence: exit code 2 for what was asked, 4 for what the machine refuses.
"""

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.data_directory import make_data_directory
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import Directory, LogFormat, OutputFormat, Quiet, TextOrJson, Verbose, here
from reconciler.cli.render.diagnostics import diagnostics_as_text
from reconciler.cli.wiring import this_terminal
from reconciler.diagnostics import Diagnostic

__all__ = ["app"]

app = typer.Typer(help="Run an engine, make tokens for it, look after its store.", no_args_is_help=True)

_DEFAULT_DATA = Path(".reconciler/data")

DataDirectory = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR",
        envvar="RECONCILER_DATA",
        help="Where the engine keeps messages, deliveries, revisions.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar="RECONCILER_TOKEN_FILE",
        help="Hashes of the tokens that open the doors.  [default: “tokens” in the data directory]",
    ),
]


@app.command("serve")
def serve(
    listen: Annotated[
        str,
        typer.Option(
            "--listen", metavar="HOST:PORT", envvar="RECONCILER_LISTEN", help="Where to listen; port 0 is any."
        ),
    ] = "127.0.0.1:8460",
    data: DataDirectory = _DEFAULT_DATA,
    token_file: TokenFile = None,
    allow_egress: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-egress",
            metavar="CIDR|NAME|private",
            envvar="RECONCILER_ALLOW_EGRESS",
            help="Deliver to these addresses too; “private” is loopback and private networks, a NAME such as "
            "*.internal opens them for this name alone. May be repeated.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file",
            metavar="FILE",
            envvar="RECONCILER_CA_FILE",
            help="Certificates of further authorities to trust, in PEM.",
        ),
    ] = None,
    smtp: Annotated[
        str | None,
        typer.Option(
            "--smtp",
            metavar="URL",
            envvar="RECONCILER_SMTP",
            help="Mail server: smtp+starttls://, smtps:// or smtp://, then LOGIN@HOST:PORT.",
        ),
    ] = None,
    mail_from: Annotated[
        str | None,
        typer.Option("--mail-from", metavar="ADDRESS", envvar="RECONCILER_MAIL_FROM", help="Who mails come from."),
    ] = None,
    secrets: Annotated[
        list[str] | None,
        typer.Option(
            "--secrets",
            metavar="SOURCE",
            help="Where secrets come from: env, dir:PATH, file:PATH or command:[…]. May be repeated; the first that "
            "has one wins. In RECONCILER_SECRETS one a line.  [default: env]",
        ),
    ] = None,
    keep_days: Annotated[
        str,
        typer.Option(
            "--keep-days",
            metavar="DAYS|forever",
            envvar="RECONCILER_KEEP_DAYS",
            help="Remove what has ended when it is older. What is pending always stays.",
        ),
    ] = "30",
    keep_size: Annotated[
        str | None,
        typer.Option(
            "--keep-size",
            metavar="SIZE",
            envvar="RECONCILER_KEEP_SIZE",
            help="Remove the oldest of what has ended while the store is larger, such as 500MB or 2GB.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert",
            metavar="FILE",
            envvar="RECONCILER_TLS_CERT",
            help="Certificate of the doors with its chain, in PEM; read again when it changes.",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option("--tls-key", metavar="FILE", envvar="RECONCILER_TLS_KEY", help="Its key, without a password."),
    ] = None,
    max_pending: Annotated[
        int | None,
        typer.Option(
            "--max-pending",
            metavar="N",
            min=1,
            envvar="RECONCILER_MAX_PENDING",
            help="Refuse messages, with 503, while so many deliveries wait.  [default: 2000000]",
        ),
    ] = None,
    min_free: Annotated[
        str | None,
        typer.Option(
            "--min-free",
            metavar="SIZE",
            envvar="RECONCILER_MIN_FREE",
            help="Refuse messages, with 503, while the disk of the data has less room, such as 1GiB.  "
            "[default: 256MiB, or 5 % of a small disk]",
        ),
    ] = None,
    max_connections: Annotated[
        int | None,
        typer.Option(
            "--max-connections",
            metavar="N",
            min=1,
            max=800,
            envvar="RECONCILER_MAX_CONNECTIONS",
            help="Refuse connections, with 503, of an address that has so many of the 800; behind a reverse proxy all "
            "clients are one address.  [default: 400]",
        ),
    ] = None,
    log_format: Annotated[
        LogFormat,
        typer.Option("--log-format", envvar="RECONCILER_LOG_FORMAT", help="How the log on stderr is written."),
    ] = LogFormat.TEXT,
    audit_log: Annotated[
        Path | None,
        typer.Option(
            "--audit-log",
            metavar="FILE",
            envvar="RECONCILER_AUDIT_LOG",
            help="Who changed what, one JSON object a line.  [default: in the log]",
        ),
    ] = None,
    traces: Annotated[
        bool | None,
        typer.Option(
            "--traces/--no-traces",
            envvar="RECONCILER_TRACES",
            help="Send traces to an OpenTelemetry collector, as OTEL_… variables say; needs the extra “otel”.  "
            "[default: when OTEL_EXPORTER_OTLP_ENDPOINT is set]",
        ),
    ] = None,
    directory: Directory = here,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run an engine until it is told to stop (SIGTERM, Ctrl-C).

    A secret of a callback, ${secret.NAME}, is read when a request is sent: from the environment variable
    RECONCILER_SECRET_NAME, from the file NAME of a directory, from a file of NAME=VALUE lines or a JSON object, or from
    what a program prints, such as command:["vault", "kv", "get", "-field=value", "secret/{name}"]; that is read again
    every five minutes. The password of a login to the mail server comes from RECONCILER_SMTP_PASSWORD.

    Tokens and certificate are read again within a second of a change, and on SIGHUP.
    """
    from reconciler.cli.keeping_options import keeping
    from reconciler.cli.mail_options import mail_settings
    from reconciler.cli.secret_options import secret_sources
    from reconciler.cli.serving import (
        DoorSettings,
        egress_policy,
        free_bytes,
        listen_address,
        serve_engine,
        server_certificate,
    )
    from reconciler.cli.wiring import EngineSettings, secret, variable
    from reconciler.runtime.api.connection import Bounds
    from reconciler.runtime.api.room import RoomBounds

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    address = listen_address(listen)
    egress = egress_policy(allow_egress or ())
    mail, mail_mistakes = mail_settings(smtp or None, mail_from or None, variable=variable)
    source, secret_mistakes = secret_sources(secrets or (), environment=secret, variable=variable, directory=directory)
    kept = keeping(keep_days, keep_size or None)
    free = free_bytes(min_free) if min_free else None
    given = (address, egress, kept, free)
    mistakes = [each for each in given if isinstance(each, Diagnostic)] + [*mail_mistakes, *secret_mistakes]
    if (
        isinstance(address, Diagnostic)
        or isinstance(egress, Diagnostic)
        or isinstance(kept, Diagnostic)
        or isinstance(free, Diagnostic)
        or mistakes
    ):
        terminal.complain(diagnostics_as_text(mistakes, paint=terminal.paint_talk))
        raise typer.Exit(ExitCode.USAGE)
    certificate = server_certificate(tls_cert, tls_key)
    if isinstance(certificate, Diagnostic):
        terminal.complain(diagnostics_as_text([certificate], paint=terminal.paint_talk))
        raise typer.Exit(ExitCode.USAGE if certificate.code == "tls-incomplete" else ExitCode.FAILED)
    settings = EngineSettings(
        data=directory / data, egress=egress, authorities=ca_file, mail=mail, secrets=source, keeping=kept
    )
    room = RoomBounds(free_bytes=free) if max_pending is None else RoomBounds(pending=max_pending, free_bytes=free)
    doors = DoorSettings(
        address=address,
        token_file=token_file,
        certificate=certificate,
        room=room,
        bounds=Bounds() if max_connections is None else Bounds(of_one_address=max_connections),
        log_format=log_format,
        audit_log=audit_log,
        traces=traces,
    )
    raise typer.Exit(serve_engine(terminal, settings, doors))


@app.command("token")
def token(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Whose token it is, for logs and refusals.")],
    scope: Annotated[
        list[str], typer.Option("--scope", metavar="SCOPE[,SCOPE]", help="What it may do: read, apply, ingest.")
    ],
    data: DataDirectory = _DEFAULT_DATA,
    token_file: TokenFile = None,
    directory: Directory = here,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a token: print it this once, and keep its hash in the token file.

    A running engine reads the file within a second.
    """
    from reconciler.cli.token_file import add_token, default_token_file
    from reconciler.runtime.api.tokens import Scope

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    wanted = [word.strip() for text in scope for word in text.split(",")]
    if not set(wanted) <= set(Scope):
        terminal.fail(f"--scope takes one or more of {', '.join(Scope)}, with commas between.", ExitCode.USAGE)
    path = token_file or default_token_file(directory / data)
    try:
        if token_file is None:
            make_data_directory(directory / data)
        made = add_token(path, name=name, scopes=[Scope(word) for word in wanted])
    except OSError as error:
        terminal.fail(f"The token file {path} can not be written: {error.strerror}.", ExitCode.FAILED)
    if isinstance(made, Diagnostic):
        terminal.complain(diagnostics_as_text([made], paint=terminal.paint_talk))
        raise typer.Exit(ExitCode.PROBLEMS)
    terminal.say(f"{path} holds its hash now. The token itself is shown this once:")
    terminal.result(made.clear)


@app.command("check")
def check(
    data: DataDirectory = _DEFAULT_DATA,
    directory: Directory = here,
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check that a store is sound: the file, and what must be true of all that is in it.

    It only reads, and may run beside an engine. It takes some ten seconds for each gigabyte.
    """
    from reconciler.cli.render.diagnostics import diagnostics_as_json
    from reconciler.cli.store_care import findings, summary
    from reconciler.cli.wiring import check_store

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    path = directory / data
    found = check_store(path)
    mistakes = findings(found, path)
    if format is OutputFormat.JSON:
        terminal.result(diagnostics_as_json(mistakes))
    elif mistakes:
        terminal.complain(diagnostics_as_text(mistakes, paint=terminal.paint_talk))
    else:
        terminal.result(summary(found, path))
    raise typer.Exit(ExitCode.FINE if found.is_sound else ExitCode.PROBLEMS)


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; it must not exist yet.")],
    data: DataDirectory = _DEFAULT_DATA,
    directory: Directory = here,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Copy a store into one file, also while an engine serves from it.

    All that was acknowledged before the copy began is in it. To restore, put it into an empty data directory as
    “store.sqlite3”, together with “fingerprint.key” and “tokens”, which stand beside the store and are not in the copy.
    """
    from reconciler.cli.store_care import kept_apart
    from reconciler.cli.wiring import backup_store

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    path = directory / data
    size = backup_store(path, directory / file)
    terminal.say(kept_apart(path))
    terminal.result(f"{directory / file}: {size:,} bytes.")
