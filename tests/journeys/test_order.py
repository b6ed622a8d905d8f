"""A callback that keeps order keeps it while its engine is killed again and again."""

import random
import signal
import time
from pathlib import Path

from tests.journeys.processes import PATIENCE, Engine, engine_process, receiving, run

KILLS = 3
DEVICES = ("1C178", "89C3", "ABC")


def write_project(folder: Path, *, engine: str, receiver: str) -> Path:
    folder.mkdir()
    (folder / "reconciler.yaml").write_text(
        "apiVersion: reconciler/v1\nkind: Project\nname: order\nsources: [types/*.yaml]\n"
        f'environments:\n  dev:\n    target: {{engine: "{engine}", token: {{env: RECONCILER_TOKEN}}}}\n'
    )
    (folder / "types").mkdir()
    (folder / "types" / "tracker.yaml").write_text(
        "apiVersion: reconciler/v1\nkind: DeviceType\nname: tracker\ncallbacks:\n"
        f'  row: {{type: data/uplink, channel: url, method: GET, url: "{receiver}/{{device}}/{{seqNumber}}", '
        "ordered: true}\n"
    )
    return folder


def post(engine: Engine, number: int) -> None:
    of_each = [
        {"device": device, "deviceType": "tracker", "time": 1_700_000_000 + number, "seqNumber": number, "data": "00"}
        for device in DEVICES
    ]
    assert engine.post(*of_each)["accepted"] == len(DEVICES)


def test_no_kill_changes_the_order(tmp_path: Path) -> None:
    data, dice, token, number = tmp_path / "data", random.Random(20_260_101), None, 0
    with receiving() as receiver:
        receiver.answers["/ABC/1"] = [503] * 10  # tried again after a minute, when this is over
        for life in range(KILLS + 1):
            with engine_process(data, "--allow-egress", "private", token=token) as engine:
                token = engine.token
                if life == 0:
                    project = write_project(tmp_path / "project", engine=engine.url, receiver=receiver.url)
                    assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
                for _ in range(dice.randint(5, 40)):
                    number += 1
                    post(engine, number)
                if life < KILLS:
                    time.sleep(dice.random() / 50)
                    assert engine.stop(signal.SIGKILL) == -signal.SIGKILL
                    continue
                until = time.monotonic() + PATIENCE
                while engine.ask("GET", "/v1/deliveries?state=waiting&device=89C3&limit=1")["deliveries"]:
                    assert time.monotonic() < until
                    time.sleep(0.1)
                (first,) = engine.ask("GET", "/v1/deliveries?state=pending&device=ABC")["deliveries"]
                waiting = engine.ask("GET", "/v1/deliveries?state=waiting&device=ABC&limit=1000")["deliveries"]
                told = run("explain", waiting[0]["messageId"], "--engine", engine.url, env=engine.env)
        checked = run("engine", "check", "--data", data)
        arrived = [receiver.requests.get().target.split("/") for _ in range(receiver.requests.qsize())]

    assert (checked.code, checked.err) == (0, "")
    assert len(waiting) == number - 1
    assert {each["waitsFor"] for each in waiting} == {first["id"]}
    assert f"waits for message {first['messageId']} of the same device" in told.out
    for device in DEVICES[:2]:
        numbers = [int(seen) for _, found, seen in arrived if found == device]
        assert sorted(numbers) == numbers
        assert set(numbers) == set(range(1, number + 1))
        assert len(numbers) <= number + KILLS, "a kill repeats what was in flight: one of each device"
    assert {seen for _, found, seen in arrived if found == "ABC"} == {"1"}
