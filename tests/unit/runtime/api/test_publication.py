from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.codec.canonical import content_digest, define
from reconciler.model.definition import Content
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Owned
from reconciler.runtime.api.publication import Problem, Proposal, joint_problems, read_amendment, read_proposal

TELEMETRY: dict[str, Any] = {
    "type": "data/uplink",
    "channel": "url",
    "url": "https://ingest.example.com/uplink/{device}",
    "body": "t={customData#temperature}",
    "payload": "temperature::int:16",
}
DIGEST = content_digest(TELEMETRY)
CREATE = {"kind": "create", "key": "tracker/telemetry", "after": TELEMETRY}
UPDATE = {"kind": "update", "key": "tracker/telemetry", "expects": DIGEST, "after": TELEMETRY}
DELETE = {"kind": "delete", "key": "tracker/telemetry", "expects": DIGEST}
MOVE = {**UPDATE, "kind": "move", "from": "tracker/old"}
ADOPT = {**UPDATE, "kind": "adopt", "from": "cold-store"}
BODY = {"owner": "cold-chain", "by": "ci", "commit": "5b6bab4", "note": "first", "changes": [CREATE]}


def shape_problems(**changes: object) -> list[tuple[list[str | int], str]]:
    read = read_proposal({**BODY, **changes})
    assert isinstance(read, tuple)
    return [(list(problem["path"]), str(problem["code"])) for problem in read]


def definition_problems(key: str, after: Mapping[str, object]) -> tuple[Problem, ...]:
    read = read_amendment({"kind": "create", "key": key, "after": after})
    assert isinstance(read, tuple)
    return read


def test_a_proposal_says_who_publishes_what() -> None:
    assert read_proposal(BODY) == Proposal("cold-chain", "ci", "5b6bab4", "first", [CREATE])


def test_all_but_owner_and_changes_may_be_left_out() -> None:
    assert read_proposal({"owner": "cold-chain", "changes": []}) == Proposal("cold-chain", "", "", "", [])


@pytest.mark.parametrize("via", ["", "apply", "rollback", "import"])
def test_a_proposal_says_what_carries_out_which_plan_and_which_secrets_it_knows(via: str) -> None:
    secrets = {"INGEST_TOKEN": "00ff" * 4, "NOT_SET": None}
    read = read_proposal({**BODY, "via": via, "plan": DIGEST, "secrets": secrets})
    assert read == Proposal("cold-chain", "ci", "5b6bab4", "first", [CREATE], via=via, plan=DIGEST, secrets=secrets)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"owner": None}, ["owner"]),
        ({"owner": "two words"}, ["owner"]),
        ({"by": 7}, ["by"]),
        ({"note": "x" * 2001}, ["note"]),
        ({"changes": None}, ["changes"]),
        ({"changes": [7]}, ["changes", 0]),
        ({"changes": [CREATE, {**CREATE, "kind": "replace"}]}, ["changes", 1]),
        ({"changes": [{**CREATE, "kind": ["create"]}]}, ["changes", 0]),
        ({"changes": [{**CREATE, "expects": DIGEST}]}, ["changes", 0]),
        ({"changes": [{**DELETE, "after": {}}]}, ["changes", 0]),
        ({"changes": [{**DELETE, "key": ""}]}, ["changes", 0, "key"]),
        ({"changes": [{**DELETE, "key": "x" * 200}]}, ["changes", 0, "key"]),
        ({"changes": [{**UPDATE, "expects": "abc"}]}, ["changes", 0, "expects"]),
        ({"changes": [{**UPDATE, "expects": None}]}, ["changes", 0, "expects"]),
        ({"changes": [{**UPDATE, "kind": "move"}]}, ["changes", 0]),
        ({"changes": [{**UPDATE, "kind": "adopt"}]}, ["changes", 0]),
        ({"changes": [{**UPDATE, "from": "tracker/old"}]}, ["changes", 0]),
        ({"changes": [{**MOVE, "from": ""}]}, ["changes", 0, "from"]),
        ({"changes": [{**MOVE, "from": None}]}, ["changes", 0, "from"]),
        ({"changes": [{**MOVE, "from": "x" * 200}]}, ["changes", 0, "from"]),
        ({"changes": [{**MOVE, "from": "tracker"}]}, ["changes", 0, "from"]),
        ({"changes": [{**MOVE, "key": "tracker"}]}, ["changes", 0, "from"]),
        ({"changes": [{**ADOPT, "from": "two words"}]}, ["changes", 0, "from"]),
        ({"changes": [{**ADOPT, "from": None}]}, ["changes", 0, "from"]),
        ({"via": "console"}, ["via"]),
        ({"via": ["apply"]}, ["via"]),
        ({"plan": "abc"}, ["plan"]),
        ({"plan": None}, ["plan"]),
        ({"secrets": ["A"]}, ["secrets"]),
        ({"secrets": {"A": "clear text"}}, ["secrets", "A"]),
        ({"secrets": {"A": 7}}, ["secrets", "A"]),
    ],
)
def test_a_body_of_another_shape_is_refused_with_the_place(changes: dict[str, Any], path: list[str | int]) -> None:
    assert shape_problems(**changes) == [(path, "wrong-field")]


