"""Every verb × every exit code that it can end with: the worlds that lead there, and what is said.

1. `ENDS` says which codes a verb has. A verb of the command line that is not in it fails the first test, and so does a
   code without a row: what is promised to scripts is what was seen.
2. The verbs run in this process and talk to one engine, which is a process of its own. Names are each row's own.
3. A bug, an interruption and a full disk are planted in the midst of the verb's work, as `MIDST` names the place.
"""

import errno
import gc
import hashlib
import importlib
import io
import json
import logging
import os
import re
import signal
import socket
import sqlite3
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import typer.main

from reconciler.apply.journal_file import JournalFile
from reconciler.cli import engine_access, main
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.terminal import Terminal
from reconciler.codec.plan import load_plan
from reconciler.config.scaffold import scaffold
from reconciler.errors import TargetUnavailable
from reconciler.runtime.clock import utc_now
from reconciler.runtime.retry import RetryPolicy
from reconciler.store.sqlite_care import backup_sqlite
from reconciler.targets.client import WritingClient
from tests.journeys.processes import Engine, Run, engine_process

README = Path(__file__).parents[2] / "README.md"

ENDS: Mapping[str, frozenset[int]] = {
    verb: frozenset({0, *own, 2, 4, 70, 130})
    for verb, own in {
        "init": {1},
        "validate": {1},
        "fmt": {1},
        "test": {1},
        "render": {1},
        "decode": {1},
        "schema": set[int](),
        "plan": {1, 3},
        "apply": {1},
        "drift": {1, 3},
        "diff": {1, 3},
        "import": {1},
        "history": {1},
        "rollback": {1},
        "engine serve": {1},
        "engine token": {1},
        "engine check": {1},
        "engine backup": set[int](),
        "deliveries list": {1},
        "deliveries show": {1},
        "deliveries tail": {1},
        "deliveries replay": {1},
        "explain": {1},
        "demo": set[int](),
    }.items()
}

BEGUN = scaffold("BEGUN")
LIMITS = "limits: {deletes: 30%, updates: 50%, total: 60%}"
TRACKER, PROJECT = "device-types/tracker.yaml", "reconciler.yaml"
MESSAGE = '{"device": "1C178", "time": 1700000000, "seqNumber": 7, "data": "e80332"}'
NOWHERE = "0123456789abcdef0123456789abcdef"


