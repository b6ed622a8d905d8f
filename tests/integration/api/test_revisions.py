"""`/v1/revisions`: what is in force, what was, and publishing."""

import asyncio
from typing import Any

import orjson
import pytest

from reconciler.codec.canonical import content_digest
from tests.integration.api.rig import ALL, CALLBACK, CHANGES, UPLINK, Rig, Served

OTHER: dict[str, Any] = {**CALLBACK, "body": "seq={seqNumber}"}
UPDATE = {"kind": "update", "key": "tracker/telemetry", "expects": content_digest(CALLBACK), "after": OTHER}
MOVE = {**UPDATE, "kind": "move", "key": "tracker/position", "from": "tracker/old"}
ADOPT = {**UPDATE, "kind": "adopt", "from": "cold-chain"}


async def test_before_the_first_publication_there_is_revision_0(rig: Rig) -> None:
    for path in ("/v1/revisions/current", "/v1/revisions/0"):
        response = await rig.client.get(path)

        assert response.headers["etag"] == '"0"'
        assert (response.json()["number"], response.json()["definitions"]) == (0, {})
    assert (await rig.client.get("/v1/revisions")).json() == {"revisions": []}


async def test_a_publication_becomes_the_current_revision(rig: Rig) -> None:
    response = await rig.publish(commit="5b6bab4", note="first", via="apply", plan="5b" * 16)
    current = await rig.client.get("/v1/revisions/current")
    shown = current.json()

    assert response.status_code == 201
    assert response.json() == {"number": 1, "digest": shown["digest"]}
    assert response.headers["etag"] == current.headers["etag"] == '"1"'
    assert (shown["publishedBy"], shown["commit"], shown["note"]) == ("ci", "5b6bab4", "first")
    assert (shown["owner"], shown["via"], shown["plan"]) == ("cold-chain", "apply", "5b" * 16)
    assert shown["definitions"] == {
        "tracker": {"digest": content_digest({}), "owner": "cold-chain"},
        "tracker/telemetry": {"digest": content_digest(CALLBACK), "owner": "cold-chain"},
    }


async def test_contents_are_fetched_by_key_and_unknown_keys_left_out(rig: Rig) -> None:
    await rig.publish()
    body = {"keys": ["tracker/telemetry", "tracker/nothing", ""]}
    response = await rig.client.post("/v1/revisions/1/definitions", json=body)

    assert response.json() == {
        "definitions": {
            "tracker/telemetry": {"digest": content_digest(CALLBACK), "owner": "cold-chain", "content": CALLBACK}
        }
    }
    assert (await rig.client.post("/v1/revisions/0/definitions", json=body)).json() == {"definitions": {}}


@pytest.mark.parametrize("body", [{}, {"keys": "tracker"}, {"keys": [7]}, {"keys": [], "x": 1}])
async def test_a_request_for_contents_has_one_field(rig: Rig, body: dict[str, Any]) -> None:
    response = await rig.client.post("/v1/revisions/0/definitions", json=body)

    assert (response.status_code, response.json()["code"]) == (422, "invalid-request")


async def test_old_revisions_stay_as_they_were(rig: Rig) -> None:
    await rig.publish()
    first = (await rig.client.get("/v1/revisions/1")).json()
    await rig.publish([UPDATE], expect=1)

    assert (await rig.client.get("/v1/revisions/1")).json() == first
    assert (await rig.client.get("/v1/revisions/2")).json()["digest"] != first["digest"]


@pytest.mark.parametrize("number", ["2", "x", "-1", "1.0", "%C2%B2", "9" * 40])
async def test_a_revision_that_is_not_there_is_not_found(rig: Rig, number: str) -> None:
    response = await rig.client.get(f"/v1/revisions/{number}")

    assert (response.status_code, response.json()["code"]) == (404, "unknown-revision")


async def test_history_tells_newest_first_what_changed_and_goes_on_from_any_number(rig: Rig) -> None:
    await rig.publish()
    await rig.publish([UPDATE], expect=1, note="second", via="rollback", plan="5b" * 16)
    newest, oldest = (await rig.client.get("/v1/revisions")).json()["revisions"]

    assert (newest["number"], newest["note"]) == (2, "second")
    assert (newest["owner"], newest["via"], newest["plan"]) == ("cold-chain", "rollback", "5b" * 16)
    assert newest["changes"] == [{"kind": "update", "key": "tracker/telemetry"}]
    assert [change["kind"] for change in oldest["changes"]] == ["create", "create"]
    assert (await rig.client.get("/v1/revisions?limit=1")).json()["revisions"] == [newest]
    assert (await rig.client.get("/v1/revisions?before=2")).json()["revisions"] == [oldest]


