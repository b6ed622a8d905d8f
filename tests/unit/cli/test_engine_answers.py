"""What the engine's doors answer, as a person reads it."""

from typing import Any

import pytest

from reconciler.cli.render.engine_answers import (
    attempt_line,
    deliveries_as_text,
    delivery_as_text,
    explanation_as_text,
    preview_as_text,
)
from reconciler.cli.render.text import Paint

PLAIN = Paint(coloured=False)
EVIL = "\x1b[2J\u202e"


def a_request(**more: Any) -> dict[str, Any]:
    return {
        "kind": "http",
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
        "batch": None,
        "ordered": False,
        "waitsFor": None,
        "request": a_request(),
        "log": [an_attempt()],
        **more,
    }


def an_explanation(**more: Any) -> dict[str, Any]:
    return {
        "message": {"id": "a" * 32, "device": "1C178", "deviceType": "tracker", "time": 7, "seqNumber": None},
        "receptions": [],
        "downlink": None,
        "revision": 3,
        "unknownDeviceType": False,
        "callbacks": [],
        **more,
    }


def a_line(**more: Any) -> dict[str, Any]:
    return {
        "kind": "batch-line",
        "method": "POST",
        "url": "http://h/batch?data={batch}",
        "headers": {},
        "line": "1C178;e803;",
        "sendSni": True,
        **more,
    }


def a_mail(**more: Any) -> dict[str, Any]:
    return {
        "kind": "mail",
        "recipient": "b@example.com",
        "recipients": ["a@example.com", "b@example.com"],
        "subject": "1C178 is silent",
        "text": "Since noon.\nPlease look.",
        **more,
    }


def test_a_request_reads_like_http() -> None:
    assert preview_as_text(a_request(), paint=PLAIN) == (
        "POST http://h/uplink\nContent-Type: text/plain\nAuthorization: Bearer ${secret.T}\n\na\nb\n"
    )
    assert preview_as_text(a_request(headers={}, body=None), paint=PLAIN) == "POST http://h/uplink\n"


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


def test_a_mail_reads_like_a_mail() -> None:
    shown = preview_as_text(a_mail(), paint=PLAIN)
    assert shown == (
        "mail to b@example.com\nTo: a@example.com, b@example.com\nSubject: 1C178 is silent\n"
        "\nSince noon.\nPlease look.\n"
    )
    for_all = {name: value for name, value in a_mail().items() if name != "recipient"}
    assert preview_as_text(for_all, paint=PLAIN).startswith("mail to each of its recipients\nTo: a@example.com, b@")


def test_a_line_is_shown_with_the_request_of_a_batch_that_it_fills_alone() -> None:
    batch = a_request(url="http://h/batch?data=1C178%3Be803%3B", headers={}, body="data=1C178%3Be803%3B")
    assert preview_as_text(a_line(batch=batch), paint=PLAIN) == (
        "line: 1C178;e803;\n\nPOST http://h/batch?data=1C178%3Be803%3B\n\ndata=1C178%3Be803%3B\n"
    )


CARRIER = f"{'b' * 32}.0"


def test_a_line_that_joined_a_batch_names_the_delivery_that_has_the_attempts() -> None:
    delivery = a_delivery(state="joined", request=a_line(), batch=CARRIER, log=[], dueAt=None, warnings=[])
    text = delivery_as_text(delivery, paint=PLAIN)
    assert f"  batch     carried by {CARRIER}\n" in text
    assert text.endswith(
        "\n"
        "  POST http://h/batch?data={batch}\n"
        "  {batch}: 1C178;e803;\n"
        "\n"
        "  sent in a batch; the delivery that carries it has the attempts:\n"
        "\n"
        f"      reconciler deliveries show {CARRIER}\n"
    )


def test_the_delivery_that_carries_a_batch_says_so_and_has_the_attempts() -> None:
    text = delivery_as_text(a_delivery(batch=f"{'a' * 32}.0"), paint=PLAIN)
    assert "  batch     carried by this delivery\n" in text
    assert "refused 503" in text