@dataclass
class Stage:
    """Where a row is played: a folder, what is in the environment, and what has to be let go of at the end.

    `names` are what arguments stand for that only the world knows.
    """

    folder: Path
    engine: Engine
    patched: pytest.MonkeyPatch
    stack: ExitStack
    names: dict[str, str] = field(default_factory=dict)
    stdin: str = ""

    def run(self, *arguments: str) -> int:
        return main.run([self.names.get(argument, argument) for argument in arguments])

    def edit(self, file: str, before: str, after: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert before in text, text
        path.write_text(text.replace(before, after))


World = Callable[[Stage], None]


# Worlds


def nothing(stage: Stage) -> None:
    """An empty folder."""


def sound(stage: Stage) -> None:
    """A project as `init` makes it, with a second environment; nothing of it is at the engine."""
    (stage.folder / "device-types").mkdir()
    for file in (PROJECT, TRACKER):
        (stage.folder / file).write_text(BEGUN[file].replace("BEGUN", stage.folder.name))
    stage.edit(PROJECT, "http://127.0.0.1:8460", stage.engine.url)
    stage.edit(TRACKER, "name: tracker", f"name: {stage.folder.name}")
    text = (stage.folder / PROJECT).read_text()
    dev = text.partition("  dev:\n")[2]
    (stage.folder / PROJECT).write_text(f"{text}\n  other:\n{dev.replace('127.0.0.1:9000', '127.0.0.1:9001')}")
    stage.names |= {"CALLBACK": f"{stage.folder.name}/telemetry"}


def broken(stage: Stage) -> None:
    sound(stage)
    stage.edit(TRACKER, "/uplink/{device}", "/uplink/{devcie}")


def no_yaml(stage: Stage) -> None:
    sound(stage)
    stage.edit(TRACKER, "kind: DeviceType", "kind: [")


def untidy(stage: Stage) -> None:
    sound(stage)
    stage.edit(TRACKER, "kind: DeviceType", "kind:    'DeviceType'")


def piped(stage: Stage) -> None:
    sound(stage)
    stage.stdin = (stage.folder / PROJECT).read_text()


def piped_untidy(stage: Stage) -> None:
    piped(stage)
    stage.stdin = stage.stdin.replace("kind: Project", "kind:   Project")


def failing(stage: Stage) -> None:
    """The files are sound, and what a test expects is not what happens."""
    sound(stage)
    stage.edit(TRACKER, "temperature: 1000", "temperature: 1001")


def equal(stage: Stage) -> None:
    """Both environments hold the same."""
    sound(stage)
    stage.edit(PROJECT, "127.0.0.1:9001", "127.0.0.1:9000")


def applied(stage: Stage) -> None:
    sound(stage)
    assert stage.run("apply", "-e", "dev", "--yes") == 0


def changed(stage: Stage) -> None:
    """Applied, and another file by now."""
    applied(stage)
    stage.edit(PROJECT, LIMITS, "")
    stage.edit(TRACKER, "method: POST", "method: PUT")


def twice(stage: Stage) -> None:
    """Applied twice: there is something to go back to."""
    changed(stage)
    assert stage.run("apply", "-e", "dev", "--yes") == 0


def delivered(stage: Stage) -> None:
    """A message was taken, and led to a delivery."""
    applied(stage)
    device = hashlib.sha256(stage.folder.name.encode()).hexdigest()[:8].upper()
    with stage.engine.following() as attempts:
        posted = stage.engine.post({"device": device, "deviceType": stage.folder.name, "time": 1, "data": "e80332"})
        found = next(each for each in attempts if each.get("callback") == stage.names["CALLBACK"])
    stage.names |= {"MESSAGE-ID": posted["ids"][0], "DELIVERY-ID": found["id"]}


def drifted(stage: Stage) -> None:
    """Somebody changed a callback at the engine's door."""
    applied(stage)
    key = stage.names["CALLBACK"]
    number = stage.engine.ask("GET", "/v1/revisions/current")["number"]
    now = stage.engine.ask("POST", f"/v1/revisions/{number}/definitions", json={"keys": [key]})["definitions"][key]
    change = {"kind": "update", "key": key, "expects": now["digest"], "after": {**now["content"], "method": "PUT"}}
    body = {"owner": stage.folder.name, "by": "Mallory", "changes": [change]}
    stage.engine.ask("POST", "/v1/revisions", json=body, headers={"If-Match": f'"{number}"'})


def over_limits(stage: Stage) -> None:
    sound(stage)
    stage.edit(PROJECT, LIMITS, "limits: {creates: 0}")


def protected(stage: Stage) -> None:
    """What is protected at the engine is no longer declared."""
    sound(stage)
    stage.edit(PROJECT, LIMITS, "")
    text = (stage.folder / TRACKER).read_text()
    stage.edit(TRACKER, "    channel: url\n", "    channel: url\n    protect: true\n")
    assert stage.run("apply", "-e", "dev", "--yes") == 0
    (stage.folder / TRACKER).write_text(text.partition("callbacks:")[0])


def protected_since(stage: Stage) -> None:
    """The way back would delete what is protected."""
    sound(stage)
    stage.edit(PROJECT, LIMITS, "")
    stage.edit(TRACKER, "    channel: url\n", "    channel: url\n    protect: true\n")
    text = (stage.folder / TRACKER).read_text()
    (stage.folder / TRACKER).write_text(text.partition("callbacks:")[0])
    assert stage.run("apply", "-e", "dev", "--yes") == 0
    (stage.folder / TRACKER).write_text(text)
    assert stage.run("apply", "-e", "dev", "--yes") == 0


def saved(stage: Stage) -> None:
    """A plan that can be applied."""
    sound(stage)
    assert stage.run("plan", "-e", "dev", "-o", "plan.json") == 0


def saved_over_limits(stage: Stage) -> None:
    over_limits(stage)
    assert stage.run("plan", "-e", "dev", "-o", "plan.json") == 1


def stale(stage: Stage) -> None:
    """A plan whose callback somebody else changed since."""
    changed(stage)
    assert stage.run("plan", "-e", "dev", "-o", "plan.json") == 0
    stage.edit(TRACKER, "/uplink/{device}", "/elsewhere/{device}")
    assert stage.run("apply", "-e", "dev", "--yes") == 0


def for_elsewhere(stage: Stage) -> None:
    saved(stage)
    stage.edit(PROJECT, f"name: {stage.folder.name}", "name: another")


def no_plan(stage: Stage) -> None:
    sound(stage)
    (stage.folder / "plan.json").write_text('{"format": ')


def unfinished(stage: Stage) -> None:
    """An apply that broke when its plan was to be published: its journal has no last line."""
    sound(stage)
    break_the_publication(stage)


def unfinished_with_a_way_back(stage: Stage) -> None:
    twice(stage)
    stage.edit(TRACKER, "method: PUT", "method: POST")
    break_the_publication(stage)


def break_the_publication(stage: Stage) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(WritingClient, "post", raising_later(RuntimeError("a bug")))
        assert stage.run("apply", "-e", "dev", "--yes") == 70


def running(stage: Stage) -> None:
    """Another apply has the journal."""
    twice(stage)
    stage.stack.enter_context(JournalFile(stage.folder / ".reconciler/journal", "dev", now=utc_now))


def declining(stage: Stage) -> None:
    """Somebody sits there, and says no."""
    sound(stage)
    asked(stage, "no\n")


def declining_to_go_back(stage: Stage) -> None:
    twice(stage)
    asked(stage, "no\n")


def asked(stage: Stage, answer: str) -> None:
    stage.patched.setattr(Terminal, "can_ask", True)
    stage.stdin = answer


def another_project(stage: Stage) -> None:
    """What another project owns at the engine is what this one takes over."""
    applied(stage)
    stage.names |= {"OWNER": stage.folder.name}
    stage.edit(PROJECT, f"name: {stage.folder.name}", f"name: {stage.folder.name}-heir")
    (stage.folder / TRACKER).unlink()


def declining_to_take_over(stage: Stage) -> None:
    another_project(stage)
    asked(stage, "no\n")


def lost_files(stage: Stage) -> None:
    """The files are gone; the engine has what they said."""
    applied(stage)
    (stage.folder / TRACKER).unlink()


def not_there(stage: Stage) -> None:
    """Nobody listens where the engine should be."""
    sound(stage)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        stage.edit(PROJECT, stage.engine.url, f"http://127.0.0.1:{free.getsockname()[1]}")


def locked_out(stage: Stage) -> None:
    """The token is of another engine."""
    sound(stage)
    stage.patched.setenv("RECONCILER_TOKEN", "rk_" + "A" * 43)


def without_token(stage: Stage) -> None:
    sound(stage)
    stage.patched.delenv("RECONCILER_TOKEN")


def a_file_in_the_way(stage: Stage) -> None:
    """What should be a folder is a file."""
    sound(stage)
    (stage.folder / "schemas").write_text("a file")


def bad_tokens(stage: Stage) -> None:
    (stage.folder / "tokens").write_text("nonsense\n")


def taken_store(stage: Stage) -> None:
    """Another engine has the data."""
    stage.names |= {"DATA": str(data_of(stage.engine))}


def sound_beside_a_taken_store(stage: Stage) -> None:
    sound(stage)
    taken_store(stage)


def broken_store(stage: Stage) -> None:
    """Its tally tells of deliveries that are not there."""
    backup_sqlite(data_of(stage.engine), stage.folder / "store.sqlite3")
    (stage.folder / "own").mkdir()
    (stage.folder / "store.sqlite3").rename(stage.folder / "own" / "store.sqlite3")
    with sqlite3.connect(stage.folder / "own" / "store.sqlite3") as connection:
        connection.execute("INSERT OR REPLACE INTO tally (state, deliveries) VALUES (1, 7)")


def taken_port(stage: Stage) -> None:
    stage.names |= {"LISTEN": stage.engine.url.removeprefix("http://")}


def data_of(engine: Engine) -> Path:
    command = engine.process.args
    assert isinstance(command, list)
    return Path(command[command.index("--data") + 1])


def stopped_once_it_serves(stage: Stage) -> None:
    """A SIGTERM comes as soon as the engine says that it serves."""
    from reconciler.cli import serving

    serve: Callable[..., Awaitable[None]] = vars(serving)["serve"]

    async def serve_shortly(*given: Any, started: Callable[[str], None], **more: Any) -> None:
        def started_and_told_to_stop(url: str) -> None:
            started(url)
            os.kill(os.getpid(), signal.SIGTERM)

        await serve(*given, started=started_and_told_to_stop, **more)

    stage.patched.setattr(serving, "serve", serve_shortly)


def an_engine_that_stops(stage: Stage) -> None:
    """It is told to as soon as somebody follows it."""
    follow = engine_access.follow
    engine = stage.stack.enter_context(engine_process(stage.folder / "data"))
    stage.patched.setenv("RECONCILER_TOKEN", engine.token)
    stage.names |= {"URL": engine.url}

    def follow_to_its_end(*given: Any, opened: Callable[[str], None]) -> Iterator[Any]:
        def opened_and_stopping(url: str) -> None:
            opened(url)
            engine.process.send_signal(signal.SIGTERM)

        return follow(*given, opened=opened_and_stopping)

    stage.patched.setattr(engine_access, "follow", follow_to_its_end)


def played(stage: Stage) -> None:
    """The commands that the demo runs are played: what they take is starting Python seven times."""
    from reconciler.cli import demonstration

    script = stage.folder / "reconciler"
    (stage.folder / "changed").touch()
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *--check*) rm {stage.folder}/changed 2>/dev/null && exit 3;; esac\nexit 0\n'
    )
    script.chmod(0o700)
    stage.patched.setattr(sys, "executable", str(script))
    quick = RetryPolicy(deadline=timedelta(seconds=10), waits=(timedelta(milliseconds=10),))
    stage.patched.setattr(demonstration, "_POLICY", quick)


