"""The yardstick: a pipeline of the engine's own kind of parts, without routing, attempts, lanes, doors and limits.

    python -m tests.benchmarks.bare_pipeline SINK_PORT DIRECTORY

One process: a raw server of httptools on uvloop; a writer thread that commits what gathered within a millisecond, with
statements of many rows and `synchronous=FULL`; a client of its own over kept connections; the collector tuned as the
engine tunes it. A message is stored, acknowledged when it is on disk, passed on as a POST of the same size as the
engine's, and deleted from the store. `GET /` on its door tells how many are deleted, on disk.

It is no engine: it trusts its input, never tries again, and does not look into its store when it starts. It is what
these parts give at most, beside which an engine's figure means something on any machine.
"""

import argparse
import asyncio
import contextlib
import gc
import queue
import sqlite3
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple, cast

import httptools
import orjson
import uvloop

from tests.benchmarks.parts import fetch, line_of, part

__all__ = ["BarePipeline", "bare_pipeline"]

GATHER = 0.001  # seconds
UNDER_WAY = 128
MOST_PENDING = 1_000  # while more wait to be sent, posts are answered later
ROWS = (256, 32, 1)  # of one statement, so that few statements are ever prepared
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"accepted":1}'


# As a benchmark sees it


@dataclass(frozen=True, slots=True)
class BarePipeline:
    """One in a process of its own, on loopback."""

    port: int
    pid: int

    def finished(self) -> int:
        """How many messages are delivered and deleted from the disk."""
        return int(fetch(self.port, "/"))


@contextlib.contextmanager
def bare_pipeline(sink: int) -> Iterator[BarePipeline]:
    """Run one that passes on to a port of loopback."""
    with tempfile.TemporaryDirectory() as folder, part("tests.benchmarks.bare_pipeline", sink, folder) as process:
        yield BarePipeline(int(line_of(process)), process.pid)


# Its process


class Kept(NamedTuple):
    key: int
    line: bytes


class Post(NamedTuple):
    """A request that waits for its messages to be on disk."""

    door: "Door"
    messages: Sequence[Kept]


class Store:
    """A table of messages, written by one thread."""

    def __init__(self, path: Path, pipeline: "Pipeline") -> None:
        self.pipeline = pipeline
        self.loop = asyncio.get_running_loop()
        self.work: queue.SimpleQueue[Post | int] = queue.SimpleQueue()
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("CREATE TABLE messages (key INTEGER PRIMARY KEY, line BLOB NOT NULL) STRICT")
        threading.Thread(target=self.write, daemon=True).start()

    def write(self) -> None:
        while True:
            taken = [self.work.get()]
            time.sleep(GATHER)
            with contextlib.suppress(queue.Empty):
                while True:
                    taken.append(self.work.get_nowait())
            posts = [each for each in taken if isinstance(each, Post)]
            done = [each for each in taken if isinstance(each, int)]
            self.connection.execute("BEGIN")
            self.insert([message for post in posts for message in post.messages])
            if done:
                deletes = "DELETE FROM messages WHERE key IN (SELECT value FROM json_each(?))"
                self.connection.execute(deletes, (orjson.dumps(done).decode(),))
            self.connection.execute("COMMIT")
            self.loop.call_soon_threadsafe(self.pipeline.committed, posts, len(done))

    def insert(self, messages: Sequence[Kept]) -> None:
        start = 0
        for rows in ROWS:
            statement = f"INSERT INTO messages VALUES {','.join(['(?, ?)'] * rows)}"
            while len(messages) - start >= rows:
                values = [value for message in messages[start : start + rows] for value in message]
                self.connection.execute(statement, values)
                start += rows


@dataclass(slots=True)
class Pipeline:
    """Doors → store → client → store."""

    sink: int
    keys: Iterator[int] = field(default_factory=count)
    idle: list["Outlet"] = field(default_factory=list)
    pending: deque[Kept] = field(default_factory=deque)
    held: deque["Door"] = field(default_factory=deque)
    deleted: int = 0
    store: Store = field(init=False)

    async def start(self, path: Path) -> int:
        loop = asyncio.get_running_loop()
        self.store = Store(path, self)
        for _ in range(UNDER_WAY):
            await loop.create_connection(lambda: Outlet(self), "127.0.0.1", self.sink)
        server = await loop.create_server(lambda: Door(self), "127.0.0.1", 0, backlog=1024)
        return cast(int, server.sockets[0].getsockname()[1])

    def take(self, door: "Door", body: bytes) -> None:
        self.store.work.put(Post(door, [Kept(next(self.keys), line) for line in body.split(b"\n")]))

    def committed(self, posts: Sequence[Post], deleted: int) -> None:
        self.deleted += deleted
        for post in posts:
            self.pending.extend(post.messages)
            self.held.append(post.door)
        while self.pending and self.idle:
            self.idle.pop().send(self.pending.popleft())
        self.answer()

    def answer(self) -> None:
        while self.held and len(self.pending) <= MOST_PENDING:
            self.held.popleft().transport.write(ACCEPTED)

    def sent(self, outlet: "Outlet", key: int) -> None:
        self.store.work.put(key)
        if self.pending:
            outlet.send(self.pending.popleft())
            self.answer()
        else:
            self.idle.append(outlet)


class Door(asyncio.Protocol):
    """Takes posts."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        if body:
            self.pipeline.take(self, body)
        else:
            told = str(self.pipeline.deleted).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))


class Outlet(asyncio.Protocol):
    """A kept connection to the sink."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.key = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.parser = httptools.HttpResponseParser(self)
        self.pipeline.idle.append(self)

    def send(self, message: Kept) -> None:
        self.key = message.key
        fields = orjson.loads(message.line)
        payload = bytes.fromhex(fields["data"])
        body = (
            f'{{"device":"{fields["device"]}","time":{fields["time"]},'
            f'"t":{int.from_bytes(payload[:2], "little", signed=True)},"h":{payload[2]},"seq":{fields["seqNumber"]}}}'
        )
        self.transport.write(
            f"POST /uplink/{fields['device']} HTTP/1.1\r\nHost: 127.0.0.1:{self.pipeline.sink}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        assert self.parser.get_status_code() == 200
        self.pipeline.sent(self, self.key)


async def serve(sink: int, directory: Path) -> None:
    pipeline = Pipeline(sink)
    print(await pipeline.start(directory / "bare.sqlite3"), flush=True)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sink", type=int)
    parser.add_argument("directory", type=Path)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.sink, given.directory))