async def test_who_publishes_has_to_say_on_top_of_what(rig: Rig) -> None:
    body = {"owner": "cold-chain", "changes": CHANGES}
    missing = await rig.client.post("/v1/revisions", json=body)

    assert (missing.status_code, missing.json()["code"]) == (428, "if-match-missing")
    for header in ("0", "*", 'W/"0"', '"0", "1"', '"x"'):
        wrong = await rig.client.post("/v1/revisions", json=body, headers={"If-Match": header})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid-if-match")


async def test_a_publication_for_another_revision_is_told_both_numbers(rig: Rig) -> None:
    await rig.publish()
    response = await rig.publish([UPDATE], expect=0)

    assert response.status_code == 412
    assert response.json()["code"] == "revision-conflict"
    assert (response.json()["expected"], response.json()["current"]) == (0, 1)


async def test_of_two_publishers_one_wins(rig: Rig) -> None:
    responses = await asyncio.gather(*(rig.publish() for _ in range(5)))

    assert sorted(response.status_code for response in responses) == [201, 412, 412, 412, 412]


@pytest.mark.parametrize(
    ("change", "owner", "code"),
    [
        (CHANGES[0], "cold-chain", "exists"),
        ({**UPDATE, "expects": "0" * 32}, "cold-chain", "moved"),
        ({**UPDATE, "key": "tracker/nothing"}, "cold-chain", "missing"),
        ({"kind": "create", "key": "lamp/state", "after": CALLBACK}, "cold-chain", "missing"),
        ({"kind": "delete", "key": "tracker", "expects": content_digest({})}, "cold-chain", "has-callbacks"),
        (UPDATE, "somebody-else", "foreign"),
        ({**MOVE, "expects": "0" * 32}, "cold-chain", "moved"),
        ({**MOVE, "from": "tracker/nothing"}, "cold-chain", "missing"),
        ({**MOVE, "key": "tracker/telemetry"}, "cold-chain", "exists"),
        ({**MOVE, "key": "lamp/position"}, "cold-chain", "missing"),
        (MOVE, "somebody-else", "foreign"),
        (ADOPT, "cold-store", "foreign"),  # a callback alone, of a device type that stays where it is
        ({**ADOPT, "key": "tracker", "after": {}, "expects": content_digest({})}, "cold-store", "has-callbacks"),
        ({**ADOPT, "from": ""}, "cold-store", "moved"),
    ],
)
async def test_what_is_not_as_expected_is_a_problem_of_its_key(
    rig: Rig, change: dict[str, Any], owner: str, code: str
) -> None:
    await rig.publish([*CHANGES, {**CHANGES[1], "key": "tracker/old"}])
    response = await rig.publish([change], expect=1, owner=owner)
    (problem,) = response.json()["problems"]

    assert (response.status_code, response.json()["code"]) == (409, "expectation-failed")
    assert problem["key"] in (change["key"], change.get("from"))
    assert problem["code"] == code
    assert (await rig.client.get("/v1/revisions/current")).json()["number"] == 1


async def test_definitions_that_break_rules_are_refused_with_every_problem(rig: Rig) -> None:
    broken = [
        {"kind": "create", "key": "tracker", "after": {"keepAlive": 60}},
        {"kind": "create", "key": "tracker/a", "after": {**CALLBACK, "url": "ftp://ingest.example.com"}},
        {"kind": "create", "key": "tracker/b", "after": {**CALLBACK, "body": "{nothing}", "colour": "red"}},
    ]
    response = await rig.publish(broken)
    problems = response.json()["problems"]

    assert (response.status_code, response.json()["code"]) == (422, "invalid-definition")
    assert [(problem["key"], problem["path"]) for problem in problems] == [
        ("tracker", ["keepAlive"]),
        ("tracker/a", ["url"]),
        ("tracker/b", []),
    ]
    assert (await rig.client.get("/v1/revisions")).json() == {"revisions": []}


async def test_definitions_that_break_a_rule_together_are_refused_with_what_is_held(rig: Rig) -> None:
    answers = {"type": "data/bidir", "channel": "url", "url": "https://example.com/", "downlinkHook": True}
    await rig.publish([*CHANGES, {"kind": "create", "key": "tracker/answers", "after": answers}])
    response = await rig.publish([{"kind": "create", "key": "tracker/settings", "after": answers}], expect=1)
    (problem,) = response.json()["problems"]

    assert (response.status_code, response.json()["code"]) == (422, "invalid-definition")
    assert (problem["key"], problem["code"], problem["path"]) == (
        "tracker/settings",
        "downlink-hook-twice",
        ["downlinkHook"],
    )
    assert (await rig.client.get("/v1/revisions/current")).json()["number"] == 1