def test_a_delivery_that_keeps_the_order_says_what_it_waits_for_and_for_how_long() -> None:
    message, _, _ = CARRIER.partition(".")
    delivery = a_delivery(state="waiting", ordered=True, waitsFor=CARRIER, log=[], dueAt=None, warnings=[])
    text = delivery_as_text(delivery, paint=PLAIN)
    assert "  order     after the earlier ones of its callback and device\n" in text
    assert text.endswith(
        "\n"
        f"  waits for message {message} of the same device; its turn comes when that is delivered or\n"
        "  given up, for each that fails within 7 minutes 40 seconds. What it waits for:\n"
        "\n"
        f"      reconciler deliveries show {CARRIER}\n"
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
    explanation = an_explanation(
        callbacks=[
            {
                "callback": "tracker/telemetry",
                "matched": True,
                "reason": "It fires on data/uplink.",
                "decoded": {"t": 243, "door": None},
                "missing": ["door"],
                "deliveries": [a_delivery()],
            },
            {
                "callback": "tracker/off",
                "matched": False,
                "reason": "It was disabled in revision 3.",
                "decoded": None,
                "missing": [],
                "deliveries": [],
            },
        ],
    )
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


def test_a_callback_with_several_recipients_tells_of_each_delivery() -> None:
    mails = [a_delivery(id=f"{'a' * 32}.{n}", request=a_mail(recipient=f"{n}@example.com")) for n in range(2)]
    callback = {
        "callback": "t/mail",
        "matched": True,
        "reason": "",
        "decoded": None,
        "missing": [],
        "deliveries": mails,
    }
    text = explanation_as_text(an_explanation(callbacks=[callback]), paint=PLAIN)
    assert [line for line in text.splitlines() if "delivery " in line or "mail to" in line] == [
        f"  delivery {'a' * 32}.0: pending",
        "    mail to 0@example.com",
        f"  delivery {'a' * 32}.1: pending",
        "    mail to 1@example.com",
    ]


def test_receptions_by_other_stations_are_listed_under_the_message() -> None:
    receptions = [
        {"id": "b" * 32, "station": "37FF", "rssi": -130.5, "snr": 7.25, "receivedAt": "2026-11-23T14:19:18.123Z"},
        {"id": "c" * 32, "station": None, "rssi": None, "snr": None, "receivedAt": "2026-11-23T14:19:19.123Z"},
    ]
    lines = explanation_as_text(an_explanation(receptions=receptions), paint=PLAIN).splitlines()
    assert lines[5:9] == [
        "Reported by other stations too.",
        "  STATION  RSSI    SNR   RECEIVED AT               MESSAGE",
        f"  37FF     -130.5  7.25  2026-11-23T14:19:18.123Z  {'b' * 32}",
        f"  -        -       -     2026-11-23T14:19:19.123Z  {'c' * 32}",
    ]


@pytest.mark.parametrize(
    ("downlink", "told"),
    [
        ({"state": "asked"}, "asked; the device waits for an answer until 14:20."),
        ({"state": "ready", "data": "00"}, "ready: 00 waits for the network side until 14:20."),
        (
            {"state": "served", "data": "00"},
            "served: 00 was handed to the network side, whose result is not known yet.",
        ),
        ({"state": "declined"}, "declined: the callback answered that there is nothing to send."),
        (
            {"state": "ended", "data": "00", "infoCode": 0, "infoMessage": "Acked: sent"},
            "ended with infoCode 0, data 00. Acked: sent.",
        ),
        (
            {"state": "ended", "infoCode": 1, "infoMessage": "No answer: late"},
            "ended with infoCode 1. No answer: late.",
        ),
    ],
)
def test_what_became_of_a_downlink_is_told_in_words(downlink: dict[str, Any], told: str) -> None:
    nothing = {"infoCode": None, "infoMessage": None, "data": None, "askedAt": "14:19", "expiresAt": "14:20"}
    lines = explanation_as_text(an_explanation(downlink=nothing | downlink), paint=PLAIN).splitlines()
    assert lines[5:7] == ["The device asked for a downlink at 14:19.", f"  {told}"]


def test_a_line_to_follow_names_the_recipient_of_a_mail() -> None:
    assert "  mail to b@example.com  " in attempt_line(a_delivery(request=a_mail()), paint=PLAIN)


def test_an_unknown_device_type_is_why_nothing_fired() -> None:
    explanation = an_explanation(unknownDeviceType=True)
    assert explanation_as_text(explanation, paint=PLAIN).endswith(
        "Its device type is not declared in revision 3, so no callback could fire.\n"
    )


@pytest.mark.parametrize(
    "delivery",
    [
        a_delivery(request=a_request(url=f"http://h/{EVIL}")),
        a_delivery(request=a_request(body=EVIL)),
        a_delivery(request=a_request(headers={EVIL: EVIL})),
        a_delivery(request=a_line(line=EVIL, url=EVIL, headers={EVIL: EVIL})),
        a_delivery(request=a_mail(recipient=EVIL, recipients=[EVIL], subject=EVIL, text=EVIL)),
        a_delivery(warnings=[EVIL]),
        a_delivery(log=[an_attempt(body=EVIL, detail=EVIL)]),
    ],
)
def test_nothing_that_came_from_outside_can_steer_a_terminal(delivery: dict[str, Any]) -> None:
    shown = delivery_as_text(delivery, paint=PLAIN) + attempt_line(delivery, paint=PLAIN)
    assert not {"\x1b", "\u202e"} & set(shown)
