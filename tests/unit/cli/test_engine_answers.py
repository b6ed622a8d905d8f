"""What the engine's doors answer, as a person reads it."""

from typing import Any

import pytest

from reconciler.cli.render.engine_answers import (
    attempt_line,
    deliveries_as_text,
    delivery_as_text,
    explanation_as_text,
    request_as_text,
)
from reconciler.cli.render.text import Paint

PLAIN = Paint(coloured=False)
EVIL = "\x1b[2J\u202e"


def a_request(**more: Any) -> dict[str, Any]:
    return {
        "method": "POST",
        "url": "http://h/uplink",
        "headers": {"Content-Type": "text/plain", "Authorization": "Bearer ${secret.T}"},
        "body": "a\nb",
        "sendSni": True,
        **more,
    }


def an_attempt(**more: Any) -> dict[str, Any]:
    return {
        "number": 1,
        "startedAt": "2026-11-23T14:19:18.123Z",
        "durationMs": 12.3456,
        "outcome": "refused",
        "status": 503,
        "reason": None,
        "detail": None,
        "body": "try\nlater",
        **more,
    }


def a_delivery(**more: Any) -> dict[str, Any]:
    return {
        "id": f"{'a' * 32}.0",
        "messageId": "a" * 32,
        "callback": "tracker/telemetry",
        "revision": 3,
        "state": "pending",
        "endpoint": "http://h:80",
        "attempts": 1,
        "tries": 1,
        "dueAt": "2026-11-23T14:20:18.123Z",
        "warnings": ["The field t does not fit."],
        "request": a_request(),
        "log": [an_attempt()],
        **more,
    }


def test_a_request_reads_like_http() -> None:
    assert request_as_text(a_request(), paint=PLAIN) == (
        "POST http://h/uplink\nContent-Type: text/plain\nAuthorization: Bearer ${secret.T}\n\na\nb\n"
    )
    assert request_as_text(a_request(headers={}, body=None), paint=PLAIN) == "POST http://h/uplink\n"


def test_a_delivery_shows_state_request_warnings_and_attempts() -> None:
    assert delivery_as_text(a_delivery(), paint=PLAIN) == (
        f"delivery {'a' * 32}.0: pending\n"
        f"  message   {'a' * 32}\n"
        "  callback  tracker/telemetry\n"
        "  revision  3\n"
        "  endpoint  http://h:80\n"
        "  next try  2026-11-23T14:20:18.123Z\n"
        "  warning: The field t does not fit.\n"
        "\n"
        "  POST http://h/uplink\n"
        "  Content-Type: text/plain\n"
        "  Authorization: Bearer ${secret.T}\n"
        "\n"
        "  a\n"
        "  b\n"
        "\n"
        "  attempt 1 at 2026-11-23T14:19:18.123Z: refused 503 after 12.3 ms\n"
        "    answer: try later\n"
    )


def test_a_delivery_that_was_not_attempted_yet_says_so() -> None:
    text = delivery_as_text(a_delivery(log=[], attempts=0, warnings=[]), paint=PLAIN)
    assert text.endswith("\n  not attempted yet\n")


def test_the_list_is_a_line_for_each_delivery() -> None:
    lost = an_attempt(outcome="unreachable", status=None, reason="connection-refused", body=None)
    rows = deliveries_as_text(
        [a_delivery(), a_delivery(state="undelivered", dueAt=None, log=[an_attempt(), lost])], paint=PLAIN
    ).splitlines()
    assert rows[0].split() == ["ID", "STATE", "CALLBACK", "ENDPOINT", "ATTEMPTS", "LAST", "NEXT", "TRY"]
    assert rows[1].endswith("refused 503                      2026-11-23T14:20:18.123Z")
    assert rows[2].endswith("unreachable: connection-refused")
    assert deliveries_as_text([], paint=PLAIN) == "No deliveries.\n"


def test_a_line_to_follow_names_everything_once() -> None:
    assert attempt_line(a_delivery(), paint=PLAIN) == (
        "2026-11-23T14:19:18.123Z  pending  tracker/telemetry  POST http://h/uplink  refused 503  "
        f"attempt 1, 12.3 ms  {'a' * 32}.0"
    )


def test_an_explanation_tells_of_each_callback_why() -> None:
    explanation = {
        "message": {"id": "a" * 32, "device": "1C178", "deviceType": "tracker", "time": 7, "seqNumber": None},
        "revision": 3,
        "unknownDeviceType": False,
        "callbacks": [
            {
                "callback": "tracker/telemetry",
                "matched": True,
                "reason": "It fires on data/uplink.",
                "decoded": {"t": 243, "door": None},
                "missing": ["door"],
                "delivery": a_delivery(),
            },
            {
                "callback": "tracker/off",
                "matched": False,
                "reason": "It was disabled in revision 3.",
                "decoded": None,
                "missing": [],
                "delivery": None,
            },
        ],
    }
    lines = explanation_as_text(explanation, paint=PLAIN).splitlines()
    assert lines[:6] == [
        f"message {'a' * 32}",
        "  device      1C178",
        "  deviceType  tracker",
        "  time        7",
        "",
        "Handled under revision 3.",
    ]
    assert lines[7:12] == [
        "tracker/telemetry  fired",
        "  It fires on data/uplink.",
        "  decoded",
        "    t     243",
        "    door  null",
    ]
    assert lines[-4:] == [
        "    next try at 2026-11-23T14:20:18.123Z",
        "",
        "tracker/off  not fired",
        "  It was disabled in revision 3.",
    ]


def test_an_unknown_device_type_is_why_nothing_fired() -> None:
    explanation = {"message": {"id": "a"}, "revision": 3, "unknownDeviceType": True, "callbacks": []}
    assert explanation_as_text(explanation, paint=PLAIN).endswith(
        "Its device type is not declared in revision 3, so no callback could fire.\n"
    )


@pytest.mark.parametrize(
    "delivery",
    [
        a_delivery(request=a_request(url=f"http://h/{EVIL}")),
        a_delivery(request=a_request(body=EVIL)),
        a_delivery(request=a_request(headers={EVIL: EVIL})),
        a_delivery(warnings=[EVIL]),
        a_delivery(log=[an_attempt(body=EVIL, detail=EVIL)]),
    ],
)
def test_nothing_that_came_from_outside_can_steer_a_terminal(delivery: dict[str, Any]) -> None:
    shown = delivery_as_text(delivery, paint=PLAIN) + attempt_line(delivery, paint=PLAIN)
    assert not {"\x1b", "\u202e"} & set(shown)
