"""An engine whose store can not write for a while, as messages come in without a pause: it needs no restart.

A sender whose message was refused knows so (503 with `Retry-After`) and what was refused is not delivered; what was
acknowledged is, once; and as soon as the trouble is over, messages are taken again.
"""

import errno
import os
import queue
import re
import resource
import shlex
import shutil
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from reconciler.store.sqlite_file import store_path
from tests.journeys.conftest import SECRETS, copy_of_example
from tests.journeys.processes import (
    PATIENCE,
    Engine,
    Receiver,
    command_line,
    engine_process,
    environment,
    receiving,
    run,
)

SOME_MORE = 64 * 1024
"""Bytes that can still be written when the trouble begins, so that it begins in the midst of something."""
DISK = 48 * 1024 * 1024
TOLD = {"store-full", "store-failed", "disk-almost-full"}


class Sender(threading.Thread):
    """Posts until it is told to stop; remembers what became of each message, by the message's time."""

    def __init__(self, engine: Engine, first: int) -> None:
        super().__init__()
        self._engine, self._next = engine, first
        self.acknowledged: set[int] = set()
        self.refused: set[int] = set()
        self.told: set[str] = set()
        self.enough = threading.Event()

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._engine.token}"}
        with httpx.Client(base_url=self._engine.url, headers=headers, timeout=PATIENCE, trust_env=False) as client:
            while not self.enough.is_set():
                times = list(range(self._next, self._next + 5))
                self._next += 5
                messages = [{"deviceType": "door-sensor", "device": "89C3", "data": "a9013d", "time": t} for t in times]
                answer = client.post("/v1/messages", json=messages)
                if answer.status_code == 202:
                    self.acknowledged.update(times)
                    continue
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) > 0
                self.told.add(answer.json()["code"])
                self.refused.update(times)
                time.sleep(0.05)


Trouble = Callable[[Engine, Path], AbstractContextManager[None]]


@contextmanager
def files_that_can_not_grow(engine: Engine, data: Path) -> Iterator[None]:
    """A limit on the size of files: a full disk that needs nobody's permission."""
    limits = resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE)
    largest = max(file.stat().st_size for file in data.iterdir())
    resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, (largest + SOME_MORE, limits[1]))
    yield
    resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def a_full_disk(engine: Engine, data: Path) -> Iterator[None]:
    ballast = data / "ballast"
    with open("/dev/zero", "rb") as zeros, ballast.open("wb", buffering=0) as file:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            shutil.copyfileobj(zeros, file)
        file.truncate(ballast.stat().st_size - SOME_MORE)
    yield
    ballast.unlink()


@contextmanager
def a_store_that_is_locked(engine: Engine, data: Path) -> Iterator[None]:
    """By a program that is no engine, for longer than the engine waits for it."""
    other = sqlite3.connect(store_path(data), isolation_level=None, timeout=PATIENCE)
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.execute("ROLLBACK")
    other.close()


@contextmanager
def on_a_small_disk(data: Path) -> Iterator[Engine]:
    """An engine whose data is on a file system of its own, which no other process sees."""
    data.mkdir()
    mount = f'mount -t tmpfs -o size={DISK},mode=700 none {shlex.quote(str(data))} && exec "$@"'
    within = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    try:
        subprocess.run([*within, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount a file system of his own")
    options = ("--allow-egress", "private", "--min-free", "1")
    with engine_process(data, *options, env=SECRETS, within=within) as engine:
        yield engine


@contextmanager
def as_usual(data: Path) -> Iterator[Engine]:
    with engine_process(data, "--allow-egress", "private", env=SECRETS) as engine:
        yield engine


@pytest.mark.parametrize("trouble", [files_that_can_not_grow, a_full_disk, a_store_that_is_locked])
def test_what_was_acknowledged_is_delivered_and_what_was_refused_is_not(tmp_path: Path, trouble: Trouble) -> None:
    starting = on_a_small_disk if trouble is a_full_disk else as_usual
    with receiving() as receiver, starting(tmp_path / "data") as engine:
        data = Path(f"/proc/{engine.process.pid}/root{tmp_path / 'data'}")
        project = copy_of_example(tmp_path, engine=engine.url, receiver=receiver.url)
        assert run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env).code == 0
        senders = [Sender(engine, 1_700_000_000 + number * 1_000_000) for number in range(3)]
        for sender in senders:
            sender.start()
        try:
            wait_until(lambda: all(len(sender.acknowledged) > 50 for sender in senders))
            with trouble(engine, data):
                wait_until(lambda: all(sender.refused for sender in senders))
            before = [len(sender.acknowledged) for sender in senders]
            wait_until(lambda: all(len(s.acknowledged) > was + 50 for s, was in zip(senders, before, strict=True)))
        finally:
            for sender in senders:
                sender.enough.set()
            for sender in senders:
                sender.join(PATIENCE)
        settle(engine)
        failures = re.search(r"^reconciler_store_failures_total ([0-9]+)$", metrics(engine), re.MULTILINE)
        check = command_line("engine", "check", "--data", tmp_path / "data")
        if trouble is a_full_disk:
            target = f"--target={engine.process.pid}"
            check = ["nsenter", target, "--user", "--mount", "--preserve-credentials", *check]
        checked = subprocess.run(
            check, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    assert (checked.returncode, checked.stderr) == (0, "")
    assert failures is not None
    assert int(failures[1]) > 0
    assert set().union(*(sender.told for sender in senders)) <= TOLD
    arrived = counted(receiver)
    assert set(arrived) == set().union(*(sender.acknowledged for sender in senders))
    assert set(arrived.values()) == {1}
    assert engine.process.returncode == 0


def counted(receiver: Receiver) -> Counter[int]:
    """The times of messages that arrived, and how often."""
    times: Counter[int] = Counter()
    while True:
        try:
            body = receiver.requests.get_nowait().body
        except queue.Empty:
            return times
        found = re.search(r"\btime=([0-9]+)", body)
        assert found, body
        times[int(found[1])] += 1


def settle(engine: Engine) -> None:
    wait_until(lambda: not engine.ask("GET", "/v1/deliveries?state=pending&limit=1")["deliveries"])
    assert engine.ask("GET", "/v1/deliveries?state=undelivered&limit=1")["deliveries"] == []


def metrics(engine: Engine) -> str:
    headers = {"Authorization": f"Bearer {engine.token}"}
    return httpx.get(f"{engine.url}/metrics", headers=headers, timeout=PATIENCE, trust_env=False).text


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)