def played_badly(stage: Stage) -> None:
    """A command of the demo ends as it should not."""
    stage.patched.setattr(sys, "executable", "/bin/false")


def publication_lost(stage: Stage) -> None:
    """The engine goes away when the plan is to be published."""
    at_the_publication(stage, sound, TargetUnavailable("The engine went away."))


def interrupted_at_the_publication(stage: Stage) -> None:
    at_the_publication(stage, sound, KeyboardInterrupt())


def interrupted_on_the_way_back(stage: Stage) -> None:
    at_the_publication(stage, twice, KeyboardInterrupt())


def at_the_publication(stage: Stage, world: World, raised: BaseException) -> None:
    world(stage)
    stage.patched.setattr(WritingClient, "post", raising_later(raised))


def raising_later(raised: BaseException) -> Callable[..., Awaitable[None]]:
    """A coroutine function that raises."""

    async def raises(*_: object, **__: object) -> None:
        raise raised

    return raises


# Rows


@dataclass(frozen=True)
class Row:
    """Played in `world`, the verb with these arguments ends with `code` and says `says`."""

    verb: str
    arguments: tuple[str, ...]
    world: World
    code: int
    says: str
    where: Literal["out", "err"] = "err"

    def __str__(self) -> str:
        return f"{self.code}-{self.verb} {self.world.__name__}"

    @property
    def command(self) -> tuple[str, ...]:
        return (*self.verb.split(), *self.arguments)