def test_an_unknown_field_is_refused_by_name() -> None:
    assert shape_problems(revision=3) == [(["revision"], "unknown-field")]


def test_all_problems_of_the_shape_are_listed() -> None:
    assert len(shape_problems(owner=None, note=7, changes=[7, {**DELETE, "key": 7, "expects": 7}])) == 5


def test_changes_become_amendments_with_digests_of_our_own() -> None:
    key = Key("tracker", "telemetry")
    created = read_amendment(CREATE)
    updated = read_amendment(UPDATE)

    assert isinstance(created, Amendment)
    assert isinstance(updated, Amendment)
    assert created.after is not None
    assert (created.kind, created.key, created.expects, created.after.digest) == ("create", key, None, DIGEST)
    assert (updated.kind, updated.key, updated.expects, updated.after) == ("update", key, DIGEST, created.after)
    assert read_amendment(DELETE) == Amendment("delete", key, DIGEST, None)
    assert read_amendment(MOVE) == Amendment("move", key, DIGEST, created.after, source=Key("tracker", "old"))
    assert read_amendment(ADOPT) == Amendment("adopt", key, DIGEST, created.after, taken_from="cold-store")
    assert read_amendment({**ADOPT, "from": ""}) == Amendment("adopt", key, DIGEST, created.after, taken_from="")


def test_what_moves_or_is_adopted_is_held_against_the_rules_too() -> None:
    for change in (MOVE, ADOPT):
        problems = read_amendment({**change, "after": {**TELEMETRY, "url": "ftp://e.test"}})
        assert isinstance(problems, tuple)
        assert [(problem["key"], tuple(problem["path"])) for problem in problems] == [("tracker/telemetry", ("url",))]


def test_a_device_type_is_read_like_a_callback() -> None:
    created = read_amendment({"kind": "create", "key": "tracker", "after": {"keepAlive": 7200}})

    assert isinstance(created, Amendment)


@pytest.mark.parametrize(
    ("key", "after"),
    [
        ("tracker", {"keepAlive": "2h"}),
        ("tracker", {"callbacks": {}}),
        ("tracker/telemetry", {**TELEMETRY, "enabled": True}),
        ("tracker/telemetry", {**TELEMETRY, "sendSni": 1}),
        ("tracker/a/b", TELEMETRY),
        ("two words/telemetry", TELEMETRY),
    ],
)
def test_a_content_of_another_shape_is_a_problem_of_its_key(key: str, after: dict[str, Any]) -> None:
    (problem,) = definition_problems(key, after)

    assert (problem["key"], problem["code"]) == (key, "invalid-content")


def test_every_rule_that_a_definition_breaks_is_listed_with_key_path_and_sentence() -> None:
    after = {**TELEMETRY, "url": "https://{device}.example.com/", "body": "t={customData#pressure}"}
    problems = definition_problems("tracker/telemetry", after)

    assert {(problem["key"], tuple(problem["path"]), problem["code"]) for problem in problems} == {
        ("tracker/telemetry", ("url",), "template-variable-in-host"),
        ("tracker/telemetry", ("body",), "undeclared-custom-data"),
    }
    assert all(str(problem["message"]).endswith(".") for problem in problems)


