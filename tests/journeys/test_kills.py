"""An engine that is killed again and again while messages come in without a pause loses none that it acknowledged.

A sender posts to a real engine process, which is killed (SIGKILL) at a random moment and started again. In the end
every acknowledged message is either delivered or on the list of what the engine keeps, and no request came more often
than the kills explain. `RECONCILER_KILLS=100` kills so many times.
"""

import itertools
import os
import queue
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.journeys.conftest import SECRETS, copy_of_example
from tests.journeys.processes import PATIENCE, Engine, Receiver, engine_process, receiving, run

KILLS = int(os.environ.get("RECONCILER_KILLS", "5"))
SLOTS = 64
"""Attempts that can be in flight to the one endpoint that there is (`runtime.worker.Capacity`)."""


class Sender(threading.Thread):
    """Posts until its engine is gone; remembers what was acknowledged, by the message's time."""

    def __init__(self, engine: Engine, numbers: Iterator[int], acknowledged: dict[str, int]) -> None:
        super().__init__()
        self._engine, self._numbers, self._acknowledged = engine, numbers, acknowledged
        self.posted = 0

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._engine.token}"}
        with httpx.Client(base_url=self._engine.url, headers=headers, timeout=PATIENCE, trust_env=False) as client:
            while True:
                times = [1_700_000_000 + next(self._numbers) for _ in range(5)]
                messages = [{"deviceType": "door-sensor", "device": "89C3", "data": "a9013d", "time": t} for t in times]
                try:
                    answer = client.post("/v1/messages", json=messages)
                except httpx.TransportError:
                    return
                assert answer.status_code == 202, answer.text
                self._acknowledged |= dict(zip(answer.json()["ids"], times, strict=True))
                self.posted += 1


def counted(receiver: Receiver) -> Counter[str]:
    """What arrived so far, by body: the times of messages tell bodies apart."""
    bodies: Counter[str] = Counter()
    while True:
        try:
            bodies[receiver.requests.get_nowait().body] += 1
        except queue.Empty:
            return bodies


def test_no_kill_takes_what_was_acknowledged(tmp_path: Path) -> None:
    data, dice = tmp_path / "data", random.Random(20_260_101)
    acknowledged: dict[str, int] = {}
    numbers = itertools.count()
    token = None
    arrived: Counter[str] = Counter()
    with receiving() as receiver:
        for life in range(KILLS + 1):
            with engine_process(data, "--allow-egress", "private", env=SECRETS, token=token) as engine:
                token = engine.token
                if life == 0:
                    project = copy_of_example(tmp_path, engine=engine.url, receiver=receiver.url)
                    assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
                if life == KILLS:
                    settle(engine)
                    break
                senders = [Sender(engine, numbers, acknowledged) for _ in range(3)]
                for sender in senders:
                    sender.start()
                posts, until = dice.randint(3, 90), time.monotonic() + PATIENCE
                while sum(sender.posted for sender in senders) < posts and time.monotonic() < until:
                    time.sleep(0.002)
                assert engine.stop(signal.SIGKILL) == -signal.SIGKILL
                for sender in senders:
                    sender.join(PATIENCE)
                assert sum(sender.posted for sender in senders) >= posts
            arrived += counted(receiver)
            checked = run("engine", "check", "--data", data)
            assert (checked.code, checked.err) == (0, "")
        arrived += counted(receiver)

    times = {time_of(body) for body in arrived}
    assert [message for message, sent in acknowledged.items() if sent not in times] == []
    assert len(acknowledged) >= 3 * 5 * KILLS
    assert sum(arrived.values()) - len(arrived) <= SLOTS * KILLS


def time_of(body: str) -> int:
    found = re.search(r"\btime=([0-9]+)", body)
    assert found, body
    return int(found[1])


def settle(engine: Engine) -> None:
    """Wait until nothing is pending; retries of attempts that a kill cut off are due at once."""
    until = time.monotonic() + PATIENCE
    while engine.ask("GET", "/v1/deliveries?state=pending&limit=1")["deliveries"]:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert engine.ask("GET", "/v1/deliveries?state=undelivered&limit=1")["deliveries"] == []
