"""What may stand in the `signature` of a callback."""

import pytest

from reconciler.model.definition import Content, check_callback
from reconciler.model.resource import Key, UrlChannel

CALLBACK: Content = {"type": "data/uplink", "channel": "url", "url": "https://example.com/"}


def judged(**more: object) -> tuple[tuple[str, ...] | None, list[tuple[str, tuple[str, ...], int | None]]]:
    """The keys, and what was found."""
    callback, found = check_callback(Key("t", "c"), {**CALLBACK, **more})  # type: ignore[dict-item]
    assert callback is None or isinstance(callback.channel, UrlChannel)
    keys = None if callback is None else callback.channel.signing_keys  # type: ignore[union-attr]
    return keys, [(each.code, each.path, each.offset) for each in found]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("${secret.A}", ("A",)),
        ("${secret.NEW}, ${secret.OLD}", ("NEW", "OLD")),
        (" ${secret.B} ,${secret.A}\n", ("B", "A")),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_references_to_secrets(text: str, keys: tuple[str, ...], method: str) -> None:
    assert judged(signature=text, method=method) == (keys, [])


def test_none_signs_nothing() -> None:
    assert judged() == ((), [])


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0),
        ("{device}", 0),
        ("${secret.A} ${secret.B}", 11),
        ("${secret.A}${secret.B}", 11),
        ("${secret.A},", 11),
        (",${secret.A}", 0),
        ("${secret.A}, whsec_x", 11),
        ("whsec_${secret.A}", 0),
        ("${secret.A}, {device}", 11),
        ("${secret.A}, ${secret.A}", None),
        (", ".join(f"${{secret.K{number}}}" for number in range(6)), None),
        (" ", 0),
    ],
)
def test_nothing_else(text: str, offset: int | None) -> None:
    assert judged(signature=text) == (None, [("bad-signature", ("signature",), offset)])


def test_another_reference_is_none() -> None:
    assert judged(signature="${secrets.A}")[1] == [("template-unknown-reference", ("signature",), 0)]


def test_not_what_has_no_body() -> None:
    assert judged(signature="${secret.A}", method="GET")[1][0][:2] == ("bad-signature", ("signature",))


@pytest.mark.parametrize("name", ["webhook-id", "Webhook-Signature", "WEBHOOK-TIMESTAMP"])
def test_its_headers_are_there_once(name: str) -> None:
    assert judged(signature="${secret.A}", headers={name: "x"})[1][0][:2] == ("bad-signature", ("headers", name))
    assert judged(headers={name: "x"}) == ((), [])


@pytest.mark.parametrize(
    "callback",
    [
        {"type": "data/uplink", "channel": "batch-url", "url": "https://x/?l={batch}", "linePattern": "{time}"},
        {"type": "data/uplink", "channel": "email", "recipient": "a@example.com", "subject": "s", "message": "m"},
    ],
)
def test_of_channel_url_alone(callback: Content) -> None:
    _, found = check_callback(Key("t", "c"), {**callback, "signature": "${secret.A}"})
    assert [(each.code, each.path) for each in found] == [("field-not-of-channel", ("signature",))]