async def test_a_device_type_is_moved_with_its_callbacks_and_history_says_where_from(rig: Rig) -> None:
    await rig.publish()
    moves = [
        {
            "kind": "move",
            "key": "beacon",
            "from": "tracker",
            "expects": content_digest({}),
            "after": {"payload": "a::bool:7"},
        },
        {**UPDATE, "kind": "move", "key": "beacon/telemetry", "from": "tracker/telemetry"},
    ]
    alone = await rig.publish(moves[:1], expect=1)
    both = await rig.publish(moves, expect=1)
    (newest, _) = (await rig.client.get("/v1/revisions")).json()["revisions"]

    assert (alone.status_code, alone.json()["problems"][0]["code"]) == (409, "has-callbacks")
    assert both.status_code == 201
    assert newest["changes"] == [
        {"kind": "move", "key": "beacon", "from": "tracker"},
        {"kind": "move", "key": "beacon/telemetry", "from": "tracker/telemetry"},
    ]
    assert [*(await rig.client.get("/v1/revisions/current")).json()["definitions"]] == ["beacon", "beacon/telemetry"]


async def test_messages_of_a_moved_device_type_fire_its_callbacks_at_once(rig: Rig) -> None:
    await rig.publish()
    await rig.publish(
        [
            {"kind": "move", "key": "beacon", "from": "tracker", "expects": content_digest({}), "after": {}},
            {**UPDATE, "kind": "move", "key": "beacon/telemetry", "from": "tracker/telemetry"},
        ],
        expect=1,
    )
    await rig.deliver({**UPLINK, "deviceType": "beacon"})

    assert [request.body for request in rig.sent] == ["seq=7"]


async def test_what_another_project_owns_is_adopted_whole_and_is_the_adopters_from_then_on(rig: Rig) -> None:
    await rig.publish()
    tracker = {"kind": "adopt", "key": "tracker", "from": "cold-chain", "expects": content_digest({}), "after": {}}
    response = await rig.publish([tracker, ADOPT], expect=1, owner="cold-store", via="import")
    shown = (await rig.client.get("/v1/revisions/current")).json()
    back = await rig.publish([UPDATE], expect=2)

    assert response.status_code == 201
    assert {(each["owner"], each["digest"]) for each in shown["definitions"].values()} == {
        ("cold-store", content_digest({})),
        ("cold-store", content_digest(OTHER)),
    }
    assert [problem["code"] for problem in back.json()["problems"]] == ["foreign"]


# What files brought about, and secrets


async def test_what_files_brought_about_is_told_for_each_project(rig: Rig) -> None:
    await rig.publish(via="apply", plan="5b" * 16)
    first = (await rig.client.get("/v1/revisions/applied?owner=cold-chain")).json()
    await rig.publish([UPDATE], expect=1)  # somebody at the door, behind the files
    lamp = {"kind": "create", "key": "lamp", "after": {}}
    await rig.publish([lamp], expect=2, owner="cold-store", via="apply")
    applied = await rig.client.get("/v1/revisions/applied?owner=cold-chain")
    theirs = await rig.client.get("/v1/revisions/applied?owner=cold-store")

    assert (first["number"], first["definitions"]["tracker/telemetry"]["digest"]) == (1, content_digest(CALLBACK))
    assert (applied.json(), applied.headers["etag"]) == (first, '"1"')
    assert theirs.json() == (await rig.client.get("/v1/revisions/current")).json()


async def test_whose_files_never_brought_about_anything_is_told_so(rig: Rig) -> None:
    await rig.publish()
    nobody = await rig.client.get("/v1/revisions/applied?owner=cold-chain")
    unsaid = await rig.client.get("/v1/revisions/applied")

    assert (nobody.status_code, nobody.json()["code"]) == (404, "nothing-applied")
    assert (unsaid.status_code, unsaid.json()["code"]) == (400, "invalid-parameter")


async def secrets_of(rig: Rig, path: str = "/v1/revisions/current") -> Any:
    return (await rig.client.get(path)).json()["secrets"]


async def test_secrets_that_definitions_refer_to_are_told_by_fingerprint(rig: Rig) -> None:
    rig.secrets["NOT_USED"] = "x"
    await rig.publish()
    unset = await secrets_of(rig)
    rig.secrets["INGEST_TOKEN"] = "first-value"
    first = await secrets_of(rig)
    rig.secrets["INGEST_TOKEN"] = "second-value"
    second = await secrets_of(rig)

    assert unset == {"INGEST_TOKEN": {"published": None, "current": None, "definitions": ["tracker/telemetry"]}}
    assert {len(state["INGEST_TOKEN"]["current"]) for state in (first, second)} == {16}
    assert first["INGEST_TOKEN"]["current"] != second["INGEST_TOKEN"]["current"]
    assert first["INGEST_TOKEN"]["published"] is second["INGEST_TOKEN"]["published"] is None


