"""The command line as a user runs it: processes, an engine among them, and a receiver for what it sends."""

import json
import os
import pty
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import httpx

__all__ = [
    "PATIENCE",
    "Dialogue",
    "Engine",
    "Received",
    "Receiver",
    "Reconciler",
    "Run",
    "at_a_terminal",
    "command_line",
    "engine_process",
    "environment",
    "receiving",
    "run",
]

PATIENCE = 30.0
"""Seconds after which a test that waits for something has failed; nothing takes a tenth of it."""

_OURS = re.compile(r"RECONCILER_|NO_COLOR|GIT_(?!CONFIG)")


@dataclass(frozen=True, slots=True)
class Run:
    """How a command ended. A traceback is never an answer, so that every test asserts it."""

    code: int
    out: str
    err: str


class Reconciler(Protocol):
    """Runs the command line in a folder, to its end."""

    def __call__(self, *arguments: str | Path, cwd: Path, stdin: str = "") -> Run: ...


def command_line(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "reconciler", *map(str, arguments)]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of this process without what could decide something for a test."""
    kept = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    return {**kept, **(more or {})}


def run(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> Run:
    """Run `reconciler` to its end, without a terminal."""
    ended = subprocess.run(
        command_line(*arguments),
        cwd=cwd,
        env=environment(env),
        input=stdin or "",
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return Run(ended.returncode, ended.stdout, ended.stderr)


@dataclass(slots=True)
class Dialogue:
    """A command that believes that somebody sits before it. `code` is there once it has ended."""

    process: subprocess.Popen[bytes]
    terminal: int
    code: int | None = None

    def read_until(self, text: str) -> str:
        """What is shown up to, and with, a text."""
        shown = ""
        while text not in shown:
            part = self._read()
            assert part, f"ended without saying {text!r}: {shown}"
            shown += part
        return shown

    def answer(self, text: str) -> str:
        """Type something; what is shown from then on, to the end."""
        os.write(self.terminal, text.encode())
        return self.rest()

    def rest(self) -> str:
        """What is shown from here on, to the end."""
        shown = ""
        while part := self._read():
            shown += part
        self.code = self.process.wait(PATIENCE)
        return shown

    def _read(self) -> str:
        try:
            return os.read(self.terminal, 65_536).decode().replace("\r\n", "\n")
        except OSError:  # Linux's way to say that nobody has the other end open any more
            return ""


@contextmanager
def at_a_terminal(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Dialogue]:
    """Run `reconciler` with a terminal for all three streams."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command_line(*arguments),
        cwd=cwd,
        env=environment({"NO_COLOR": "1", **(env or {})}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Dialogue(process, ours)
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(ours)


# An engine


@dataclass(slots=True)
class Engine:
    """`engine serve` on a free port of loopback."""

    process: subprocess.Popen[str]
    url: str
    token: str
    log: list[str]
    lines: queue.Queue[str] = field(default_factory=queue.Queue)

    @property
    def env(self) -> Mapping[str, str]:
        """What a shell exports to talk to it."""
        return {"RECONCILER_TOKEN": self.token, "RECONCILER_ENGINE": self.url}

    def post(self, *messages: Mapping[str, object]) -> Any:
        return self.ask("POST", "/v1/messages", json=list(messages))

    def ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **request: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        answer = httpx.request(
            method, f"{self.url}{path}", headers=headers, timeout=PATIENCE, trust_env=False, **request
        )
        answer.raise_for_status()
        return answer.json()

    @contextmanager
    def following(self) -> Iterator[Iterator[Any]]:
        """Every attempt that ends from here on, as the engine tells it."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.url}/v1/deliveries/stream"
        with httpx.stream("GET", url, headers=headers, timeout=PATIENCE, trust_env=False) as response:
            lines = response.iter_lines()
            assert next(lines) == "", "a blank line says that nothing is missed any more"
            yield (json.loads(line) for line in lines if line)

    def wait_for(self, said: str) -> None:
        """Wait until a line of the log begins like this."""
        while True:
            line = self.lines.get(timeout=PATIENCE)
            if line.startswith(said):
                return

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def engine_process(
    data: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
    token: str | None = None,
    within: Sequence[str] = (),
) -> Iterator[Engine]:
    """Start an engine, wait until it serves, and stop it at the end, unless the test has done that.

    `within` is a command that becomes the one behind it, as `unshare` does.
    """
    with subprocess.Popen(
        [*within, *command_line("engine", "serve", "--listen", "127.0.0.1:0", "--data", data, *options)],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        engine = _started(process, process.stderr, token=token)
        reader = threading.Thread(target=_read_log, args=(process.stderr, engine))
        reader.start()
        try:
            yield engine
        finally:
            engine.stop()
            reader.join()


def _started(process: subprocess.Popen[str], said: Iterable[str], *, token: str | None) -> Engine:
    """The engine once it says where it serves; fails with what it said instead."""
    log: list[str] = []
    for line in said:
        log.append(line)
        if shown := re.search(r"export RECONCILER_TOKEN=(\S+)", line):
            token = shown[1]
        if serves := re.search(r"""(?: serves |"engine.serves", "url": ")(https?://[^\s"]+?)[:"][\s,]""", line):
            assert token, "no token was shown, and none was given"
            return Engine(process, serves[1], token, log)
    raise AssertionError(f"the engine did not start: {''.join(log)}")


def _read_log(lines: Iterable[str], engine: Engine) -> None:
    for line in lines:
        engine.log.append(line)
        engine.lines.put(line)


# A receiver


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: str


@dataclass(slots=True)
class Receiver:
    """Remembers what arrives. Answers once `held` is set: with what `bodies` has for a path, otherwise 204.

    `answers` are statuses that come before these, in order, by target.
    """

    url: str = ""
    held: threading.Event = field(default_factory=threading.Event)
    requests: queue.Queue[Received] = field(default_factory=queue.Queue)
    answers: dict[str, list[int]] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)

    def take(self, count: int) -> list[Received]:
        """The next requests, in the order of their targets: callbacks of one message race each other."""
        taken = [self.requests.get(timeout=PATIENCE) for _ in range(count)]
        return sorted(taken, key=lambda request: request.target)

    def take_distinct(self, count: int) -> set[str]:
        """Bodies until there are that many different ones: at least once means that some may come twice."""
        bodies: set[str] = set()
        while len(bodies) < count:
            bodies.add(self.requests.get(timeout=PATIENCE).body)
        return bodies

    def answer_to(self, target: str) -> tuple[int, bytes]:
        scripted, body = self.answers.get(target), self.bodies.get(target.partition("?")[0])
        if scripted:
            return scripted.pop(0), b""
        return (204, b"") if body is None else (200, body)


@contextmanager
def receiving(*, hold: bool = False) -> Iterator[Receiver]:
    """A receiver that answers at once, or, with `hold`, not before a test sets `held`."""
    receiver = Receiver()
    if not hold:
        receiver.held.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            receiver.requests.put(Received(self.command, self.path, dict(self.headers.items()), body))
            receiver.held.wait(PATIENCE)
            status, answer = receiver.answer_to(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Silent: an engine that was killed hangs up."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield receiver
    finally:
        receiver.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
