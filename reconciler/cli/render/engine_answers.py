"""What the engine's doors answer → text: deliveries, attempts, the explanation of a message.

The values are the doors' JSON as it came (`runtime.api.json_forms` writes it); with `--format json` it is passed on
unchanged. Bodies and answers were written by devices and receivers: everything is made visible first.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from reconciler.cli.render.text import Paint, columns, indent, visible

__all__ = [
    "attempt_line",
    "deliveries_as_text",
    "delivery_as_text",
    "explanation_as_text",
    "preview_as_text",
    "warnings_as_text",
]

Json = Mapping[str, Any]

# Enough to see what a receiver complains about; `--format json` has the rest.
_ANSWER_CELLS: Final = 200


def deliveries_as_text(deliveries: Sequence[Json], *, paint: Paint) -> str:
    """A line for each delivery, in the order given."""
    if not deliveries:
        return "No deliveries.\n"
    rows = [("ID", "STATE", "CALLBACK", "ENDPOINT", "ATTEMPTS", "LAST", "NEXT TRY")]
    rows += [
        (
            delivery["id"],
            _state(delivery["state"], paint),
            visible(delivery["callback"]),
            visible(delivery["endpoint"]),
            str(delivery["attempts"]),
            _last_outcome(delivery["log"]),
            delivery["dueAt"] or "",
        )
        for delivery in deliveries
    ]
    heading, *lines = (line.rstrip() for line in columns(rows))
    return "\n".join([paint.faint(heading), *lines]) + "\n"


def delivery_as_text(delivery: Json, *, paint: Paint) -> str:
    """Everything about one delivery: where it stands, its request, every attempt."""
    rows = [
        ("message", delivery["messageId"]),
        ("callback", visible(delivery["callback"])),
        ("revision", str(delivery["revision"])),
        ("endpoint", visible(delivery["endpoint"])),
    ]
    if delivery["dueAt"]:
        rows.append(("next try", delivery["dueAt"]))
    if delivery.get("waits"):
        rows.append(("waits", visible(delivery["waits"])))
    if delivery["batch"]:
        rows.append(("batch", "carried by this delivery" if _carries(delivery) else f"carried by {delivery['batch']}"))
    if delivery["ordered"]:
        rows.append(("order", "after the earlier ones of its callback and device"))
    lines = [
        f"delivery {paint.strong(delivery['id'])}: {_state(delivery['state'], paint)}",
        *indent(columns(rows), by=2),
        *indent(_warnings(delivery["warnings"], paint), by=2),
        "",
        *indent(_request_lines(delivery["request"], paint), by=2),
        "",
        *indent(_attempts(delivery, paint), by=2),
    ]
    return "\n".join(lines) + "\n"


def attempt_line(delivery: Json, *, paint: Paint) -> str:
    """The newest attempt of a delivery on one line, for following along."""
    if not delivery["log"]:
        return f"{delivery['id']}  {visible(delivery['callback'])}  {_state(delivery['state'], paint)}"
    attempt = delivery["log"][-1]
    words = [
        attempt["startedAt"],
        _state(delivery["state"], paint),
        visible(delivery["callback"]),
        _summary(delivery["request"]),
        _outcome(attempt),
        f"attempt {attempt['number']}, {attempt['durationMs']:.1f} ms",
        delivery["id"],
    ]
    return "  ".join(words)


def explanation_as_text(explanation: Json, *, paint: Paint) -> str:
    """What a message was, and what each callback of its device type made of it."""
    return "\n".join(_explanation(explanation, paint)) + "\n"


def preview_as_text(request: Json, *, paint: Paint) -> str:
    """What a callback would send, without what the connection or the mail server adds.

    `cli.previewing.Previewed.request` has the form.
    """
    lines = _request_lines(request, paint)
    if "batch" in request:
        lines = [f"line: {visible(request['line'])}", "", *_request_lines(request["batch"], paint)]
    return "\n".join(lines) + "\n"


def warnings_as_text(warnings: Sequence[str], *, paint: Paint) -> str:
    """A line for each warning that a delivery carries."""
    return "".join(f"{line}\n" for line in _warnings(warnings, paint))


def _explanation(explanation: Json, paint: Paint) -> Iterator[str]:
    message = dict(explanation["message"])
    yield f"message {paint.strong(message.pop('id'))}"
    yield from indent(columns([(name, _value(value)) for name, value in message.items() if value is not None]), by=2)
    if explanation["receptions"]:
        yield ""
        yield from _receptions(explanation["receptions"])
    if explanation["downlink"] is not None:
        yield ""
        yield from _downlink(explanation["downlink"], paint)
    yield ""
    if explanation["unknownDeviceType"]:
        yield f"Its device type is not declared in revision {explanation['revision']}, so no callback could fire."
        return
    yield f"Handled under revision {explanation['revision']}."
    if not explanation["callbacks"]:
        yield "Its device type has no callbacks."
    for callback in explanation["callbacks"]:
        yield ""
        mark = paint.good("fired") if callback["matched"] else paint.faint("not fired")
        yield f"{paint.strong(visible(callback['callback']))}  {mark}"
        yield f"  {visible(callback['reason'])}"
        if callback["decoded"]:
            yield "  decoded"
            yield from indent(columns([(visible(name), _value(v)) for name, v in callback["decoded"].items()]), by=4)
        for delivery in callback["deliveries"]:
            yield f"  delivery {delivery['id']}: {_state(delivery['state'], paint)}"
            yield from indent(_delivered(delivery, paint), by=4)


def _receptions(receptions: Sequence[Json]) -> Iterator[str]:
    """The same message as other stations heard it; each is a message of its own."""
    yield "Reported by other stations too."
    rows = [("STATION", "RSSI", "SNR", "RECEIVED AT", "MESSAGE")]
    rows += [
        (*(_level(each[name]) for name in ("station", "rssi", "snr")), each["receivedAt"], each["id"])
        for each in receptions
    ]
    yield from indent(columns(rows), by=2)


def _level(value: object) -> str:
    return "-" if value is None else _value(value)


def _downlink(downlink: Json, paint: Paint) -> Iterator[str]:
    """What became of the device's request, in words."""
    data, until = downlink["data"] or "", downlink["expiresAt"]
    match downlink["state"]:
        case "asked":
            told = f"{paint.changed('asked')}; the device waits for an answer until {until}."
        case "ready":
            told = f"{paint.changed('ready')}: {data} waits for the network side until {until}."
        case "served":
            told = f"{paint.changed('served')}: {data} was handed to the network side, whose result is not known yet."
        case "declined":
            told = f"{paint.good('declined')}: the callback answered that there is nothing to send."
        case _:
            colour = paint.good if downlink["infoCode"] == 0 else paint.bad
            code = f"{colour('ended')} with infoCode {downlink['infoCode']}"
            told = f"{code}{f', data {data}' if data else ''}. {visible(downlink['infoMessage'] or '')}."
    yield f"The device asked for a downlink at {downlink['askedAt']}."
    yield f"  {told}"


