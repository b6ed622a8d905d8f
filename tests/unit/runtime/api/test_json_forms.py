from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest

from reconciler.codec.message import read_message
from reconciler.grammar.escape import Context, Json
from reconciler.grammar.template import Secret
from reconciler.model.delivery import (
    BatchLine,
    DeliveryId,
    Done,
    GiveUp,
    Mail,
    Outcome,
    Refused,
    RetryAt,
    State,
    Step,
    Unreachable,
)
from reconciler.model.downlink import INFO_MESSAGES, LISTENING, Downlink, DownlinkState, InfoCode
from reconciler.model.message import Message, MessageType
from reconciler.model.resource import Key, Method
from reconciler.model.revision import EMPTY, HistoryEntry, Publication
from reconciler.model.snapshot import SecretState
from reconciler.runtime.api.json_forms import (
    delivery_json,
    downlink_json,
    history_json,
    message_json,
    revision_json,
    secrets_json,
    settlement_json,
    timestamp,
)
from reconciler.runtime.request_form import request_json
from reconciler.store.protocol import DeliveryRecord
from tests.builders import (
    NOW,
    TELEMETRY,
    a_definition,
    a_delivery,
    a_lease,
    a_message,
    a_request,
    a_revision,
    a_settlement,
    an_attempt,
)


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (datetime(2026, 11, 23, 14, 19, 18, 123_999, tzinfo=UTC), "2026-11-23T14:19:18.123Z"),
        (datetime(2026, 11, 23, 14, 19, 18, tzinfo=UTC), "2026-11-23T14:19:18.000Z"),
        (datetime(2026, 11, 23, 14, 19, tzinfo=timezone(timedelta(hours=2))), "2026-11-23T12:19:00.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds(when: datetime, text: str) -> None:
    assert timestamp(when) == text


def test_a_message_has_the_fields_that_it_was_sent_with() -> None:
    message = a_message(7)

    assert message_json(message) == {
        "id": message.id,
        "type": "data",
        "device": "1C178",
        "deviceType": "tracker",
        "time": 1_700_000_000,
        "seqNumber": 7,
        "data": "e80332c0",
        "receivedAt": "2026-01-01T12:00:00.123Z",
        "rssi": -121.5,
        "station": "0AF0",
    }


def test_a_message_that_is_shown_can_be_sent_again_and_is_recognised() -> None:
    message = a_message()
    shown = orjson.loads(orjson.dumps(message_json(message)))
    again = read_message({k: v for k, v in shown.items() if k not in ("id", "receivedAt")}, received_at=NOW)

    assert isinstance(again, Message)
    assert again.id == message.id


def test_a_delivery_shows_its_request_and_every_attempt_without_secrets() -> None:
    attempts = (
        an_attempt(1, Unreachable("connection-refused", "Nobody listens there.")),
        an_attempt(2, Refused(503, b"busy \xff")),
    )
    delivery = a_delivery(warnings=("The field door does not fit.",))

    assert delivery_json(DeliveryRecord(delivery, attempts)) == {
        "id": f"{a_message().id}.0",
        "messageId": a_message().id,
        "callback": "tracker/telemetry",
        "revision": 3,
        "state": "pending",
        "endpoint": "https://ingest.example.com:443",
        "attempts": 0,
        "tries": 0,
        "dueAt": "2026-01-01T12:00:00.123Z",
        "waits": None,
        "warnings": ("The field door does not fit.",),
        "batch": None,
        "ordered": False,
        "waitsFor": None,
        "request": {
            "kind": "http",
            "method": "POST",
            "url": "https://ingest.example.com/uplink/1C178",
            "headers": {"Authorization": "Bearer ${secret.INGEST_TOKEN}"},
            "body": '{"device":"1C178","t":1000,"seq":7}',
            "sendSni": True,
        },
        "log": [
            {
                "number": 1,
                "startedAt": "2026-01-01T12:00:00.123Z",
                "durationMs": 12.345,
                "outcome": "unreachable",
                "status": None,
                "reason": "connection-refused",
                "detail": "Nobody listens there.",
                "body": None,
            },
            {
                "number": 2,
                "startedAt": "2026-01-01T12:00:00.123Z",
                "durationMs": 12.345,
                "outcome": "refused",
                "status": 503,
                "reason": None,
                "detail": None,
                "body": "busy \ufffd",
            },
        ],
    }


LINE = BatchLine(
    method=Method.POST,
    scheme="https",
    host="2001:db8::1",
    port=8443,
    path="/batch",
    before=("site=Z%C3%BCrich&key=", Secret("KEY", Context.QUERY), "&data="),
    after="&end=1",
    credentials=("gateway:", Secret("PASSWORD", Context.TEXT)),
    send_sni=True,
    line=("1C178%3B", Secret("MARK", Context.QUERY), "%20%E2%82%AC%3B"),
)


def test_a_line_of_a_batch_shows_itself_decoded_and_where_it_will_stand() -> None:
    assert request_json(LINE) == {
        "kind": "batch-line",
        "method": "POST",
        "url": "https://[2001:db8::1]:8443/batch?site=Z%C3%BCrich&key=${secret.KEY}&data={batch}&end=1",
        "headers": {"Authorization": "Basic gateway:${secret.PASSWORD}"},
        "line": "1C178;${secret.MARK} €;",
        "sendSni": True,
    }
    assert request_json(replace(LINE, credentials="gateway:hunter2"))["headers"] == {
        "Authorization": "Basic gateway:***"
    }


def test_a_mail_shows_whom_it_goes_to_and_who_else_gets_it() -> None:
    mail = Mail(
        id="x.1",
        recipient="b@example.com",
        recipients=("a@example.com", "b@example.com"),
        subject=("[", Secret("SITE", Context.HEADER), "] 1C178"),
        text="Line 1\nLine 2",
    )

    assert request_json(mail) == {
        "kind": "mail",
        "recipient": "b@example.com",
        "recipients": ("a@example.com", "b@example.com"),
        "subject": "[${secret.SITE}] 1C178",
        "text": "Line 1\nLine 2",
    }


def test_a_joined_line_names_the_delivery_that_carries_it_and_has_no_next_try() -> None:
    carrier = DeliveryId(a_message(1).id, 0)
    delivery = replace(a_delivery(a_message(2)), request=LINE, state=State.JOINED, batch=carrier)
    shown = delivery_json(DeliveryRecord(delivery, ()))

    assert (shown["state"], shown["batch"], shown["dueAt"]) == ("joined", str(carrier), None)


def test_an_ordered_delivery_names_the_one_that_it_waits_for() -> None:
    first = DeliveryId(a_message(1).id, 0)
    delivery = replace(a_delivery(a_message(2), ordered=True), state=State.WAITING)
    shown = delivery_json(DeliveryRecord(delivery, (), first))

    assert (shown["state"], shown["ordered"], shown["waitsFor"]) == ("waiting", True, str(first))
    assert shown["dueAt"] is None


DOWNLINK = Downlink(
    message=a_message().id,
    device="1C178",
    device_type="tracker",
    asked_at=NOW,
    expires_at=NOW + LISTENING,
    state=DownlinkState.ASKED,
)


@pytest.mark.parametrize(
    ("downlink", "shown"),
    [
        (DOWNLINK, ("asked", None, None, None)),
        (replace(DOWNLINK, state=DownlinkState.SERVED, data=b"\0" * 8), ("served", None, None, "00" * 8)),
        (replace(DOWNLINK, state=DownlinkState.DECLINED), ("declined", None, None, None)),
        (
            replace(DOWNLINK, state=DownlinkState.ENDED, data=b"\1" * 8, code=InfoCode.ACKED),
            ("ended", 0, INFO_MESSAGES[InfoCode.ACKED], "01" * 8),
        ),
        (
            replace(DOWNLINK, state=DownlinkState.ENDED, code=InfoCode.NO_ANSWER),
            ("ended", 1, INFO_MESSAGES[InfoCode.NO_ANSWER], None),
        ),
    ],
)
def test_a_downlink_has_a_code_once_its_result_is_known(
    downlink: Downlink, shown: tuple[str, int | None, str | None, str | None]
) -> None:
    form = downlink_json(downlink)

    assert tuple(form[name] for name in ("state", "infoCode", "infoMessage", "data")) == shown
    assert (form["askedAt"], form["expiresAt"]) == ("2026-01-01T12:00:00.123Z", "2026-01-01T12:00:45.123Z")


def test_objects_of_a_message_are_json_and_data_is_left_out_where_there_can_be_none() -> None:
    located = {"computedLocation": Json('{"lat":52.00,"lng":5.5,"source":2}')}
    advanced = replace(a_message(), type=MessageType.DATA_ADVANCED, metadata=located)
    error = replace(a_message(), type=MessageType.ERROR, data=b"", metadata={"info": "silent", "severity": "ERROR"})

    assert message_json(advanced)["computedLocation"] == {"lat": 52.0, "lng": 5.5, "source": 2}
    assert message_json(advanced)["data"] == "e80332c0"
    assert "data" not in message_json(error)
    assert message_json(error)["info"] == "silent"


@pytest.mark.parametrize(
    ("credentials", "shown"),
    [
        ("gateway:hunter2", "Basic gateway:***"),
        (("gateway:", Secret("PASSWORD", Context.TEXT)), "Basic gateway:${secret.PASSWORD}"),
    ],
)
def test_credentials_of_a_url_are_shown_without_the_password(
    credentials: str | tuple[str | Secret, ...], shown: str
) -> None:
    record = DeliveryRecord(a_delivery(request=a_request(headers=(), credentials=credentials)), ())
    text = orjson.dumps(delivery_json(record)).decode()

    assert f'"Authorization":"{shown}"' in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("host", "url"),
    [("ingest.example.com", "https://ingest.example.com/x"), ("2001:db8::1", "https://[2001:db8::1]/x")],
)
def test_a_url_is_shown_as_it_would_be_written(host: str, url: str) -> None:
    shown = delivery_json(DeliveryRecord(a_delivery(request=a_request(host=host, target="/x", body=None)), ()))

    assert orjson.loads(orjson.dumps(shown))["request"]["url"] == url


