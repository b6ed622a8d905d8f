"""Processes that a benchmark consists of: its sink, its sender, and what stands between them."""

import contextlib
import http.client
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["ROOT", "cpu_seconds", "fetch", "line_of", "part", "peak_mb"]

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def part(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A module of the benchmarks as a process of its own, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a part says; it must not have ended."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"{process.args!r} broke off"
    return line.strip()


def fetch(port: int, path: str, *, headers: Mapping[str, str] | None = None) -> bytes:
    """What a part answers to a GET; with next to no CPU, because it is asked while others are measured."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return body


def cpu_seconds(pid: int) -> float:
    """What the threads of a process have had of the processor so far; to the microsecond where the kernel tells."""
    process = Path(f"/proc/{pid}")
    if (process / "schedstat").exists():
        return sum(int((task / "schedstat").read_text().split()[0]) for task in (process / "task").iterdir()) / 1e9
    # A kernel without the statistics of its scheduler counts in hundredths of a second.
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """The most megabytes that a process had resident since it runs its program."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return peak / 1024