def _delivered(delivery: Json, paint: Paint) -> Iterator[str]:
    """The request of a delivery, what was odd about it, and what came of it."""
    yield from _warnings(delivery["warnings"], paint)
    yield from _request_lines(delivery["request"], paint)
    yield from _attempts(delivery, paint)
    if delivery["dueAt"]:
        yield f"next try at {delivery['dueAt']}"
    if delivery.get("waits"):
        yield f"waits: {visible(delivery['waits'])}"


def _request_lines(request: Json, paint: Paint) -> list[str]:
    match request["kind"]:
        case "mail":
            return [
                f"{paint.strong('mail')} to {visible(request.get('recipient') or 'each of its recipients')}",
                f"To: {visible(', '.join(request['recipients']))}",
                f"Subject: {visible(request['subject'])}",
                *_text(request["text"]),
            ]
        case "batch-line":
            return [*_request_head(request, paint), f"{{batch}}: {visible(request['line'])}"]
        case _:
            return [*_request_head(request, paint), *([] if request["body"] is None else _text(request["body"]))]


def _request_head(request: Json, paint: Paint) -> list[str]:
    headers = (f"{visible(name)}: {visible(value)}" for name, value in request["headers"].items())
    return [f"{paint.strong(request['method'])} {visible(request['url'])}", *headers]


def _text(text: str) -> list[str]:
    """A body behind its empty line."""
    return ["", *(visible(line) for line in text.splitlines())]


def _summary(request: Json) -> str:
    """Where a request goes, on one line."""
    if request["kind"] == "mail":
        return f"mail to {visible(request['recipient'])}"
    return f"{request['method']} {visible(request['url'])}"


def _carries(delivery: Json) -> bool:
    return bool(delivery["batch"] == delivery["id"])


def _attempts(delivery: Json, paint: Paint) -> Iterator[str]:
    if delivery["batch"] and not _carries(delivery):
        # Its attempts are those of the delivery that carries the batch; this is the command that shows them.
        yield "sent in a batch; the delivery that carries it has the attempts:"
        yield ""
        yield f"    reconciler deliveries show {delivery['batch']}"
    elif delivery["waitsFor"]:
        message, _, _ = delivery["waitsFor"].partition(".")
        yield f"waits for message {message} of the same device; its turn comes when that is delivered or"
        # The longest that one can take: `runtime.retry.RetryPolicy.longest`.
        yield "given up, for each that fails within 7 minutes 40 seconds. What it waits for:"
        yield ""
        yield f"    reconciler deliveries show {delivery['waitsFor']}"
    elif not delivery["log"]:
        yield "not attempted yet"
    for attempt in delivery["log"]:
        colour = paint.good if attempt["outcome"] == "accepted" else paint.bad
        line = f"attempt {attempt['number']} at {attempt['startedAt']}: {colour(_outcome(attempt))}"
        yield f"{line} after {attempt['durationMs']:.1f} ms"
        if attempt["detail"]:
            yield f"  {visible(attempt['detail'])}"
        answer = visible(" ".join((attempt["body"] or "").split()))
        if answer:
            yield f"  answer: {answer if len(answer) <= _ANSWER_CELLS else f'{answer[:_ANSWER_CELLS]}…'}"


def _warnings(warnings: Sequence[str], paint: Paint) -> list[str]:
    return [f"{paint.changed('warning')}: {visible(warning)}" for warning in warnings]


def _outcome(attempt: Json) -> str:
    """“accepted 204”, “refused 500”, “unreachable: connection-refused”."""
    if attempt["status"] is not None:
        return f"{attempt['outcome']} {attempt['status']}"
    return f"{attempt['outcome']}: {visible(attempt['reason'] or '')}"


def _last_outcome(log: Sequence[Json]) -> str:
    return _outcome(log[-1]) if log else ""


def _state(state: str, paint: Paint) -> str:
    colour = {"delivered": paint.good, "undelivered": paint.bad}.get(state, paint.changed)
    return colour(state)


def _value(value: object) -> str:
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
