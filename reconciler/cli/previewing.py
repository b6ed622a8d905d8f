"""What a callback would send for a message: the files as an environment settles them, and the engine's own router."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, assert_never, cast

import typer

from reconciler.cli import wiring
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.project import refuse, show_findings
from reconciler.cli.render.text import visible
from reconciler.cli.terminal import Terminal
from reconciler.codec.message import read_message
from reconciler.config.load import load
from reconciler.config.project import load_project
from reconciler.diagnostics import Diagnostic, Span, has_errors
from reconciler.model.delivery import BatchLine, HttpRequest, Mail, Request
from reconciler.model.message import Message, MessageType, Refusal
from reconciler.model.resource import Callback, Key
from reconciler.preview.firing import batch_of_one, fired_by
from reconciler.runtime.clock import utc_now
from reconciler.runtime.request_form import request_json
from reconciler.runtime.routing import render_requests

__all__ = ["Previewed", "preview"]


@dataclass(frozen=True, slots=True)
class Previewed:
    """What a callback makes of a message.

    Attributes:
        request: in the form in which the engine's doors show one, but for two kinds. A line of a batch has `batch`, the
            request that a batch of this one line makes; a mail stands for those to all its recipients, and has no
            `recipient`.
        warnings: what its deliveries would carry.
        enabled: whether the engine would send it.
    """

    request: Mapping[str, Any]
    warnings: tuple[str, ...]
    enabled: bool


def preview(terminal: Terminal, directory: Path, *, callback: str, message: str, environment: str | None) -> Previewed:
    """Render what one callback sends; what is wrong with callback or message is shown and ends the verb."""
    found = _callback(terminal, directory, callback, environment)
    given = _message(found, _text(terminal, message))
    if isinstance(given, Diagnostic):
        refuse(terminal, given)
    requests, warnings = render_requests(found, given)
    # Several are the mails to several recipients, which differ in nothing else.
    return Previewed(_shown(requests[0]), warnings, found.enabled)


def _callback(terminal: Terminal, directory: Path, name: str, environment: str | None) -> Callback:
    """The callback as the environment holds it, though something else may be wrong with the files."""
    if environment is None:
        environment = next(iter(load_project(directory).environments), None)
    loaded = load(directory, environ=wiring.environment(), environment=environment)
    key = Key.parse(name)
    callback = loaded.callbacks.get(key)
    if callback is None and has_errors(loaded.diagnostics):
        show_findings(terminal, loaded.diagnostics, files=len(loaded.files))
        raise typer.Exit(ExitCode.PROBLEMS)
    if callback is None:
        refuse(terminal, _unknown_callback(key, [str(each) for each in loaded.callbacks]))
    terminal.detail(f"As {environment or 'the project'} holds it.")
    return callback


def _unknown_callback(key: Key, known: Sequence[str]) -> Diagnostic:
    near = get_close_matches(str(key), known, n=1)
    return Diagnostic(
        "unknown-callback",
        "The project declares no such callback",
        f"There is no {visible(str(key))}; a callback is named by its device type and its own name.",
        f"Did you mean {near[0]}?" if near else f"The project declares: {', '.join(sorted(known)) or 'none'}.",
    )


def _text(terminal: Terminal, message: str) -> str:
    """The JSON that was given, or that stands in the file that was named."""
    if message.lstrip().startswith("{"):
        return message
    try:
        return sys.stdin.read() if message == "-" else Path(message).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        terminal.fail(f"The message can not be read from {visible(message)}: {reason}.", ExitCode.USAGE)


def _message(callback: Callback, text: str) -> Message | Diagnostic:
    """The message, or why the engine would refuse it."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1] if text.strip() else ""
        span = Span("MESSAGE", error.lineno, error.colno, error.colno + 1, line)
        return Diagnostic("invalid-json", "The message is not JSON", f"{error.msg.removesuffix(' at')}.", span=span)
    device_type = callback.key.device_type
    if isinstance(value, dict) and value.setdefault("deviceType", device_type) != device_type:
        return Diagnostic(
            "message-of-other-device-type",
            "The message is of another device type",
            f"{callback.key} fires for devices of type {device_type}; the message names another one.",
            "Leave deviceType out, or render a callback of that device type.",
        )
    event = fired_by(callback.type)
    if isinstance(value, dict):
        if value.get("type") is None:
            value["type"] = event
        if value["type"] != event and value["type"] in list(MessageType):
            return Diagnostic(
                "message-of-other-type",
                "The message is of another type",
                f"{callback.key} fires on {callback.type}; the message is of type {value['type']}.",
                f"Leave type out, or render a callback that fires on messages of type {value['type']}.",
            )
    message = read_message(value, received_at=utc_now())
    if isinstance(message, Refusal):
        return Diagnostic(message.code, "The engine would refuse this message", message.reason)
    return message


def _shown(request: Request) -> Mapping[str, Any]:
    shown = cast("Mapping[str, Any]", request_json(request))
    match request:
        case HttpRequest():
            return shown
        case BatchLine():
            return {**shown, "batch": request_json(batch_of_one(request))}
        case Mail():
            return {name: value for name, value in shown.items() if name != "recipient"}
        case _:
            assert_never(request)
