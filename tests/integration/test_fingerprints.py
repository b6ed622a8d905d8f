"""Fingerprints in an engine as it is served: the key outlives it, and no value of a secret is anywhere.

The secrets of the canary test have 8 to 64 characters and stand in every template that a callback has.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from string import ascii_letters, digits
from typing import Any, cast

import httpx
import pytest

from reconciler.cli.wiring import EngineSettings, open_engine
from reconciler.codec.canonical import content_digest
from reconciler.runtime.api.application import application
from reconciler.runtime.api.tokens import Scope, Token, Tokens, hash_token
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.engine import Engine

TOKEN = "rk_of-the-tests"
TOKENS = Tokens([Token("all", hash_token(TOKEN), frozenset(Scope))])
CALLBACKS: dict[str, dict[str, Any]] = {
    "url": {
        "type": "data/uplink",
        "channel": "url",
        "url": "https://${secret.S0}:${secret.S1}@ingest.example.com/${secret.S2}?key=${secret.S3}",
        "headers": {"X-Key": "Bearer ${secret.S4}"},
        "body": "a=${secret.S5}",
    },
    "batch": {
        "type": "data/uplink",
        "channel": "batch-url",
        "url": "https://ingest.example.com/?key=${secret.S6}&lines={batch}",
        "linePattern": "${secret.S7};{time}",
    },
    "mail": {
        "type": "error",
        "channel": "email",
        "recipient": "ops@example.com",
        "subject": "${secret.S8}",
        "message": "${secret.S9}",
    },
}
NAMES = [f"S{number}" for number in range(10)]


def values(dice: Random) -> dict[str, str]:
    return {name: "".join(dice.choices(ascii_letters + digits, k=dice.randint(8, 64))) for name in NAMES}


@asynccontextmanager
async def served(data: Path, secrets: dict[str, str]) -> AsyncIterator[tuple[Engine, httpx.AsyncClient]]:
    async with open_engine(EngineSettings(data=data, egress=EgressPolicy(), secrets=secrets.get)) as engine:
        app = cast("Any", application(engine, TOKENS, stopping=asyncio.Event()))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://engine", headers=headers
        ) as client:
            yield engine, client


def files_in(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


async def publish(client: httpx.AsyncClient, changes: list[dict[str, Any]], *, expect: int) -> httpx.Response:
    body = {"owner": "cold-chain", "by": "ci", "via": "apply", "changes": changes}
    return await client.post("/v1/revisions", json=body, headers={"If-Match": f'"{expect}"'})


CREATES = [
    {"kind": "create", "key": "tracker", "after": {}},
    *({"kind": "create", "key": f"tracker/{name}", "after": after} for name, after in CALLBACKS.items()),
]


@pytest.mark.parametrize("seed", range(5))
async def test_no_value_of_a_secret_is_kept_told_or_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    caplog.set_level(logging.DEBUG)
    dice = Random(seed)
    first, second = values(dice), values(dice)
    secrets = dict(first)
    said: list[str] = []
    async with served(tmp_path, secrets) as (engine, client):
        said.append((await publish(client, CREATES, expect=0)).text)
        secrets |= second
        delete = {"kind": "delete", "key": "tracker/mail", "expects": content_digest(CALLBACKS["mail"])}
        said.append((await publish(client, [], expect=1)).text)
        said.append((await publish(client, [delete, delete], expect=2)).text)
        for path in ("current", "applied?owner=cold-chain", "1", "2", ""):
            said.append((await client.get(f"/v1/revisions/{path}".rstrip("/"))).text)
        states = (await client.get("/v1/revisions/current")).json()["secrets"]
        said += [repr(engine.revision), repr(engine.fingerprints), str(vars(engine))]
    kept = b"".join(files_in(tmp_path).values())
    said += [caplog.text, *(str(vars(record)) for record in caplog.records)]

    assert sorted(states) == NAMES
    assert all(state["published"] == state["current"] is not None for state in states.values())
    for value in (*first.values(), *second.values()):
        assert value.encode() not in kept
        assert not [text for text in said if value in text]


async def test_the_key_outlives_the_engine_and_is_in_no_other_file(tmp_path: Path) -> None:
    secrets = values(Random(7))
    async with served(tmp_path, secrets) as (_, client):
        await publish(client, CREATES, expect=0)
        before = (await client.get("/v1/revisions/current")).json()["secrets"]
    async with served(tmp_path, secrets) as (_, client):
        after = (await client.get("/v1/revisions/current")).json()["secrets"]
        assert (await publish(client, [], expect=1)).status_code == 422

    assert before == after
    files = files_in(tmp_path)
    key = files.pop("fingerprint.key")
    assert (tmp_path / "fingerprint.key").stat().st_mode & 0o777 == 0o600
    assert not [name for name, content in files.items() if key in content]