def rows(verb: str, *given: tuple[Any, ...]) -> list[Row]:
    return [Row(verb, tuple(arguments.split()), *rest) for arguments, *rest in given]


OWN = [
    *rows(
        "init",
        ("fresh", nothing, 0, "fresh/reconciler.yaml", "out"),
        ("", sound, 1, "A project is here already; nothing was written."),
        ("reconciler.yaml/below", sound, 4, "can not be written: Not a directory."),
    ),
    *rows(
        "validate",
        ("", sound, 0, "No problems in 2 files.", "out"),
        ("", nothing, 1, "error[project-not-found]", "out"),
        ("", broken, 1, "error[unknown-variable]", "out"),
        ("-e nowhere", sound, 1, "error[unknown-environment]", "out"),
        ("--format xml", sound, 2, "Invalid value for '--format'"),
    ),
    *rows(
        "fmt",
        ("", sound, 0, "2 files are in canonical form."),
        ("--check", sound, 0, "2 files are in canonical form."),
        ("--check", untidy, 1, TRACKER, "out"),
        ("--diff", untidy, 0, "+kind: ", "out"),
        ("", no_yaml, 1, "error[yaml-syntax]"),
        ("", nothing, 1, "error[project-not-found]"),
        ("-", piped, 0, "kind: Project", "out"),
        ("-", nothing, 1, "error[empty-file]"),
        ("- --check", piped_untidy, 1, "Standard input is not in canonical form."),
        ("- -", nothing, 2, "- stands for standard input, and comes alone."),
    ),
    *rows(
        "test",
        ("", sound, 0, "2 tests passed", "out"),
        ("", failing, 1, "temperature", "out"),
        ("", broken, 1, "error[unknown-variable]"),
        ("-e nowhere", sound, 1, "error[unknown-environment]"),
        ("-o", sound, 2, "requires an argument"),
        ("-o no/such/folder.xml", sound, 4, "The results can not be written to no/such/folder.xml"),
        ("-o no/such/folder.xml", failing, 4, "The results can not be written to no/such/folder.xml"),
    ),
    *rows(
        "render",
        ("CALLBACK --message MESSAGE", sound, 0, "POST http://127.0.0.1:9000/uplink/1C178", "out"),
        ("CALLBACK --message {}", sound, 1, "error[missing-field]"),
        ("no/where --message MESSAGE", sound, 1, "error[unknown-callback]"),
        ("CALLBACK --message MESSAGE", nothing, 1, "error[project-not-found]"),
        ("CALLBACK --message MESSAGE", no_yaml, 1, "error[yaml-syntax]"),
        ("CALLBACK", sound, 2, "Missing option '--message'"),
        ("CALLBACK --message missing.json", sound, 2, "The message can not be read from missing.json"),
    ),
    *rows(
        "decode",
        ("a::uint:8 2a", nothing, 0, "42", "out"),
        ("a::uint:65 2a", nothing, 1, "error[payload-bad-length]"),
        ("a::uint:8 2x", nothing, 1, "error[payload-not-hex]"),
        ("a::uint:8", nothing, 2, "Missing argument 'HEX'"),
    ),
    *rows(
        "schema",
        ("", nothing, 0, '"DeviceType"', "out"),
        ("--write", nothing, 0, "written"),
        ("--write", a_file_in_the_way, 4, "can not be written: "),
    ),
    *rows(
        "plan",
        ("-e dev", sound, 0, "2 to create", "out"),
        ("-e dev --check", applied, 0, "Nothing to change", "out"),
        ("-e dev --check", changed, 3, "1 to update", "out"),
        ("-e dev", broken, 1, "error[unknown-variable]"),
        ("-e dev", over_limits, 1, "error[too-many-changes]"),
        ("-e dev --check", over_limits, 1, "error[too-many-changes]"),
        ("-e dev", protected, 1, "error[protected-definition]"),
        ("-e dev", unfinished, 0, "2 to create", "out"),
        ("", sound, 2, "Missing option"),
        ("-e dev -o -", sound, 2, "--format json"),
        ("-e dev -o no/such/folder.json", sound, 4, "The plan can not be saved in no/such/folder.json"),
    ),
    *rows(
        "apply",
        ("-e dev --yes", sound, 0, "\nRevision ", "out"),
        ("-e dev --yes", applied, 0, "Nothing to change", "out"),
        ("plan.json", saved, 0, "\nRevision ", "out"),
        ("--resume -e dev", unfinished, 0, "\nRevision ", "out"),
        ("--resume -e dev", applied, 0, "Nothing to resume"),
        ("--abandon -e dev", unfinished, 0, "The rest of it is given up."),
        ("-e dev --yes", broken, 1, "error[unknown-variable]"),
        ("-e dev --yes", over_limits, 1, "error[too-many-changes]"),
        ("-e dev --yes", protected, 1, "error[protected-definition]"),
        ("-e dev --yes", unfinished, 1, "error[apply-unfinished]"),
        ("plan.json", stale, 1, "expected digest"),
        ("plan.json", saved_over_limits, 1, "error[too-many-changes]"),
        ("plan.json", for_elsewhere, 1, "error[plan-for-elsewhere]"),
        ("plan.json", no_plan, 1, "error[bad-plan-file]"),
        ("-e dev", declining, 1, "Nothing was applied."),
        ("", sound, 2, "reconciler apply -e ENV"),
        ("-e dev", sound, 2, "There is no terminal to ask on."),
        ("missing.json", sound, 2, "The plan can not be read from missing.json"),
        ("--resume", sound, 2, "reconciler apply --resume -e ENV"),
        ("--resume --abandon -e dev", sound, 2, "it takes that and nothing else"),
        ("-e dev --yes", running, 4, "Another apply of this environment is running"),
        ("--resume -e dev", running, 4, "Another apply of this environment is running"),
    ),
    *rows(
        "drift",
        ("-e dev", drifted, 0, "Mallory", "out"),
        ("-e dev --check", changed, 0, "No drift: ", "out"),
        ("-e dev --check", drifted, 3, "Mallory", "out"),
        ("-e dev --check", broken, 1, "error[unknown-variable]"),
        ("", sound, 2, "Missing option"),
    ),
    *rows(
        "diff",
        ("dev other", sound, 0, "url", "out"),
        ("dev other --check", sound, 3, "url", "out"),
        ("dev other --check", equal, 0, "No difference: ", "out"),
        ("dev nowhere", sound, 1, "error[unknown-environment]"),
        ("dev other --check", broken, 1, "error[unknown-variable]"),
        ("dev other", nothing, 1, "error[project-not-found]"),
        ("dev", sound, 2, "Missing argument"),
        ("dev dev", sound, 2, "An environment does not differ from itself"),
    ),
    *rows(
        "import",
        ("-e dev", applied, 0, "Nothing to import: ", "out"),
        ("-e dev", drifted, 0, TRACKER, "out"),
        ("-e dev --adopt OWNER --yes", another_project, 0, "Imported 2 definitions", "out"),
        ("-e dev", broken, 1, "error[unknown-variable]"),
        ("-e dev --adopt nobody-we-know --yes", applied, 1, "owns nothing at"),
        ("-e dev --adopt OWNER", declining_to_take_over, 1, "Nothing was applied."),
        ("-e dev -o reconciler.yaml", lost_files, 1, "error["),
        ("-e dev", lost_files, 0, "Imported 2 definitions into 1 file.", "out"),
        ("-e dev --adopt OWNER", sound, 2, "There is no terminal to ask on."),
        ("", sound, 2, "Missing option"),
    ),
    *rows(
        "history",
        ("-e dev", applied, 0, "+2 ~0 -0", "out"),
        ("-e dev 1000000", applied, 1, "error[unknown-revision]"),
        ("-e dev 0", applied, 2, "Invalid value for '[N]'"),
        ("-e dev --limit 0", applied, 2, "Invalid value for '--limit'"),
        ("", sound, 2, "Missing option"),
    ),
    *rows(
        "rollback",
        ("-e dev --yes", twice, 0, "\nRevision ", "out"),
        ("-e dev --yes", unfinished_with_a_way_back, 0, "\nRevision ", "out"),
        ("-e dev --yes", sound, 1, "error[nothing-to-go-back-to]"),
        ("-e dev --yes 1000000", twice, 1, "error[unknown-revision]"),
        ("-e dev --yes", protected_since, 1, "error[protected-definition]"),
        ("-e dev", declining_to_go_back, 1, "Nothing was applied."),
        ("-e dev", twice, 2, "There is no terminal to ask on."),
        ("-e dev --yes first", twice, 2, "Invalid value for '[N]'"),
        ("-e dev --yes", running, 4, "Another apply of this environment is running"),
    ),
    *rows(
        "engine serve",
        ("--listen 127.0.0.1:0 --data own", stopped_once_it_serves, 0, "Stopped."),
        ("--listen 127.0.0.1:0 --token-file tokens", bad_tokens, 1, "error[token-file-line]"),
        ("--listen nonsense", nothing, 2, "error[listen-bad-address]"),
        ("--listen 0.0.0.0:0", nothing, 2, "error[listen-without-tokens]"),
        ("--allow-egress 10.0.0.0/99", nothing, 2, "error[egress-bad-network]"),
        ("--listen 127.0.0.1:0 --data DATA", taken_store, 4, "is in use by another engine"),
        ("--listen LISTEN --data own", taken_port, 4, "error[listen-"),
        ("--listen 127.0.0.1:0 --data reconciler.yaml/below", sound, 4, "Not a directory"),
    ),
    *rows(
        "engine token",
        ("--name ci --scope read", nothing, 0, "rk_", "out"),
        ("--name # --scope read", nothing, 1, "error[token-name-refused]"),
        ("--name ci --scope everything", nothing, 2, "--scope takes one or more of"),
        ("--name ci", nothing, 2, "Missing option '--scope'"),
        ("--name ci --scope read --data reconciler.yaml/below", sound, 4, "Not a directory"),
    ),
    *rows(
        "engine check",
        ("--data DATA", taken_store, 0, "is sound: ", "out"),
        ("--data own", broken_store, 1, "error[store-inconsistent]"),
        ("--data own --format yaml", nothing, 2, "Invalid value for '--format'"),
        ("--data own", nothing, 4, "own"),
    ),
    *rows(
        "engine backup",
        ("copy --data DATA", taken_store, 0, " bytes.", "out"),
        ("--data DATA", taken_store, 2, "Missing argument 'FILE'"),
        ("copy --data own", nothing, 4, "own"),
        ("reconciler.yaml --data DATA", sound_beside_a_taken_store, 4, "reconciler.yaml"),
    ),
    *rows(
        "deliveries list",
        ("-e dev", delivered, 0, "telemetry", "out"),
        ("", delivered, 0, "telemetry", "out"),
        ("--state lost", sound, 2, "Invalid value for '--state'"),
        ("-e dev --engine http://127.0.0.1:9", sound, 2, "not by both"),
    ),
    *rows(
        "deliveries show",
        ("DELIVERY-ID -e dev", delivered, 0, "POST http://127.0.0.1:9000/uplink/", "out"),
        (f"{NOWHERE}.1 -e dev", sound, 4, "no delivery of that id"),
        ("", sound, 2, "Missing argument 'ID'"),
    ),
    *rows(
        "deliveries tail",
        ("--engine URL", an_engine_that_stops, 0, "The engine ended the stream: it stops."),
        ("-e dev --engine http://127.0.0.1:9", sound, 2, "not by both"),
    ),
    *rows(
        "deliveries replay",
        ("--undelivered --callback no/where -e dev", sound, 0, "0 deliveries to send again.", "out"),
        ("DELIVERY-ID -e dev", delivered, 0, "to send again.", "out"),
        (f"DELIVERY-ID {NOWHERE}.1 -e dev", delivered, 4, f"no delivery of this id: {NOWHERE}.1"),
        (f"{NOWHERE}.1 {NOWHERE}.2 --format json -e dev", sound, 4, f"these ids: {NOWHERE}.1, {NOWHERE}.2"),
        ("-e dev", sound, 2, "Name the deliveries to replay"),
    ),
    *rows(
        "explain",
        ("", nothing, 0, "unknown-variable", "out"),
        ("unknown-variable", nothing, 0, "unknown-variable", "out"),
        ("MESSAGE-ID -e dev", delivered, 0, "telemetry", "out"),
        (f"{NOWHERE} -e dev", sound, 4, "no message of that id"),
        ("unknown-variabel", nothing, 2, "reconciler explain unknown-variable"),
    ),
    *rows(
        "demo",
        ("", played, 0, "The demo has ended, and its folder is gone.", "out"),
        ("", played_badly, 4, "The command above ended with 1, not with 0."),
    ),
]