async def test_another_value_of_a_secret_may_be_published_alone(rig: Rig) -> None:
    rig.secrets["INGEST_TOKEN"] = "first-value"
    await rig.publish(via="apply")
    nothing = await rig.publish([], expect=1, via="apply")
    rig.secrets["INGEST_TOKEN"] = "second-value"
    others = await rig.publish([], expect=1, via="apply", owner="cold-store")
    before = await secrets_of(rig)
    ours = await rig.publish([], expect=1, via="apply")
    after = await secrets_of(rig)
    again = await rig.publish([], expect=2, via="apply")

    for refused in (nothing, others, again):
        assert (refused.status_code, refused.json()["code"]) == (422, "nothing-to-publish")
    assert ours.status_code == 201
    assert before["INGEST_TOKEN"]["published"] != before["INGEST_TOKEN"]["current"]
    assert after["INGEST_TOKEN"]["published"] == after["INGEST_TOKEN"]["current"] == before["INGEST_TOKEN"]["current"]
    first, second = [(await rig.client.get(f"/v1/revisions/{number}")).json() for number in (1, 2)]
    assert (first["digest"], first["definitions"]) == (second["digest"], second["definitions"])


async def test_what_others_publish_does_not_make_a_changed_secret_look_known(rig: Rig) -> None:
    rig.secrets["INGEST_TOKEN"] = "first-value"
    await rig.publish(via="apply")
    first = await secrets_of(rig)
    rig.secrets["INGEST_TOKEN"] = "second-value"
    await rig.publish([{"kind": "create", "key": "lamp", "after": {}}], expect=1, owner="cold-store", via="apply")
    ours = await secrets_of(rig, "/v1/revisions/applied?owner=cold-chain")
    response = await rig.publish([], expect=2, via="apply")

    assert ours["INGEST_TOKEN"]["published"] == first["INGEST_TOKEN"]["published"] != ours["INGEST_TOKEN"]["current"]
    assert response.status_code == 201


async def test_a_publisher_that_knows_of_another_value_of_a_secret_is_refused(rig: Rig) -> None:
    rig.secrets["INGEST_TOKEN"] = "first-value"
    await rig.publish()
    known = (await secrets_of(rig))["INGEST_TOKEN"]["current"]
    rig.secrets["INGEST_TOKEN"] = "second-value"
    response = await rig.publish([UPDATE], expect=1, secrets={"INGEST_TOKEN": known})
    (problem,) = response.json()["problems"]
    now = (await secrets_of(rig))["INGEST_TOKEN"]["current"]
    unused = await rig.publish([UPDATE], expect=1, secrets={"NOT_USED": known})

    assert response.status_code == unused.status_code == 409
    assert problem["code"] == "secret-changed"
    assert problem["message"] == (
        f"The secret INGEST_TOKEN has changed: expected fingerprint {known}, found fingerprint {now}."
    )
    assert (await rig.publish([UPDATE], expect=1, secrets={"INGEST_TOKEN": now})).status_code == 201


async def test_nothing_to_publish_is_refused(rig: Rig) -> None:
    response = await rig.publish([])

    assert (response.status_code, response.json()["code"]) == (422, "nothing-to-publish")


async def test_a_body_of_another_shape_is_refused(rig: Rig) -> None:
    response = await rig.publish([{"kind": "replace"}])

    assert (response.status_code, response.json()["code"]) == (422, "invalid-publication")
    assert response.json()["problems"][0]["path"] == ["changes", 0]


async def test_an_engine_that_stops_publishes_nothing(rig: Rig) -> None:
    await rig.engine.stop()

    assert (await rig.publish()).status_code == 503


async def test_who_leaves_while_sending_has_published_nothing(served: Served) -> None:
    _, writer = await served.connect()
    body = orjson.dumps({"owner": "cold-chain", "changes": CHANGES})
    head = f'POST /v1/revisions HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {ALL}\r\nIf-Match: "0"\r\n'
    writer.write(f"{head}Content-Length: {len(body) + 1}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await served.stop()  # waits for everything that was begun

    assert served.rig.engine.revision.number == 0


async def test_ten_thousand_definitions_are_one_publication(rig: Rig) -> None:
    changes = [
        {"kind": "create", "key": f"type-{number // 50}{key}", "after": after}
        for number in range(0, 10_000, 50)
        for key, after in [("", {}), *((f"/callback-{each}", CALLBACK) for each in range(50))]
    ]
    response = await rig.publish(changes)
    current = (await rig.client.get("/v1/revisions/current")).json()

    assert response.status_code == 201
    assert len(current["definitions"]) == 200 * 51
