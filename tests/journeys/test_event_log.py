"""The log as JSON: every line is an event, and each thing that happens is one of them."""

import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.processes import PATIENCE, Engine, engine_process, receiving, run

UPLINK = {"device": "1C178", "deviceType": "tracker", "time": 1_700_000_000, "data": "e80332c0"}
DIRECT = {"downlink": {"mode": "direct", "data": "0011223344556677"}}


def changes(url: str) -> list[dict[str, Any]]:
    callback = {"type": "data/uplink", "channel": "url", "url": f"{url}/{{device}}", "method": "GET"}
    return [
        {"kind": "create", "key": "tracker", "after": {}},
        {"kind": "create", "key": "tracker/telemetry", "after": callback},
        {"kind": "create", "key": "valve", "after": DIRECT},
    ]


def told(engine: Engine) -> list[dict[str, Any]]:
    return [json.loads(line) for line in list(engine.log)]


def until_told(engine: Engine, event: str, times: int = 1) -> None:
    until = time.monotonic() + PATIENCE
    while sum(each["event"] == event for each in told(engine)) < times:
        assert time.monotonic() < until, f"{event} was never told"
        time.sleep(0.01)


def scenario(engine: Engine, url: str, tokens: Path) -> None:
    """One of each."""
    publication = {"owner": "test", "by": "test", "changes": changes(url)}
    engine.ask("POST", "/v1/revisions", json=publication, headers={"If-Match": '"0"'})
    engine.post({**UPLINK, "seqNumber": 1})
    until_told(engine, "delivery.attempted", 1)
    engine.post({**UPLINK, "seqNumber": 2})
    until_told(engine, "delivery.attempted", 2)
    headers = {"Authorization": f"Bearer {engine.token}"}
    asked(engine, "/v1/messages", 422, headers=headers, json=[{"device": 7}, 8])
    asked(engine, "/v1/messages", 401, headers={"Authorization": "Bearer rk_wrong"}, json=[])
    engine.post({**UPLINK, "deviceType": "valve", "seqNumber": 3, "ack": True})
    assert len(engine.ask("GET", "/v1/downlinks?wait=10s")["downlinks"]) == 1
    engine.post({"type": "acknowledge", "device": "1C178", "deviceType": "valve", "time": 1_700_000_060, "infoCode": 4})
    assert run("engine", "token", "--name", "ci", "--scope", "read", "--token-file", tokens).code == 0
    until_told(engine, "audit.tokens")
    with tokens.open("a") as opened:
        opened.write("sha256:nonsense\n")
    until_told(engine, "tokens.bad-line")


def asked(engine: Engine, path: str, status: int, **request: Any) -> None:
    answer = httpx.post(f"{engine.url}{path}", timeout=PATIENCE, trust_env=False, **request)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("apart", [False, True])
def test_each_thing_that_happens_is_one_event(tmp_path: Path, apart: bool) -> None:
    tokens, audit = tmp_path / "tokens", tmp_path / "audit.log"
    made = run("engine", "token", "--name", "all", "--scope", "read,apply,ingest", "--token-file", tokens)
    options = ["--log-format", "json", "--verbose", "--allow-egress", "private", "--token-file", str(tokens)]
    options += ["--audit-log", str(audit)] if apart else []
    with receiving() as receiver, engine_process(tmp_path / "data", *options, token=made.out.strip()) as engine:
        receiver.answers["/1C178"] = [204, 503]
        if apart:
            publication = {"owner": "test", "by": "test", "changes": changes(receiver.url)}
            engine.ask("POST", "/v1/revisions", json=publication, headers={"If-Match": '"0"'})
        else:
            scenario(engine, receiver.url, tokens)
        engine.stop(signal.SIGTERM)
    events = told(engine)
    of = {each["event"]: each for each in events}

    if apart:
        assert Counter(each["event"] for each in events) == dict.fromkeys(
            ("engine.serves", "revision.published", "engine.stopping", "engine.stopped"), 1
        )
        assert [json.loads(line)["event"] for line in audit.read_text().splitlines()] == ["audit.published"]
        return
    assert Counter(each["event"] for each in events) == {
        "engine.serves": 1,
        "audit.published": 1,
        "message.taken": 4,
        "delivery.attempted": 2,
        "message.refused": 1,
        "audit.login-refused": 1,
        "downlink.served": 1,
        "downlink.ended": 1,
        "audit.tokens": 1,
        "tokens.bad-line": 1,
        "engine.stopping": 1,
        "engine.stopped": 1,
    }
    assert all(list(each)[:3] == ["at", "level", "event"] for each in events)
    delivered, retried = (each for each in events if each["event"] == "delivery.attempted")
    assert (delivered["level"], delivered["outcome"], delivered["step"]) == ("DEBUG", "accepted", "done")
    assert (retried["level"], retried["cause"], retried["step"]) == ("WARNING", 503, "retry-at")
    assert set(delivered) == {
        "at", "level", "event", "delivery", "callback", "revision", "endpoint", "attempt", "duration_ms", "outcome",
        "cause", "step",
    }  # fmt: skip
    first = next(each for each in events if each["event"] == "message.taken")
    assert {name: first[name] for name in ("type", "device_type", "revision", "kept", "deliveries")} == {
        "type": "data",
        "device_type": "tracker",
        "revision": 1,
        "kept": "fresh",
        "deliveries": 1,
    }
    assert delivered["delivery"] == f"{first['message_id']}.0"
    assert (of["message.refused"]["messages"], of["message.refused"]["level"]) == (2, "WARNING")
    assert (of["downlink.ended"]["result"], of["downlink.ended"]["level"]) == ("network-error", "INFO")
    assert "e80332c0" not in "".join(engine.log), "the payload"
