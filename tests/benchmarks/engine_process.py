"""An engine as a benchmark sees it: `engine serve` on its embedded store, with what was applied to it."""

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.parts import ROOT, fetch
from tests.journeys.processes import command_line, engine_process

__all__ = ["BenchEngine", "applied_engine", "bare_engine"]

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: benchmark
sources: [device-types/*.yaml]
environments:
  bench:
    target: {{engine: "{engine}", token: {{env: BENCH_TOKEN}}}}
    variables: {{host: "{sink}"}}
"""
DEVICE_TYPE = """\
apiVersion: reconciler/v1
kind: DeviceType
name: tracker
payload: "temperature::int:16:little-endian humidity::uint:8 door::bool:7"
callbacks:
  telemetry:
    type: data/uplink
    channel: url
    method: POST
    url: "http://${var.host}/uplink/{device}"
    contentType: application/json
    body: '{"device":"{device}","time":{time},"t":{customData#temperature},"h":{customData#humidity},"seq":{seqNumber}}'
"""
"""One plain uplink to the sink for each message; the yardstick sends the same."""


@dataclass(frozen=True, slots=True)
class BenchEngine:
    """One that serves, on loopback."""

    port: int
    pid: int
    token: str
    data: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def finished(self) -> int:
        """How many deliveries are recorded as delivered, by its own metrics."""
        metrics = fetch(self.port, "/metrics", headers={"Authorization": f"Bearer {self.token}"}).decode()
        found = re.search(r'^reconciler_deliveries_finished_total\{state="delivered"\} (\d+)', metrics, re.MULTILINE)
        return int(found[1]) if found else 0

    def wait_for(self, finished: int, *, seconds: float = 60) -> None:
        """Wait until so many are recorded."""
        patience = time.perf_counter() + seconds
        while self.finished() < finished:
            assert time.perf_counter() < patience, f"{self.finished()} of {finished} were delivered"
            time.sleep(0.01)


@contextlib.contextmanager
def bare_engine(data: Path, *options: str) -> Iterator[BenchEngine]:
    """One that holds nothing, ended with the block: what it wrote is then in its directory, in one file."""
    with engine_process(data, "--allow-egress", "127.0.0.0/8", *options) as engine:
        yield BenchEngine(int(engine.url.rpartition(":")[2]), engine.process.pid, engine.token, data)


@contextlib.contextmanager
def applied_engine(sink: int, device_type: str = DEVICE_TYPE, *, data: Path | None = None) -> Iterator[BenchEngine]:
    """One to which a device type was applied whose callbacks go to a port of loopback."""
    with tempfile.TemporaryDirectory() as folder, bare_engine(data or Path(folder, "data")) as engine:
        project = Path(folder, "project")
        (project / "device-types").mkdir(parents=True)
        (project / "reconciler.yaml").write_text(PROJECT.format(engine=engine.url, sink=f"127.0.0.1:{sink}"))
        (project / "device-types" / "tracker.yaml").write_text(device_type)
        subprocess.run(
            command_line("apply", "-C", project, "-e", "bench", "--yes", "-q"),
            check=True,
            cwd=ROOT,
            env={**os.environ, "BENCH_TOKEN": engine.token},
            stdout=subprocess.DEVNULL,
        )
        yield engine
