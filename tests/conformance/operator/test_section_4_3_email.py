"""Section 4.3, channel EMAIL: through a real mail server."""

import asyncio
from typing import Any

import pytest

from reconciler.model.definition import Content
from reconciler.model.delivery import Accepted, RetryAt, State, Unreachable
from tests.conformance.operator.rig import (
    SENDER,
    a_callback,
    an_event,
    at,
    findings_of,
    in_virtual_time,
    live,
    minutes,
    simulated,
)
from tests.fakes import Sink
from tests.mail_sink import HangUp, MailSink, ReceivedMail, Refuse, Take

MAIL: Content = {
    "type": "data/uplink",
    "channel": "email",
    "recipient": "ops@far.example",
    "subject": "{device} {seqNumber}",
    "message": "Device {device} sent {data} at {time}.",
}


async def mails_of(event: dict[str, Any], *, expected: int = 1, **change: Any) -> list[ReceivedMail]:
    """What the mail server takes for one event."""
    with MailSink() as smtp:
        async with live(smtp=smtp) as world:
            await world.publish(hook={**MAIL, **change})
            await world.take_all(event)
            settlements = await world.settled(expected)
            assert {type(settlement.attempt.outcome) for settlement in settlements} == {Accepted}
        return smtp.mails


# As received


async def test_4_3_recipient_subject_and_message_with_variables() -> None:
    (mail,) = await mails_of(an_event())
    assert mail.recipients == ("ops@far.example",)
    assert mail.sender == SENDER
    assert mail.header("To") == "ops@far.example"
    assert mail.header("Subject") == "1C178 7"
    assert mail.text.rstrip("\n") == "Device 1C178 sent e80332c0 at 1700000000."


async def test_4_3_several_recipients_get_a_mail_each() -> None:
    recipients = ["ops@far.example", "oncall@other.example"]
    mails = await mails_of(an_event(), expected=2, recipient=", ".join(recipients))
    assert sorted(mail.recipients for mail in mails) == sorted((recipient,) for recipient in recipients)
    assert {mail.header("Subject") for mail in mails} == {"1C178 7"}


TEXTS: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("4.3 text forms", {"subject": "{rssi} {lat}", "message": "{snr}"}, {"rssi": -1, "lat": 45.3}, "-1.00 45", "null"),
    ("4.3 custom data", {"payload": "t::int:8", "message": "t={customData#t}"}, {"data": "fe"}, "1C178 7", "t=-2"),
    ("4.3 several lines", {"message": "{device}\n\n{time}\n"}, {}, "1C178 7", "1C178\n\n1700000000"),
    ("4.3 beyond ASCII", {"subject": "Gerät {device} °C", "message": "{time} µ"}, {"time": 1}, "Gerät 1C178 °C", "1 µ"),
    ("4.3 a line of one dot", {"message": "a\n.\nb\n..c"}, {}, "1C178 7", "a\n.\nb\n..c"),
    ("4.3 a line that begins with From", {"message": "From {device}"}, {}, "1C178 7", "From 1C178"),
    ("4.3 a long line", {"message": "x" * 3000}, {}, "1C178 7", "x" * 3000),
    ("4.3 braces of others", {"subject": "{device} 100% {", "message": "}"}, {}, "1C178 100% {", "}"),
    ("4.3 no text", {"message": ""}, {}, "1C178 7", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "given", "subject", "text"), [row[1:] for row in TEXTS], ids=[row[0] for row in TEXTS]
)
async def test_4_3_subject_and_text_arrive_as_written(
    change: dict[str, Any], given: dict[str, Any], subject: str, text: str
) -> None:
    (mail,) = await mails_of(an_event(**given), **change)
    assert mail.header("Subject") == subject
    assert mail.text.rstrip("\n") == text


async def test_4_3_error_by_mail() -> None:
    change: dict[str, Any] = {"type": "error", "subject": "{device} {severity}", "message": "{info}"}
    (mail,) = await mails_of(an_event("error"), **change)
    assert mail.header("Subject") == "1C178 ERROR"
    assert mail.text.rstrip("\n") == "No message received since 2013-10-08 15:36:21"


# Injection

ATTACKS = [
    "x\r\nBcc: a@b",
    "x\nTo: a@b.c",
    "x\r\n\r\nbody",
    "x\r.\r\nMAIL",
    "\r\n.\r\nQUIT",
    "\n.\nRSET\n",
    "=?q?=0ABcc:",
    "a\0b\x0bc\x0cd",
    "a\x85b\x1cc",
]


@pytest.mark.parametrize("text", ATTACKS, ids=ascii)
async def test_4_3_a_device_can_add_neither_a_header_nor_a_recipient_nor_a_mail(text: str) -> None:
    data = text.encode("latin-1")[:12]
    templates: dict[str, Any] = {"subject": "s {customData#x} e", "message": "begin\n{customData#x}\nend"}
    (mail,) = await mails_of(an_event(data=data.hex()), payload=f"x::char:{len(data)}", **templates)
    (plain,) = await mails_of(an_event(data="41" * len(data)), payload=f"x::char:{len(data)}", **templates)
    assert mail.recipients == ("ops@far.example",)
    assert mail.message.keys() == plain.message.keys()
    subject = mail.header("Subject")
    assert subject is not None
    assert subject.startswith("s ")
    assert subject.endswith(" e")
    assert subject.isprintable()
    assert mail.text.startswith("begin\n")
    assert mail.text.rstrip("\n").endswith("\nend")


