"""What a test of a callback expects, compared with what would be sent. Pure.

1. What is mentioned is compared, the rest may be anything. Everything that differs is told, never the first only.
2. Secrets are compared as they are written: `${secret.NAME}`.
3. A callback has to fire, unless `fires: false` says that it must not; then nothing else can be expected.
4. Headers are found whatever the case of their names (RFC 9110 section 5.1); their values are compared as texts.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from reconciler.grammar.escape import Context
from reconciler.grammar.payload import Value
from reconciler.grammar.template import Rendered
from reconciler.model.definition import JsonValue
from reconciler.model.delivery import BatchLine, HttpRequest, Mail
from reconciler.preview.difference import Difference, as_json, differences, same
from reconciler.preview.firing import Firing, batch_of_one
from reconciler.runtime.request_form import request_json

__all__ = ["FIELDS", "Mismatch", "MismatchCode", "Verdict", "verdict"]

MismatchCode: TypeAlias = Literal[
    "expectation-not-met",
    "expectation-not-of-channel",
    "expectation-contradictory",
    "callback-did-not-fire",
    "callback-fired",
]

FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "url": frozenset({"method", "url", "headers", "contentType", "body", "json"}),
    "batch-url": frozenset({"method", "url", "headers", "contentType", "body", "line"}),
    "email": frozenset({"recipient", "recipients", "subject", "message"}),
}
"""What can be expected of a callback, by its channel; `fires` and `custom` of all of them."""

_OF_ALL: Final = frozenset({"fires", "custom"})
_Steps: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that is not as expected.

    Attributes:
        path: the way to it in the expectation; of what was not expected, to where it would stand.
        says: a sentence.
        expected: the text that was expected; None where none was.
        found: the text that would be sent; None where there is none.
    """

    code: MismatchCode
    path: _Steps
    says: str
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a test; it passed when there are no mismatches. `warnings` are those of the deliveries."""

    mismatches: tuple[Mismatch, ...]
    warnings: tuple[str, ...] = ()


def verdict(expected: Mapping[str, JsonValue], firing: Firing, *, channel: str) -> Verdict:
    """Compare what is expected of a callback of this channel with what it does.

    `expected` has the shape of `config.document.Expectation`, and only the keys that were written.
    """
    return Verdict(tuple(_mismatches(expected, firing, channel)), firing.warnings)


def _mismatches(expected: Mapping[str, JsonValue], firing: Firing, channel: str) -> Iterator[Mismatch]:
    if expected.get("fires") is False:
        for name in expected:
            if name != "fires":
                says = f"{name} cannot be expected of a callback that must not fire."
                yield Mismatch("expectation-contradictory", (name,), says)
        if firing.requests:
            yield Mismatch("callback-fired", ("fires",), f"The message fires it. {firing.reason}")
        return
    fitting = {}
    for name, value in expected.items():
        if name in FIELDS[channel] | _OF_ALL:
            fitting[name] = value
        else:
            names = ", ".join(sorted(FIELDS[channel]))
            says = f"Of a callback of channel {channel}, {name} cannot be expected, but {names}."
            yield Mismatch("expectation-not-of-channel", (name,), says)
    if not firing.requests:
        yield Mismatch("callback-did-not-fire", (), firing.reason)
        return
    sent = _Sent.of(firing)
    for name, value in fitting.items():
        if name != "fires":
            yield from _COMPARISONS[name](name, value, sent)


@dataclass(frozen=True, slots=True)
class _Sent:
    """What would be sent, in the words of expectations; a line is shown as the batch of that line alone."""

    fields: Mapping[str, Any]
    body: Rendered | None
    recipients: Sequence[str]
    custom: Mapping[str, JsonValue] | None

    @classmethod
    def of(cls, firing: Firing) -> "_Sent":
        first = firing.requests[0]
        request = batch_of_one(first) if isinstance(first, BatchLine) else first
        fields: dict[str, Any] = dict(request_json(request))
        recipients: Sequence[str] = ()
        if isinstance(first, BatchLine):
            fields["line"] = request_json(first)["line"]
        if isinstance(request, Mail):
            recipients = request.recipients
            fields["message"] = fields.pop("text")
        else:
            headers = {name.lower(): value for name, value in fields["headers"].items()}
            fields["contentType"] = headers.get("content-type")
        decoded = firing.decoded
        custom = None if decoded is None else {name: _custom(value) for name, value in decoded.values.items()}
        body = request.body if isinstance(request, HttpRequest) else None
        return cls(fields, body, recipients, custom)


def _compare_text(name: str, expected: Any, sent: _Sent) -> Iterator[Mismatch]:
    found: str | None = sent.fields[name]
    if expected != (found or ""):
        yield _differs((name,), expected, found)


def _compare_headers(name: str, expected: Any, sent: _Sent) -> Iterator[Mismatch]:
    found = {each.lower(): value for each, value in sent.fields["headers"].items()}
    for header, value in expected.items():
        if found.get(header.lower()) != value:
            yield _differs((name, header), value, found.get(header.lower()))


def _compare_json(name: str, expected: Any, sent: _Sent) -> Iterator[Mismatch]:
    if sent.body is None:
        yield Mismatch("expectation-not-met", (name,), "There is no body.", as_json(expected))
        return
    text = _json_text(sent.body)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        says = f"The body is not JSON: {error.msg} at character {error.pos + 1}."
        yield Mismatch("expectation-not-met", (name,), says, as_json(expected), text)
        return
    yield from (_differing(name, each) for each in differences(expected, found))


def _compare_recipient(name: str, expected: Any, sent: _Sent) -> Iterator[Mismatch]:
    if expected not in sent.recipients:
        yield _differs((name,), expected, ", ".join(sent.recipients))


def _compare_recipients(name: str, expected: Any, sent: _Sent) -> Iterator[Mismatch]:
    if sorted(expected) != sorted(sent.recipients):
        yield _differs((name,), ", ".join(expected), ", ".join(sent.recipients))


def _compare_custom(name: str, expected: Any, sent: _Sent) -> Iterator[Mismatch]:
    if sent.custom is None:
        yield Mismatch("expectation-not-met", (name,), "The callback has no payload config, and so no fields.")
        return
    for field, value in expected.items():
        if field not in sent.custom:
            says = f"The payload config has no field {field}; it has {', '.join(sent.custom)}."
            yield Mismatch("expectation-not-met", (name, field), says, as_json(value))
        elif not same(value, sent.custom[field]):
            yield _differs((name, field), as_json(value), as_json(sent.custom[field]))


_COMPARISONS: Final[Mapping[str, Callable[[str, Any, _Sent], Iterator[Mismatch]]]] = {
    **dict.fromkeys(("method", "url", "contentType", "body", "line", "subject", "message"), _compare_text),
    "headers": _compare_headers,
    "json": _compare_json,
    "recipient": _compare_recipient,
    "recipients": _compare_recipients,
    "custom": _compare_custom,
}


def _custom(value: Value) -> JsonValue:
    """A field as it is rendered: what some bits of a float mean, no number says, and it is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json_text(body: Rendered) -> str:
    """The body, in which a secret that is a JSON value by itself stands as a text."""
    if isinstance(body, str):
        return body
    parts = []
    for part in body:
        if isinstance(part, str):
            parts.append(part)
        else:
            shown = f"${{secret.{part.name}}}"
            parts.append(as_json(shown) if part.context is Context.JSON_VALUE else shown)
    return "".join(parts)


def _differing(name: str, difference: Difference) -> Mismatch:
    return _differs((name, *difference.path), difference.expected, difference.found)


def _differs(path: _Steps, expected: str | None, found: str | None) -> Mismatch:
    named = _named(path)
    if found is None:
        says = f"{named} is not there."
    elif expected is None:
        says = f"{named} must not be there." if path[0] == "headers" else f"{named} is there, and was not expected."
    else:
        says = f"{named} differs."
    return Mismatch("expectation-not-met", path, says, expected, found)


def _named(path: _Steps) -> str:
    """`json.readings[0].celsius`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