# What asks an engine, and with which arguments it comes that far.
ASKING = {
    "plan": "-e dev",
    "apply": "-e dev --yes",
    "drift": "-e dev",
    "import": "-e dev",
    "history": "-e dev",
    "rollback": "-e dev --yes",
    "deliveries list": "-e dev",
    "deliveries show": f"{NOWHERE}.1 -e dev",
    "deliveries tail": "-e dev",
    "deliveries replay": "--undelivered -e dev",
    "explain": f"{NOWHERE} -e dev",
}
REFUSED = [
    row
    for verb, arguments in ASKING.items()
    for row in rows(
        verb,
        (arguments, nothing, 1, "error[project-not-found]"),
        (arguments.replace("dev", "nowhere"), sound, 1, "error[unknown-environment]"),
        (arguments, without_token, 1, "error[environment-variable-not-set]"),
        (arguments, not_there, 4, "reconciler engine serve"),
        (arguments, locked_out, 4, "RECONCILER_TOKEN"),
    )
]
MISUSED = [row for verb in ENDS for row in rows(verb, ("--nonsense", nothing, 2, "No such option: --nonsense"))]

# The midst of each verb's work, and a world and arguments that lead there.
MIDST: Mapping[str, tuple[str, World, str]] = {
    "init": ("", nothing, "config.scaffold:scaffold"),
    "validate": ("", sound, "config.load:load"),
    "fmt": ("", sound, "config.format:formatted"),
    "test": ("", sound, "cli.testing:run_test"),
    "render": ("CALLBACK --message MESSAGE", sound, "cli.previewing:render_requests"),
    "decode": ("a::uint:8 2a", nothing, "grammar.payload:problems"),
    "schema": ("", nothing, "config.published:schema_of"),
    "plan": ("-e dev", sound, "cli.planning:make_plan"),
    "apply": ("-e dev --yes", sound, "cli.carrying_out:commit_of"),
    "drift": ("-e dev", sound, "cli.render.drift:drift_as_text"),
    "diff": ("dev other", sound, "cli.contrast:field_changes"),
    "import": ("-e dev", sound, "config.export:export"),
    "history": ("-e dev", sound, "cli.render.history:history_as_text"),
    "rollback": ("-e dev --yes", twice, "cli.looking_back:make_rollback"),
    "engine serve": ("--listen 127.0.0.1:0 --data own", nothing, "cli.serving:open_engine"),
    "engine token": ("--name ci --scope read", nothing, "cli.token_file:hash_token"),
    "engine check": ("--data DATA", taken_store, "store.sqlite_care:check_sqlite"),
    "engine backup": ("copy --data DATA", taken_store, "store.sqlite_care:backup_sqlite"),
    "deliveries list": ("-e dev", sound, "cli.render.engine_answers:deliveries_as_text"),
    "deliveries show": ("DELIVERY-ID -e dev", delivered, "cli.render.engine_answers:delivery_as_text"),
    "deliveries tail": ("-e dev", sound, "cli.engine_access:follow"),
    "deliveries replay": ("--undelivered -e dev", sound, "cli.engine_access:post"),
    "explain": ("", nothing, "cli.pages:codes"),
    "demo": ("", nothing, "cli.demonstration:open_engine"),
}