@pytest.mark.parametrize(
    ("after", "codes"),
    [
        ({"type": "data/bidir", "channel": "batch-url", "url": "https://e/?b={batch}", "linePattern": "{device}"}, []),
        ({"type": "error", "channel": "email", "recipient": "ops@example.com", "message": "{info}"}, []),
        ({"type": "error", "channel": "email", "recipient": "ops@example.com"}, []),  # warnings are for files
        ({"type": "error", "channel": "email", "recipient": "ops@", "message": "x"}, ["bad-recipient"]),
        ({"type": "error", "channel": "email", "recipient": ["a@b"], "message": "x"}, ["invalid-content"]),
        (
            {"type": "data/bidir", "channel": "batch-url", "url": "https://e/"},
            ["template-batch-missing", "missing-key"],
        ),
    ],
)
def test_every_type_and_channel_can_be_published_by_its_rules(after: dict[str, Any], codes: list[str]) -> None:
    read = read_amendment({"kind": "create", "key": "tracker/a", "after": after})

    assert [problem["code"] for problem in read] == codes if isinstance(read, tuple) else codes == []


SELECTED: Content = {"type": "data/bidir", "channel": "url", "url": "https://example.com/", "downlinkHook": True}
PLAIN: Content = {name: value for name, value in SELECTED.items() if name != "downlinkHook"}


def held(**contents: Content) -> dict[Key, Owned]:
    return {
        key: Owned(define(key, content), "cold-chain")
        for name, content in contents.items()
        for key in (Key("tracker", name),)
    }


def moved(source: str, name: str, content: Content, *, from_type: str = "tracker") -> Amendment:
    key = Key("tracker", name)
    return Amendment("move", key, "", define(key, content), source=Key(from_type, source))


def amendment(
    name: str, content: Content | None, *, device_type: str = "tracker", expects: str | None = ""
) -> Amendment:
    key = Key(device_type, name)
    if content is None:
        return Amendment("delete", key, expects, None)
    return Amendment("create" if expects is None else "update", key, expects, define(key, content))


@pytest.mark.parametrize(
    ("amendments", "refused"),
    [
        ([amendment("b", SELECTED, expects=None)], ["tracker/b"]),
        ([amendment("0", SELECTED, expects=None)], ["tracker/a"]),  # in the order of their names: the later one
        ([amendment("b", SELECTED, expects=None), amendment("a", PLAIN)], []),
        ([amendment("b", SELECTED, expects=None), amendment("a", None)], []),
        ([amendment("b", {**SELECTED, "enabled": False}, expects=None)], ["tracker/b"]),
        ([amendment("b", SELECTED, device_type="meter", expects=None)], []),
        ([amendment("b", PLAIN, expects=None), amendment("", {"downlink": {"mode": "callback"}})], []),
        ([amendment("b", SELECTED, expects=None), amendment("c", SELECTED, expects=None)], ["tracker/b", "tracker/c"]),
        ([amendment("a", None)], []),
        ([moved("a", "b", SELECTED)], []),
        ([moved("z", "b", SELECTED)], ["tracker/b"]),
        ([moved("a", "b", SELECTED), amendment("c", SELECTED, expects=None)], ["tracker/c"]),
        ([moved("x", "b", SELECTED, from_type="meter")], ["tracker/b"]),
        ([], []),
    ],
)
def test_a_device_type_is_answered_for_by_one_callback_after_every_publication(
    amendments: list[Amendment], refused: list[str]
) -> None:
    problems = joint_problems(held(a=SELECTED, z=PLAIN), amendments)

    assert [(problem["key"], problem["code"]) for problem in problems] == [
        (key, "downlink-hook-twice") for key in refused
    ]
    assert all(tuple(problem["path"]) == ("downlinkHook",) for problem in problems)
