"""Journey B: uplinks → requests at a receiver → what the command line tells about them."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.processes import PATIENCE, Engine, Receiver, command_line, environment, run

TRACKER = {"deviceType": "tracker", "device": "1c178", "data": "1d1f3758015e1ce82b003ddc"}


@pytest.fixture(scope="module", autouse=True)
def applied(cold_chain: Path, engine: Engine) -> None:
    ended = run("apply", "-e", "dev", "--yes", cwd=cold_chain, env=engine.env)
    assert ended.code == 0, ended.err


def settled(attempts: Iterator[Any], count: int) -> list[Any]:
    return [next(attempts) for _ in range(count)]


def test_each_callback_sends_exactly_its_request(engine: Engine, receiver: Receiver) -> None:
    accepted = engine.post({**TRACKER, "time": 1_700_000_000, "seqNumber": 1})
    assert (accepted["accepted"], accepted["refused"]) == (1, [])
    log, position, telemetry = receiver.take(3)

    assert (log.method, log.target, log.body) == ("POST", "/log", "1700000000 1C178 #1 1d1f3758015e1ce82b003ddc")
    assert log.headers["Content-Type"] == "text/plain"

    assert position.method == "GET"
    assert position.target == "/map?device=1C178&lat=488585048&lng=22945000&moving=true"
    assert position.body == ""

    assert (telemetry.method, telemetry.target) == ("POST", "/uplink/1C178")
    assert telemetry.headers["Content-Type"] == "application/json"
    assert telemetry.headers["Authorization"] == "Bearer s3cret-ingest"
    assert json.loads(telemetry.body) == {
        "device": "1C178", "time": 1_700_000_000, "seq": 1, "temperature": 43, "battery": 92,
    }  # fmt: skip


def test_forms_and_bits_arrive_as_declared(engine: Engine, receiver: Receiver) -> None:
    engine.post(
        {"deviceType": "door-sensor", "device": "89C3", "time": 1_700_000_000, "data": "a9013d"},
        {"deviceType": "freezer-probe", "device": "3F52A6", "time": 1_700_000_000, "data": "f47f40ae"},
    )
    door, freezer = receiver.take(2)
    assert door.target == "/doors?source=sigfox"
    assert door.body == "source=sigfox&device=89C3&open=true&tampered=false&openings=317&time=1700000000"
    assert (freezer.method, freezer.target) == ("PUT", "/freezers/3F52A6/readings")
    assert freezer.headers["X-Api-Key"] == "s3cret-freezer"
    assert json.loads(freezer.body) == {"time": 1_700_000_000, "upper": -185, "lower": -192, "compressor": True}


def test_bad_messages_are_refused_by_index_and_the_good_ones_taken(engine: Engine, receiver: Receiver) -> None:
    good = {"deviceType": "door-sensor", "device": "89C3", "time": 1_700_000_100, "data": "a9013d"}
    answer = engine.post({**good, "device": "nobody"}, good, {**good, "data": "0f3"}, good)
    assert [refusal["index"] for refusal in answer["refused"]] == [0, 2]
    assert (answer["accepted"], answer["repeated"]) == (1, 1)
    assert len(receiver.take(1)) == 1


def test_what_the_command_line_tells_is_what_was_sent(cold_chain: Path, engine: Engine, receiver: Receiver) -> None:
    with engine.following() as attempts:
        (message,) = engine.post({**TRACKER, "device": "2A", "time": 1_700_000_200, "seqNumber": 2})["ids"]
        told = settled(attempts, 3)
    sent = {request.target: request for request in receiver.take(3)}
    assert {each["state"] for each in told} == {"delivered"}
    assert {each["messageId"] for each in told} == {message}

    listed = run("deliveries", "list", "--device", "2a", "--format", "json", env=engine.env)
    deliveries = json.loads(listed.out)["deliveries"]
    assert [delivery["callback"] for delivery in deliveries] == [
        "tracker/telemetry", "tracker/fleet-map", "tracker/debug-log",
    ]  # fmt: skip

    (telemetry, *_) = deliveries
    preview = run(
        *("render", "tracker/telemetry", "-e", "dev", "--format", "json", "--message"),
        json.dumps({**TRACKER, "device": "2A", "time": 1_700_000_200, "seqNumber": 2}),
        cwd=cold_chain,
    )
    previewed = json.loads(preview.out)
    assert {name: previewed[name] for name in telemetry["request"]} == telemetry["request"]
    assert previewed["body"] == sent["/uplink/2A"].body
    assert telemetry["request"]["headers"]["Authorization"] == "Bearer ${secret.INGEST_TOKEN}"

    shown = run("deliveries", "show", telemetry["id"], "-e", "dev", cwd=cold_chain, env=engine.env)
    assert f"delivery {telemetry['id']}: delivered" in shown.out
    assert "attempt 1 at " in shown.out
    assert "accepted 204" in shown.out
    assert "s3cret" not in shown.out + shown.err + "".join(engine.log)


def test_explain_tells_revision_fields_reasons_and_warnings(engine: Engine, receiver: Receiver) -> None:
    with engine.following() as attempts:
        message = {"deviceType": "door-sensor", "device": "89C4", "time": 1_700_000_300, "data": "29"}
        (short,) = engine.post(message)["ids"]
        settled(attempts, 1)
    (request,) = receiver.take(1)
    assert "openings=null" in request.body

    text = run("explain", short, env=engine.env).out
    for expected in (
        f"message {short}",
        "Handled under revision ",
        "door-sensor/events  fired",
        "battery   41",
        "openings  null",
        "warning: The field openings does not fit the payload of 1 byte",
        "attempt 1 at ",
    ):
        assert expected in text
    story = json.loads(run("explain", short.upper(), "--format", "json", env=engine.env).out)
    assert story["callbacks"][0]["missing"] == ["openings"]


def test_a_failed_delivery_is_retried_on_the_operators_schedule(engine: Engine, receiver: Receiver) -> None:
    receiver.answers["/freezers/DEAD/readings"] = [503]
    with engine.following() as attempts:
        engine.post({"deviceType": "freezer-probe", "device": "DEAD", "time": 1_700_000_400, "data": "f47f40ae"})
        (failed,) = settled(attempts, 1)
    receiver.take(1)
    assert failed["state"] == "pending"
    pending = run("deliveries", "list", "--state", "pending", env=engine.env)
    (line,) = (line for line in pending.out.splitlines() if failed["id"] in line)
    assert "refused 503" in line
    assert str(failed["dueAt"]) in line


def test_replay_sends_the_same_bytes_again(engine: Engine, receiver: Receiver) -> None:
    with engine.following() as attempts:
        engine.post({"deviceType": "door-sensor", "device": "89C5", "time": 1_700_000_500, "data": "a9013d"})
        (first,) = settled(attempts, 1)
        (before,) = receiver.take(1)
        replayed = run("deliveries", "replay", first["id"], env=engine.env)
        assert (replayed.code, replayed.out) == (0, "1 delivery to send again.\n")
        (second,) = settled(attempts, 1)
        (after,) = receiver.take(1)
    assert (before.target, before.body) == (after.target, after.body)
    assert second["id"] == first["id"]
    none = run("deliveries", "replay", "--undelivered", "--callback", "door-sensor/events", env=engine.env)
    assert (none.code, none.out) == (0, "0 deliveries to send again.\n")


def test_messages_are_bound_to_the_revision_that_they_came_under(
    cold_chain: Path, engine: Engine, receiver: Receiver
) -> None:
    file = cold_chain / "device-types/door-sensor.yaml"
    before = file.read_text()
    file.write_text(before.replace("&time={time}", "&at={time}"))
    try:
        with engine.following() as attempts:
            message = {"deviceType": "door-sensor", "device": "89C6", "time": 1_700_000_600, "data": "a9013d"}
            engine.post(message)
            (old,) = settled(attempts, 1)
            assert run("apply", "-e", "dev", "--yes", cwd=cold_chain, env=engine.env).code == 0
            engine.post({**message, "time": 1_700_000_601})
            (new,) = settled(attempts, 1)
    finally:
        file.write_text(before)
        assert run("apply", "-e", "dev", "--yes", cwd=cold_chain, env=engine.env).code == 0
    assert int(new["revision"]) == int(old["revision"]) + 1
    bodies = sorted(request.body.rpartition("&")[2] for request in receiver.take(2))
    assert bodies == ["at=1700000601", "time=1700000600"]


@pytest.mark.parametrize(("format", "time"), [("text", 1_700_000_700), ("json", 1_700_000_800)])
def test_tail_follows_each_attempt(engine: Engine, receiver: Receiver, format: str, time: int) -> None:
    with subprocess.Popen(
        command_line("deliveries", "tail", "--format", format),
        env=environment(engine.env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert tail.stderr.readline() == f"Following {engine.url}; Ctrl-C ends it.\n"
        message = {"deviceType": "door-sensor", "device": "89C7", "time": time, "data": "a9013d"}
        (message_id,) = engine.post(message)["ids"]
        line = tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        assert tail.wait(PATIENCE) == 130
        assert tail.stderr.read() == ""
    receiver.take(1)
    if format == "json":
        assert json.loads(line)["messageId"] == message_id
    else:
        assert "delivered  door-sensor/events  POST" in line
        assert line.endswith(f"{message_id}.0\n")


def test_metrics_count_what_happened(engine: Engine, receiver: Receiver) -> None:
    answer = httpx.get(f"{engine.url}/metrics", headers={"Authorization": f"Bearer {engine.token}"}, trust_env=False)
    assert answer.status_code == 200
    assert re.search(r'^reconciler_attempts_total\{outcome="accepted"\} [1-9]', answer.text, re.MULTILINE)
    assert engine.ask("GET", "/readyz")["status"] == "ready"
