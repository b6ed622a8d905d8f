from reconciler.codec.canonical import canonical_json, content_digest, define, digest_of, revision_digest, set_digest
from reconciler.model.definition import Content
from reconciler.model.resource import Key
from reconciler.model.revision import Owned

TRACKER, TELEMETRY = Key("tracker"), Key("tracker", "telemetry")


def test_the_order_of_keys_does_not_matter() -> None:
    one: Content = {"url": "http://a/", "headers": {"A": "1", "B": "2"}}
    other: Content = {"headers": {"B": "2", "A": "1"}, "url": "http://a/"}

    assert canonical_json(one) == b'{"headers":{"A":"1","B":"2"},"url":"http://a/"}'
    assert content_digest(one) == content_digest(other)


def test_the_order_of_items_does_matter() -> None:
    assert content_digest({"x": [1, 2]}) != content_digest({"x": [2, 1]})


def test_a_digest_is_32_hex_digits_and_kinds_are_kept_apart() -> None:
    assert len(digest_of("content/1", b"")) == 32
    assert digest_of("content/1", b"x") != digest_of("set/1", b"x")


def test_a_digest_never_moves() -> None:
    """Stores and plans keep digests: a change of this value would make every one of them stale."""
    assert content_digest({"type": "data/uplink", "channel": "url"}) == "87a5de92ebb0da46d4611dd01a111078"


def test_a_set_is_told_apart_by_keys_and_digests_and_not_by_order() -> None:
    assert set_digest({TRACKER: "a", TELEMETRY: "b"}) == set_digest({TELEMETRY: "b", TRACKER: "a"})
    assert set_digest({TRACKER: "a"}) != set_digest({TELEMETRY: "a"})
    assert set_digest({TRACKER: "a"}) != set_digest({TRACKER: "b"})


def test_a_revision_is_told_apart_by_owners_too() -> None:
    definition = define(TRACKER, {"description": "x"})

    assert revision_digest([(TRACKER, Owned(definition, "a"))]) != revision_digest([(TRACKER, Owned(definition, "b"))])