# Delivery results


async def test_4_3_the_result_is_recorded_as_200() -> None:
    with MailSink() as smtp:
        async with live(smtp=smtp) as world:
            await world.publish(hook=MAIL)
            await world.take()
            (settlement,) = await world.settled(1)
            assert isinstance(settlement.attempt.outcome, Accepted)
            assert settlement.attempt.outcome.status == 200
            (record,) = await world.deliveries()
            assert record.delivery.state is State.DELIVERED


@pytest.mark.parametrize(
    "trouble",
    [Refuse("RCPT", "550 5.1.1 Who?"), Refuse("MAIL", "451 later"), Refuse("END", "554 spam"), HangUp("DATA")],
    ids=lambda trouble: f"{type(trouble).__name__} {trouble.at}",
)
async def test_4_3_a_failure_says_could_not_send_email_to_and_is_tried_again(trouble: Any) -> None:
    with MailSink(trouble) as smtp:
        async with live(smtp=smtp) as world:
            await world.publish(hook=MAIL)
            await world.take()
            (settlement,) = await world.settled(1)
            attempt = settlement.attempt
            assert isinstance(attempt.outcome, Unreachable)
            assert attempt.outcome.detail.startswith("Could not send email to ops@far.example")
            assert settlement.step == RetryAt(attempt.started_at + attempt.duration + minutes(1))
        assert smtp.mails == []


async def test_4_3_an_address_that_fails_repeats_nobody_elses_mail() -> None:
    with MailSink(Refuse("RCPT", "550 5.1.1 Who?"), otherwise=Take()) as smtp:
        async with live(smtp=smtp) as world:
            await world.publish(hook={**MAIL, "recipient": "a@far.example,b@far.example"})
            await world.take()
            await world.settled(2)
            states = sorted(record.delivery.state for record in await world.deliveries())
            assert states == [State.DELIVERED, State.PENDING]
        assert len(smtp.mails) == 1


async def test_4_3_without_a_mail_server_mails_wait_and_http_goes_on() -> None:
    async with Sink() as sink, live() as world:
        await world.publish(mail=MAIL, http=at(sink, a_callback()))
        await world.take()
        outcomes = [settlement.attempt.outcome for settlement in await world.settled(2)]
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Accepted", "Unreachable"]
        assert len(sink.requests) == 1


@in_virtual_time
async def test_5_mails_are_tried_again_at_1_2_and_4_minutes() -> None:
    async with simulated(lambda call: Unreachable("deadline", "?"), hook=MAIL) as world:
        await world.take()
        await asyncio.sleep(3600)
        assert [call.at for call in world.far.calls] == pytest.approx([0, 60, 180, 420])
        assert len({call.mail for call in world.far.calls}) == 1
        assert len(await world.deliveries(state=State.UNDELIVERED)) == 1


# What is accepted when it is saved

SAVED = [
    ("4.3 D", {}, None),
    ("4.3 several addresses", {"recipient": "a@b.example, c@d.example"}, None),
    ("4.3 no recipient", {"recipient": None}, "missing-key"),
    ("4.3 an empty recipient", {"recipient": ""}, True),
    ("4.3 no address", {"recipient": "nobody"}, True),
    ("4.3 two at signs", {"recipient": "a@b@c.example"}, True),
    ("4.3 a blank within", {"recipient": "a b@c.example"}, True),
    ("4.3 a line break", {"recipient": "a@b.example\r\nBcc: c@d.example"}, True),
    ("4.3 a variable as recipient", {"recipient": "{device}@far.example"}, True),
    ("4.3 a line break in the subject", {"subject": "a\nb"}, "template-control-character"),
    ("4.3 a foreign variable in the subject", {"subject": "{infoCode}"}, "variable-not-offered"),
    ("4.3 an unknown variable in the text", {"message": "{nothing}"}, "unknown-variable"),
    ("4.3 a URL", {"url": "http://far.example/"}, "field-not-of-channel"),
    ("4.3 a downlink hook", {"type": "data/bidir", "downlinkHook": True}, "field-not-of-channel"),
]


@pytest.mark.parametrize(("change", "code"), [row[1:] for row in SAVED], ids=[row[0] for row in SAVED])
def test_4_3_the_rule_when_it_is_saved(change: dict[str, Any], code: str | bool | None) -> None:
    content = {name: value for name, value in {**MAIL, **change}.items() if value is not None}
    found = [each.code for each in findings_of(content)]
    assert found == ([] if code is None else [code]) if code is not True else len(found) == 1


@pytest.mark.parametrize("left_out", [{"subject"}, {"message"}, {"subject", "message"}])
def test_4_3_subject_and_message_may_be_left_out(left_out: set[str]) -> None:
    assert findings_of({name: value for name, value in MAIL.items() if name not in left_out}) == ()
