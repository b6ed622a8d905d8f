"""`decode`: what a payload config reads out of a payload."""

import json
import math
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.exit_code import ExitCode
from reconciler.cli.options import OutputFormat, Quiet, TextOrJson, Verbose
from reconciler.cli.render.diagnostics import diagnostics_as_text
from reconciler.cli.render.text import columns, visible
from reconciler.cli.wiring import this_terminal
from reconciler.diagnostics import Diagnostic, Severity, Span

if TYPE_CHECKING:
    from reconciler.grammar.payload import Decoded, Value

__all__ = ["decode"]


def decode(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A payload config, such as “temperature::int:16”.")],
    payload: Annotated[str, typer.Argument(metavar="HEX", help="The payload in hex, such as 00f3.")],
    format: TextOrJson = OutputFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the fields that a payload config reads out of a payload.

    A field that does not fit the payload is null, as it would be in a delivery.
    """
    from reconciler.grammar.payload import PayloadConfig, problems

    terminal = this_terminal(quiet=quiet, verbose=verbose)
    data = _bytes_of(payload)
    mistakes = [
        _config_mistake(error.code, config, error.offset, error.length, error.reason) for error in problems(config)
    ]
    if data is None:
        mistakes.append(_not_hex(payload))
    if mistakes or data is None:
        terminal.complain(diagnostics_as_text(mistakes, paint=terminal.paint_talk))
        raise typer.Exit(ExitCode.PROBLEMS)

    decoded = PayloadConfig.parse(config).decode(data)
    if decoded.missing:
        terminal.say(diagnostics_as_text([_too_short(decoded, data)], paint=terminal.paint_talk))
    values = {name: _json_value(value) for name, value in decoded.values.items()}
    if format is OutputFormat.JSON:
        terminal.result(json.dumps(values, ensure_ascii=False))
    else:
        rows = [(name, visible(json.dumps(value, ensure_ascii=False))) for name, value in values.items()]
        terminal.result("\n".join(columns(rows)))


def _bytes_of(payload: str) -> bytes | None:
    """The bytes; None when the text is not two hex digits for each."""
    try:
        data = bytes.fromhex(payload)
    except ValueError:
        return None
    return data if len(data) * 2 == len(payload) else None  # fromhex skips blanks


def _json_value(value: "Value") -> "Value":
    """JSON has no word for what some bits of a float mean; a delivery would carry null as well."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _config_mistake(code: str, config: str, offset: int, length: int, reason: str) -> Diagnostic:
    from reconciler.model.finding import SUMMARIES

    return Diagnostic(code, SUMMARIES[code], reason, span=_argument("CONFIG", config, offset, length))


def _not_hex(payload: str) -> Diagnostic:
    digits = set("0123456789abcdefABCDEF")
    wrong = next((place for place, character in enumerate(payload) if character not in digits), None)
    if wrong is None:
        detail = f"A byte is two hex digits, and {len(payload)} digits are an odd number."
        span = _argument("HEX", payload, len(payload) - 1, 1)
    else:
        detail = "A payload is written in hex digits alone, without blanks and without 0x."
        span = _argument("HEX", payload, wrong, 1)
    return Diagnostic("payload-not-hex", "The payload is not hex", detail, span=span)


def _too_short(decoded: "Decoded", data: bytes) -> Diagnostic:
    return Diagnostic(
        "payload-too-short",
        "The payload is too short for its config",
        f"It has {len(data)} bytes, and {', '.join(decoded.missing)} would need more. A delivery carries null there, "
        "and a warning.",
        severity=Severity.WARNING,
    )


def _argument(name: str, text: str, offset: int, length: int) -> Span:
    """A place in an argument of the command line."""
    return Span(name, 1, offset + 1, offset + 1 + length, text)