def planted(place: str, world: World, raised: BaseException) -> World:
    """The world, and in it a place where something is raised."""

    def with_it(stage: Stage) -> None:
        def raises(*_: object, **__: object) -> object:
            raise raised

        world(stage)
        module, _, name = place.partition(":")
        stage.patched.setattr(importlib.import_module(f"reconciler.{module}"), name, raises)

    with_it.__name__ = f"{type(raised).__name__} in {place}"
    return with_it


def midst(raised: BaseException, code: int, says: str) -> list[Row]:
    return [
        Row(verb, tuple(arguments.split()), planted(place, world, raised), code, says)
        for verb, (arguments, world, place) in MIDST.items()
    ]


PLANTED = [
    *midst(RuntimeError("a bug"), 70, "RuntimeError: a bug\n\nThis is a bug in reconciler "),
    *midst(KeyboardInterrupt(), 130, ""),
    *midst(OSError(errno.ENOSPC, "No space left on device"), 4, "No space left on device"),
    *rows(
        "apply",
        ("-e dev --yes", planted("cli.planning:make_plan", sound, KeyboardInterrupt()), 130, "Nothing was applied."),
        ("-e dev --yes", planted("cli.planning:make_plan", sound, RuntimeError("a bug")), 70, "RuntimeError: a bug"),
        ("-e dev --yes -v", planted("cli.planning:make_plan", sound, RuntimeError("a bug")), 70, "RuntimeError: a bug"),
        ("-e dev --yes -q", planted("cli.planning:make_plan", sound, RuntimeError("a bug")), 70, "RuntimeError: a bug"),
    ),
    *rows(
        "rollback",
        (
            "-e dev --yes",
            planted("cli.looking_back:make_rollback", twice, KeyboardInterrupt()),
            130,
            "Nothing was applied.",
        ),
    ),
]
ROWS = [*OWN, *REFUSED, *MISUSED, *PLANTED]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_process(tmp_path_factory.mktemp("engine") / "data") as engine:
        yield engine


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """An engine in this process sets the interpreter and the log up for itself (`wiring.run`, `log_lines.log_to`)."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    root, ours = logging.getLogger(), logging.getLogger("reconciler")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture
def stage(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for name in [name for name in os.environ if name.startswith("RECONCILER_")]:
        monkeypatch.delenv(name)
    for name, value in engine.env.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / f"exits-{tmp_path.name}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        yield Stage(folder, engine, monkeypatch, stack, names={"MESSAGE": MESSAGE})


def play(stage: Stage, command: tuple[str, ...], world: World, capsys: pytest.CaptureFixture[str]) -> Run:
    """Make the world, run the command in it, without a terminal."""
    world(stage)
    capsys.readouterr()
    stage.patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stage.stdin.encode())))
    code = stage.run(*command)
    return Run(code, *capsys.readouterr())


def verbs_in(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Each verb as it is typed, and what parses it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs_in(command, *path, name)
        else:
            yield " ".join((*path, name)), command


VERBS = dict(verbs_in(typer.main.get_command(main.app)))


def options_of(verb: str) -> set[str]:
    return {option for parameter in VERBS[verb].params for option in parameter.opts}


def test_every_verb_has_a_row_for_every_code_it_can_end_with() -> None:
    assert set(ENDS) == set(MIDST) == set(VERBS)
    seen = {verb: {row.code for row in ROWS if row.verb == verb} for verb in ENDS}
    assert seen == ENDS
    assert set.union(*seen.values()) == set(ExitCode) - {ExitCode.PIPE_CLOSED}


def test_options_that_decide_about_the_code_have_rows() -> None:
    asking = {verb for verb in VERBS if options_of(verb) & {"--engine"} or (verb, True) in needing_an_environment()}
    assert asking == set(ASKING)
    for verb in VERBS:
        own = [row for row in OWN if row.verb == verb]
        if "--check" in options_of(verb):
            pending = ExitCode.PROBLEMS if verb == "fmt" else ExitCode.PENDING
            assert {0, pending} <= {row.code for row in own if "--check" in row.arguments}, verb
        if "--yes" in options_of(verb):
            assert any(row.code == 2 and "no terminal" in row.says for row in own), verb
            assert any(row.code == 1 and row.world.__name__.startswith("declining") for row in own), verb


def needing_an_environment() -> set[tuple[str, bool]]:
    """What looks at the target of one environment: `-e` is required, or, for `apply`, a plan names it."""
    return {
        (verb, verb == "apply" or parameter.required)
        for verb, command in VERBS.items()
        for parameter in command.params
        if "--environment" in parameter.opts
    }


def test_the_readme_and_the_help_list_all_codes() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \| ", README.read_text(), re.MULTILINE)}
    assert listed == set(ExitCode)
    told = main.app.info.epilog
    assert isinstance(told, str)
    assert {int(code) for code in re.findall(r"\d+", told)} == set(ExitCode) - {ExitCode.PIPE_CLOSED}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_it_ends_with_its_code_and_says_why(stage: Stage, row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    ended = play(stage, row.command, row.world, capsys)
    assert ended.code == row.code, ended
    assert row.says in {"out": ended.out, "err": ended.err}[row.where], ended
    assert ("Traceback" in ended.err) == (row.code == ExitCode.BUG), ended
    if row.code == ExitCode.BUG:
        assert "Please report it with the lines above." in ended.err


# What was written before the end


def read_junit(text: str) -> None:
    assert next(ElementTree.fromstring(text).iter("failure")) is not None


def read_plan(text: str) -> None:
    assert load_plan(text.encode()).changes


def read_page(text: str) -> None:
    assert text.rstrip().endswith("</html>")


Reader = Callable[[str], object]

WHOLE: list[tuple[str, World, int, Reader | None, Reader | None]] = [
    ("validate --format json", broken, 1, json.loads, None),
    ("validate --format sarif", broken, 1, json.loads, None),
    ("fmt --check --format json", untidy, 1, json.loads, None),
    ("test --format json", failing, 1, json.loads, None),
    ("test --format junit", failing, 1, read_junit, None),
    ("test --format junit -o FILE", failing, 1, None, read_junit),
    ("test --format json -o FILE", failing, 1, None, json.loads),
    ("test --format junit -o no/FILE", failing, 4, None, None),
    ("plan -e dev --check --format json -o FILE", changed, 3, read_plan, read_plan),
    ("plan -e dev --check --format html -o FILE", changed, 3, read_page, read_plan),
    ("plan -e dev --format json -o FILE", over_limits, 1, read_plan, read_plan),
    ("plan -e dev --format json -o FILE", protected, 1, read_plan, read_plan),
    ("plan -e dev --format json -o no/FILE", sound, 4, read_plan, None),
    ("apply -e dev --yes --format json", publication_lost, 4, json.loads, None),
    ("apply -e dev --yes --format json", interrupted_at_the_publication, 130, json.loads, None),
    ("rollback -e dev --yes --format json", interrupted_on_the_way_back, 130, json.loads, None),
    ("drift -e dev --check --format json", drifted, 3, json.loads, None),
    ("diff dev other --check --format json", sound, 3, json.loads, None),
]


@pytest.mark.parametrize(
    ("command", "world", "code", "shown", "written"),
    [pytest.param(*each, id=f"{each[2]}-{each[0]} {each[1].__name__}") for each in WHOLE],
)
def test_everything_is_written_before_it_ends(
    stage: Stage,
    capsys: pytest.CaptureFixture[str],
    command: str,
    world: World,
    code: int,
    shown: Reader | None,
    written: Reader | None,
) -> None:
    ended = play(stage, tuple(command.split()), world, capsys)
    assert ended.code == code, ended
    assert ended.out, "what was asked for is shown, whatever the end"
    if shown is not None:
        shown(ended.out)
    if written is not None:
        written((stage.folder / "FILE").read_text())
