"""Signatures as Standard Webhooks has them, judged by its reference library."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError, webhooks

from reconciler.codec.delivery import dump_request, load_request
from reconciler.grammar.escape import Context
from reconciler.grammar.template import Secret
from reconciler.model.delivery import HttpRequest, Signature, Unreachable
from reconciler.model.resource import Method
from reconciler.runtime.channels.signing import BadKey, signature_lines
from reconciler.runtime.channels.wire import Filling, compose
from reconciler.runtime.request_form import request_json

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEW = "whsec_" + b64encode(bytes(range(32))).decode()
OLD = "whsec_" + b64encode(bytes(range(100, 132))).decode()
OTHER = "whsec_" + b64encode(bytes(range(200, 232))).decode()
KEYS = {"NEW": NEW, "OLD": OLD, "TOKEN": "a token"}
BODY = '{"device": "1C178", "text": "21 °C\\r\\n"}'


class AtNow(datetime):
    """The reference's clock, which stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "AtNow":
        return cls.fromtimestamp(NOW.timestamp(), tz)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature is refused after five minutes, and tests may run long after they were collected."""
    monkeypatch.setattr(webhooks, "datetime", AtNow)


def request(*keys: str, body: Any = BODY, method: Method = Method.POST) -> HttpRequest:
    return HttpRequest(
        method=method,
        scheme="https",
        host="receiver.example",
        port=443,
        target="/",
        headers=(("Content-Type", "application/json"),),
        credentials=None,
        body=body,
        send_sni=False,
        signature=Signature("0123-0", keys) if keys else None,
    )


def sent(signed: HttpRequest, *, at: datetime = NOW, secrets: Any = None) -> tuple[dict[str, str], bytes]:
    """Headers and body on the wire."""
    message = compose(signed, fixed=" HTTP/1.1\r\n", secret=Filling((secrets or KEYS).get), now=lambda: at)
    assert isinstance(message, bytes), message
    head, _, body = message.partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
    assert len({name for name, _, _ in lines}) == len(lines)
    return {name: value for name, _, value in lines}, body


def verifies(key: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(key).verify(body, headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def test_the_vector_of_the_reference() -> None:
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    at = datetime.fromtimestamp(1_614_265_330, UTC)
    signature = Signature("msg_p5jXN8AQM9LWM0D4loKWxJek", ("KEY",))
    lines = signature_lines(signature, b'{"test": 2432232314}', at=at, secret=lambda _: key)
    assert lines == (
        "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\nwebhook-timestamp: 1614265330\r\n"
        "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n"
    )


@pytest.mark.parametrize("body", ["", "{}", BODY, "日本" * 10_000, ("a ", Secret("TOKEN", Context.TEXT))])
@pytest.mark.parametrize("method", [Method.POST, Method.PUT])
def test_the_reference_verifies_what_is_sent(body: Any, method: Method) -> None:
    headers, on_the_wire = sent(request("NEW", body=body, method=method))
    assert verifies(NEW, headers, on_the_wire)
    assert not verifies(OLD, headers, on_the_wire)


def test_a_signature_of_the_reference_is_ours() -> None:
    headers, body = sent(request("NEW"))
    theirs = Webhook(NEW).sign("0123-0", NOW.replace(microsecond=0), body.decode())
    assert headers["webhook-signature"] == theirs


@pytest.mark.parametrize(
    "tampered",
    [
        {"body": BODY.replace("1", "2").encode()},
        {"body": BODY.encode() + b" "},
        {"body": b""},
        {"webhook-id": "0123-1"},
        {"webhook-id": "0123-0.1"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-signature": "v1," + b64encode(bytes(32)).decode()},
        {"webhook-signature": "v2,AAAA"},
    ],
)
def test_whatever_is_tampered_with_is_refused(tampered: dict[str, Any]) -> None:
    headers, body = sent(request("NEW"))
    given = {name: value for name, value in tampered.items() if name != "body"}
    assert not verifies(NEW, headers | given, tampered.get("body", body))


def test_what_is_old_is_refused() -> None:
    headers, body = sent(request("NEW"), at=NOW - timedelta(minutes=6))
    assert not verifies(NEW, headers, body)


def test_while_a_key_is_replaced_both_receivers_verify() -> None:
    headers, body = sent(request("NEW", "OLD"))
    assert [word[:3] for word in headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]
    assert [verifies(key, headers, body) for key in (NEW, OLD, OTHER)] == [True, True, False]


def test_a_retry_has_the_same_id_and_its_own_time() -> None:
    first, _ = sent(request("NEW"), at=NOW - timedelta(minutes=1))
    second, body = sent(request("NEW"))
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60
    assert verifies(NEW, second, body)
    assert not verifies(NEW, {**second, "webhook-timestamp": first["webhook-timestamp"]}, body)


@pytest.mark.parametrize(
    "key", [NEW, NEW.removeprefix("whsec_"), NEW.rstrip("="), NEW + "\n", "whsec_" + b64encode(bytes(24)).decode()]
)
def test_a_key_may_be_written_so(key: str) -> None:
    headers, body = sent(request("KEY"), secrets={"KEY": key})
    assert verifies(key.strip(), headers, body)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "hunter2",
        "whsec_",
        "whsec_ä",
        "whsec_" + "A" * 31,
        "whsec_" + b64encode(bytes(23)).decode(),
        "A" * 88,
        "a b" * 16,
    ],
)
def test_what_is_no_key_signs_nothing_and_is_not_told(key: str) -> None:
    with pytest.raises(BadKey) as caught:
        signature_lines(Signature("1", ("KEY",)), b"", at=NOW, secret=lambda _: key)
    assert (str(caught.value), caught.value.__suppress_context__ or caught.value.__context__ is None) == ("KEY", True)
    outcome = compose(request("KEY"), fixed=" HTTP/1.1\r\n", secret=Filling({"KEY": key}.get))
    assert outcome == Unreachable(
        "bad-signing-key",
        "The secret KEY is no signing key: whsec_ and 24 to 64 bytes in base64. Nothing was sent.",
    )


def test_a_key_that_is_missing_is_a_missing_secret() -> None:
    outcome = compose(request("NEW", "NOWHERE"), fixed=" HTTP/1.1\r\n", secret=Filling(KEYS.get))
    assert isinstance(outcome, Unreachable)
    assert (outcome.reason, "NOWHERE" in outcome.detail) == ("secret-missing", True)


def test_a_request_without_a_signature_has_no_such_headers() -> None:
    headers, _ = sent(request())
    assert not any(name.startswith("webhook-") for name in headers)


def test_a_store_keeps_names_and_reads_them_back() -> None:
    signed = request("NEW", "OLD")
    assert load_request(dump_request(signed)) == signed
    assert dump_request(signed).startswith(b'["signed-http/1","0123-0",["NEW","OLD"],"POST"')
    assert dump_request(request()).startswith(b'["http/1","POST"')


def test_people_are_shown_names() -> None:
    assert request_json(request("NEW", "OLD"))["headers"] == {
        "Content-Type": "application/json",
        "webhook-id": "0123-0",
        "webhook-timestamp": "(when it is sent)",
        "webhook-signature": "v1,***(${secret.NEW}) v1,***(${secret.OLD})",
    }
