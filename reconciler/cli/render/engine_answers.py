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
    "request_as_text",
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
    lines = [
        f"delivery {paint.strong(delivery['id'])}: {_state(delivery['state'], paint)}",
        *indent(columns(rows), by=2),
        *indent(_warnings(delivery["warnings"], paint), by=2),
        "",
        *indent(_request_lines(delivery["request"], paint), by=2),
        "",
        *indent(_attempts(delivery["log"], paint), by=2),
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
        f"{delivery['request']['method']} {visible(delivery['request']['url'])}",
        _outcome(attempt),
        f"attempt {attempt['number']}, {attempt['durationMs']:.1f} ms",
        delivery["id"],
    ]
    return "  ".join(words)


def explanation_as_text(explanation: Json, *, paint: Paint) -> str:
    """What a message was, and what each callback of its device type made of it."""
    return "\n".join(_explanation(explanation, paint)) + "\n"


def request_as_text(request: Json, *, paint: Paint) -> str:
    """A request as it goes over the wire, without what the connection adds."""
    return "\n".join(_request_lines(request, paint)) + "\n"


def warnings_as_text(warnings: Sequence[str], *, paint: Paint) -> str:
    """A line for each warning that a delivery carries."""
    return "".join(f"{line}\n" for line in _warnings(warnings, paint))


def _explanation(explanation: Json, paint: Paint) -> Iterator[str]:
    message = dict(explanation["message"])
    yield f"message {paint.strong(message.pop('id'))}"
    yield from indent(columns([(name, _value(value)) for name, value in message.items() if value is not None]), by=2)
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
        delivery = callback["delivery"]
        if delivery is not None:
            yield f"  delivery {delivery['id']}: {_state(delivery['state'], paint)}"
            yield from indent(_delivered(delivery, paint), by=4)


def _delivered(delivery: Json, paint: Paint) -> Iterator[str]:
    """The request of a delivery, what was odd about it, and what came of it."""
    yield from _warnings(delivery["warnings"], paint)
    yield from _request_lines(delivery["request"], paint)
    yield from _attempts(delivery["log"], paint)
    if delivery["dueAt"]:
        yield f"next try at {delivery['dueAt']}"


def _request_lines(request: Json, paint: Paint) -> list[str]:
    lines = [f"{paint.strong(request['method'])} {visible(request['url'])}"]
    lines += [f"{visible(name)}: {visible(value)}" for name, value in request["headers"].items()]
    if request["body"] is not None:
        lines += ["", *(visible(line) for line in request["body"].splitlines())]
    return lines


def _attempts(log: Sequence[Json], paint: Paint) -> Iterator[str]:
    if not log:
        yield "not attempted yet"
    for attempt in log:
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
