"""Failed logins, tokens that are exchanged and withdrawn, and what the audit log tells of all that."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from reconciler.runtime.api.application import application
from reconciler.runtime.api.audit import AUDIT_LOGGER
from reconciler.runtime.api.doors import Door
from reconciler.runtime.api.tokens import Scope, Token, Tokens, hash_token, new_token
from reconciler.store.memory import MemoryStore
from tests.integration.api.rig import ALL, CHANGES, CLEAR, DIRECT, TOKENS, UPLINK, Rig, read_answer, serving

WRONG = new_token(b"\x80" * 32)


def doors_of(rig: Rig) -> tuple[Door, ...]:
    return tuple(application(rig.engine, TOKENS, stopping=rig.stopping).doors)


def audited(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [{"event": record.msg, **vars(record)} for record in caplog.records if record.name == AUDIT_LOGGER]


@pytest.fixture
def tokens() -> Iterator[None]:
    """The tokens of the rig as they were, at the end."""
    before = Tokens(TOKENS)
    yield
    TOKENS.replace(before)


def withdraw(name: str) -> None:
    TOKENS.replace(Tokens([token for token in TOKENS if token.name != name]))


# Every door there is, so that a new one can not be forgotten


async def test_every_door_opens_to_its_scope_alone_and_liveness_to_all(rig: Rig) -> None:
    """The doors are asked for what they are: no list that somebody would have to keep."""
    doors = doors_of(rig)
    for door in doors:
        path = door.path.format(id="65" * 16, number=0, event="uplink")
        for scope in (None, *Scope):
            headers = {"Authorization": ""} if scope is None else rig.as_(scope)
            if door.path.endswith("/stream") and scope == door.scope:
                continue  # it would tell for ever; `test_stream` opens it
            status = (await rig.client.request(door.method, path, headers=headers)).status_code
            match scope:
                case _ if door.scope is None:
                    assert status == 200, door
                case None:
                    assert status in (401, 429), door
                case door.scope:
                    assert status not in (401, 403, 404, 405) or "{" in door.path, (door, status)
                    assert status not in (401, 403), (door, status)
                case _:
                    assert status == 403, (door, scope)
    assert [door.path for door in doors if door.scope is None] == ["/healthz"]
    assert len(doors) > 20


async def test_a_token_is_looked_up_by_its_hash_and_never_compared(rig: Rig) -> None:
    """All that is ever compared is digests: whoever measures how long it takes learns nothing of a token."""
    seen: list[object] = []

    class Watched(dict[bytes, Token]):
        def get(self, key: Any, default: Any = None) -> Any:
            seen.append(key)
            return super().get(key, default)

    tokens = Tokens(TOKENS)
    tokens._by_digest = Watched(tokens._by_digest)
    assert tokens.token_of(f"Bearer {ALL}".encode()) is not None
    assert tokens.token_of(f"Bearer {ALL[:-1]}A".encode()) is None
    assert [type(key) for key in seen] == [bytes, bytes]
    assert [len(key) for key in seen if isinstance(key, bytes)] == [32, 32]


# Failed logins


async def test_who_fails_too_often_is_told_to_wait_and_a_good_token_is_not(rig: Rig) -> None:
    answers = [await rig.client.get("/readyz", headers={"Authorization": f"Bearer {WRONG}"}) for _ in range(30)]
    statuses = [answer.status_code for answer in answers]
    slow = answers[-1]

    assert statuses == [401] * 10 + [429] * 20
    assert slow.json()["code"] == "too-many-failed-logins"
    assert 1 <= int(slow.headers["retry-after"]) <= 6
    assert (await rig.client.get("/readyz")).status_code == 200
    assert (await rig.client.post("/v1/messages", json=UPLINK)).status_code == 202
    assert "reconciler_logins_refused_total 30\n" in (await rig.client.get("/metrics")).text


async def test_a_token_that_lacks_a_scope_is_no_failed_login(rig: Rig) -> None:
    statuses = {(await rig.client.get("/readyz", headers=rig.as_(Scope.INGEST))).status_code for _ in range(30)}

    assert statuses == {403}


async def test_refused_logins_are_told_within_bounds_without_what_was_sent(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(30):
            await rig.client.get("/v1/revisions?x=hidden", headers={"Authorization": f"Bearer {WRONG}"})
        for _ in range(200):
            await rig.client.get("/v1/revisions", headers=rig.as_(Scope.INGEST))
    told = audited(caplog)

    assert {line["event"] for line in told} == {"audit.login-refused"}
    assert 60 <= len(told) < 90, "sixty at once, then one a second"
    assert (told[0]["reason"], told[0]["door"], told[0]["peer"]) == ("unknown-token", "/v1/revisions", "127.0.0.1")
    assert (told[10]["reason"], told[10]["token"], told[10]["untold"]) == ("scope-missing", "ingest", 20)
    assert WRONG not in str(told)
    assert "hidden" not in str(told)


# Tokens that are exchanged


async def test_a_token_that_is_withdrawn_opens_nothing_from_then_on(rig: Rig, tokens: None) -> None:
    assert (await rig.client.get("/readyz", headers=rig.as_(Scope.READ))).status_code == 200
    withdraw("read")

    assert (await rig.client.get("/readyz", headers=rig.as_(Scope.READ))).status_code == 401
    assert (await rig.client.get("/readyz")).status_code == 200


async def test_a_stream_and_a_waiting_question_end_when_their_token_is_withdrawn(tokens: None) -> None:
    async with serving(MemoryStore()) as served, asyncio.timeout(20):
        client, rig = served.rig.client, served.rig
        await rig.publish([{"kind": "create", "key": "tracker", "after": DIRECT}])
        waiting = asyncio.create_task(client.get("/v1/downlinks?wait=60s", headers=rig.as_(Scope.INGEST), timeout=30))
        async with client.stream("GET", "/v1/deliveries/stream", headers=rig.as_(Scope.READ)) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == ""
            while len(TOKENS._waiting) < 2:
                await asyncio.sleep(0.01)  # until the server holds both
            withdraw("ingest")
            answer = await waiting
            withdraw("read")
            assert [line async for line in lines if line] == []
        assert answer.json() == {"downlinks": []}
        await rig.ingest({**UPLINK, "ack": True})
        (left,) = (await client.get("/v1/downlinks?wait=20s", timeout=30)).json()["downlinks"]

    assert left["device"] == "1C178", "what nobody may fetch stays ready"


@pytest.mark.parametrize(
    ("path", "scope", "head"),
    [
        ("/v1/messages", Scope.INGEST, ""),
        ("/v1/revisions", Scope.APPLY, 'If-Match: "0"\r\n'),
        ("/v1/deliveries/replay", Scope.APPLY, ""),
    ],
)
async def test_a_token_that_is_withdrawn_while_a_body_arrives_changes_nothing(
    tokens: None, path: str, scope: Scope, head: str
) -> None:
    body = {
        "/v1/messages": UPLINK,
        "/v1/revisions": {"owner": "cold-chain", "by": "ci", "changes": CHANGES},
        "/v1/deliveries/replay": {"state": "undelivered"},
    }[path]
    content = orjson.dumps(body)
    async with serving(MemoryStore()) as served, asyncio.timeout(20):
        reader, writer = await served.connect()
        request = f"POST {path} HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {CLEAR[scope]}\r\n{head}"
        writer.write(f"{request}Content-Length: {len(content)}\r\n\r\n".encode() + content[:5])
        for _ in range(5):  # in turns with the server, until it waits for the rest
            assert (await served.rig.client.get("/healthz")).status_code == 200
        withdraw(scope)
        writer.write(content[5:])
        status, answer = await read_answer(reader)
        writer.close()
        kept = await served.rig.store.messages_of("1C178", limit=9)

    assert (status, answer["code"]) == (401, "unauthorized")
    assert (served.rig.engine.revision.number, list(kept)) == (0, [])


def test_tokens_that_are_exchanged_take_the_place_of_all_others() -> None:
    read = Token("ci", hash_token(ALL), frozenset({Scope.READ}))
    tokens = Tokens([read, Token("old", hash_token(WRONG), frozenset(Scope))])
    tokens.replace(Tokens([Token("ci", read.hash, frozenset({Scope.APPLY}))]))

    assert tokens.token_of(f"Bearer {WRONG}".encode()) is None
    assert not tokens.allow(read, Scope.READ)
    assert tokens.allow(read, Scope.APPLY)


# Who changed what


async def test_each_change_is_told_with_who_where_and_what_but_no_contents(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        more: dict[str, Any] = {"via": "apply", "plan": "ab" * 16, "commit": "1234567", "note": "not for the log"}
        assert (await rig.publish(CHANGES, **more)).status_code == 201
        assert (await rig.publish(CHANGES)).status_code == 412
        replayed = await rig.client.post("/v1/deliveries/replay", json={"state": "undelivered"})
        assert replayed.json() == {"replayed": 0}
    published, sent_again = audited(caplog)
    revision = rig.engine.revision

    assert published["event"] == "audit.published"
    assert {name: published[name] for name in ("revision", "digest", "owner", "via", "plan", "by", "commit")} == {
        "revision": 1,
        "digest": revision.digest,
        "owner": "cold-chain",
        "via": "apply",
        "plan": "ab" * 16,
        "by": "ci",
        "commit": "1234567",
    }
    assert (published["token"], published["peer"], published["changes_create"]) == ("all", "127.0.0.1", 2)
    assert (sent_again["event"], sent_again["named"], sent_again["deliveries"]) == ("audit.replayed", "filter", 0)
    assert "ingest.example.com" not in str(published)
    assert "not for the log" not in caplog.text


async def test_the_address_of_a_peer_is_told(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    app: Any = application(rig.engine, TOKENS, stopping=rig.stopping)
    transport = httpx.ASGITransport(app, client=("2001:db8::7", 9))
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
        await client.get("/readyz")

    assert audited(caplog)[0]["peer"] == "2001:db8::7"