def test_only_the_beginning_of_a_long_answer_is_shown() -> None:
    record = DeliveryRecord(a_delivery(), (an_attempt(1, Refused(400, b"x" * 65_536)),))

    assert len(orjson.loads(orjson.dumps(delivery_json(record)))["log"][0]["body"]) == 4_096


@pytest.mark.parametrize(
    ("step", "outcome", "state", "due_at"),
    [
        (Done(), None, State.DELIVERED, None),
        (RetryAt(NOW + timedelta(minutes=1)), Refused(500), State.PENDING, "2026-01-01T12:01:00.123Z"),
        (GiveUp("The receiver answered 500."), Refused(500), State.UNDELIVERED, None),
    ],
)
def test_a_settlement_shows_the_delivery_as_the_attempt_leaves_it(
    step: Step, outcome: Outcome | None, state: State, due_at: str | None
) -> None:
    shown = orjson.loads(orjson.dumps(settlement_json(a_settlement(a_lease(a_delivery()), step, outcome))))

    assert (shown["state"], shown["attempts"], shown["tries"], shown["dueAt"]) == (state, 1, 1, due_at)
    assert [attempt["number"] for attempt in shown["log"]] == [1]


def test_a_revision_lists_digests_and_owners() -> None:
    definition = a_definition()
    publication = Publication(NOW, "ci@example.com", "5b6bab4", "widen the range", "apply", "00ff" * 8)
    shown = revision_json(replace(a_revision([definition], publication=publication), owner="cold-chain"))

    assert shown["number"] == 1
    assert (shown["publishedAt"], shown["publishedBy"]) == ("2026-01-01T12:00:00.123Z", "ci@example.com")
    assert (shown["commit"], shown["note"]) == ("5b6bab4", "widen the range")
    assert (shown["owner"], shown["via"], shown["plan"]) == ("cold-chain", "apply", "00ff" * 8)
    assert shown["definitions"] == {"tracker/telemetry": {"digest": definition.digest, "owner": "cold-chain"}}


def test_before_the_first_publication_there_is_revision_0() -> None:
    assert revision_json(EMPTY) == {
        "number": 0,
        "digest": "",
        "owner": "",
        "publishedAt": None,
        "publishedBy": "",
        "commit": "",
        "note": "",
        "via": "",
        "plan": "",
        "definitions": {},
    }


def test_a_line_of_history_says_what_changed() -> None:
    revision = a_revision([a_definition()])
    changes = (("create", TELEMETRY), ("move", Key("tracker", "b")))
    sources = {Key("tracker", "b"): Key("tracker", "a")}
    entry = HistoryEntry(revision.number, revision.digest, revision.publication, changes, "cold-chain", sources)
    shown = history_json(entry)

    assert shown["owner"] == "cold-chain"
    assert shown["changes"] == [
        {"kind": "create", "key": "tracker/telemetry"},
        {"kind": "move", "key": "tracker/b", "from": "tracker/a"},
    ]


def test_secrets_are_told_by_fingerprint() -> None:
    state = SecretState("00ff" * 4, None, (TELEMETRY,))

    assert secrets_json({"INGEST_TOKEN": state}) == {
        "INGEST_TOKEN": {"published": "00ff" * 4, "current": None, "definitions": ["tracker/telemetry"]}
    }
