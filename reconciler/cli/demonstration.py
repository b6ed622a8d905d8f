"""What `demo` shows: a project is applied, devices send, a receiver fails once, a definition changes.

1. The commands on the screen are the ones that a user types, run as processes of their own.
2. The engine is the real one on the embedded store, with one difference that is told: retries after 1, 2 and 4 seconds.
3. The project is a copy of `examples/cold-chain` whose two addresses lead to the engine and the receiver of this run.
"""

import asyncio
import json
import logging
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.cli import wiring
from reconciler.cli.exit_code import ExitCode
from reconciler.cli.log_lines import log_to
from reconciler.cli.render.text import columns, indent
from reconciler.cli.terminal import Terminal
from reconciler.cli.wiring import EngineSettings, open_engine
from reconciler.diagnostics import Diagnostic
from reconciler.errors import StoreError
from reconciler.model.delivery import Settlement, State
from reconciler.runtime.api.application import application
from reconciler.runtime.api.json_forms import explained_json, settlement_json
from reconciler.runtime.api.server import listen, serve, url_of
from reconciler.runtime.api.tokens import Scope as TokenScope
from reconciler.runtime.api.tokens import Token, Tokens, hash_token, new_token
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.clock import utc_now
from reconciler.runtime.engine import Engine
from reconciler.runtime.retry import RetryPolicy

__all__ = ["demonstrate", "example"]

_TOKEN_VARIABLE: Final = "RECONCILER_TOKEN"
_SECRETS: Final = {"INGEST_TOKEN": "demo-ingest", "FREEZER_KEY": "demo-freezer"}
_POLICY: Final = RetryPolicy(
    deadline=timedelta(seconds=10), waits=(timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4))
)
# Where the example leads, and the file that somebody changes.
_ENGINE_ADDRESS: Final = "http://127.0.0.1:8460"
_RECEIVER_ADDRESS: Final = "http://127.0.0.1:9000"
_CHANGED_FILE: Final = "device-types/tracker.yaml"
_BEFORE: Final = '"battery": {customData#battery}}'
_AFTER: Final = '"battery": {customData#battery},\n      "humidity": {customData#humidity}}'

# A container near Paris at 4.3 °C and 61 % on the move; the third message lost two of its three bytes on the way.
_UPLINKS: Final[Sequence[Mapping[str, object]]] = (
    {"device": "1C178", "deviceType": "tracker", "seqNumber": 811, "data": "1d1f3758015e1ce82b003ddc"},
    {"device": "89C3", "deviceType": "door-sensor", "seqNumber": 42, "data": "a9013d"},
    {"device": "89C4", "deviceType": "door-sensor", "seqNumber": 7, "data": "29"},
    {"device": "3F52A6", "deviceType": "freezer-probe", "seqNumber": 2077, "data": "f47f40ae"},
    {"device": "1C17A", "deviceType": "tracker", "seqNumber": 5, "data": "not hex"},
)
_LATER: Final[Sequence[Mapping[str, object]]] = (
    {"device": "1C178", "deviceType": "tracker", "seqNumber": 812, "data": "1d1f3758015e1ce82d003edb"},
)
_PATIENCE_SECONDS: Final = 30


def example(name: str) -> Path:
    """The folder of an example: in the package as installed, beside it in a checkout."""
    package = Path(str(resources.files("reconciler")))
    return next(path for path in (package / "examples" / name, package.parent / "examples" / name) if path.is_dir())


async def demonstrate(terminal: Terminal) -> ExitCode:
    """Show both journeys; FINE when everything went as it should."""
    log_to(terminal.err, level=logging.ERROR)  # the failure that belongs to the show is told in its own words
    with tempfile.TemporaryDirectory(prefix="reconciler-demo-") as folder:
        async with _scene(terminal, Path(folder)) as scene:
            scene.set_out()
            await scene.apply_the_project()
            await scene.send_uplinks()
            await scene.change_a_definition()
            await scene.look_back()
    terminal.result(
        "\nThe demo has ended, and its folder is gone. Yours begins with:\n\n    reconciler init my-project"
    )
    return ExitCode.FINE


@asynccontextmanager
async def _scene(terminal: Terminal, folder: Path) -> AsyncIterator["_Scene"]:
    """An engine, a receiver and a project, until the end of the demo."""
    token = new_token(secrets.token_bytes(32))
    settings = EngineSettings(
        data=folder / "data", egress=EgressPolicy(allow_private=True), policy=_POLICY, secrets=_SECRETS.get
    )
    tokens = Tokens([Token("demo", hash_token(token), frozenset(TokenScope))])
    stop = asyncio.Event()
    async with open_engine(settings) as engine:
        receiver_url, receiving = _serve(_Receiver(), stop)
        engine_url, serving = _serve(application(engine, tokens, stopping=stop), stop)
        project = _copy_of_example(folder / "cold-chain", engine=engine_url, receiver=receiver_url)
        scene = _Scene(terminal, engine, project, engine_url=engine_url, receiver_url=receiver_url, token=token)
        following = asyncio.create_task(scene.follow_retries())
        try:
            yield scene
        finally:
            stop.set()
            following.cancel()
            await asyncio.gather(receiving, serving, following, return_exceptions=True)


def _serve(app: ASGIApp, stop: asyncio.Event) -> tuple[str, asyncio.Task[None]]:
    """Serve on a free port of loopback: the URL, and the task that ends once `stop` is set."""
    listener = listen("127.0.0.1", 0)
    if isinstance(listener, Diagnostic):
        raise StoreError(listener.detail)
    return url_of(listener), asyncio.create_task(serve(app, listener, now=utc_now, stop=stop))


def _copy_of_example(project: Path, *, engine: str, receiver: str) -> Path:
    # Whoever ran the example where it stands has an engine's data there.
    shutil.copytree(example("cold-chain"), project, ignore=shutil.ignore_patterns(".reconciler", "__pycache__"))
    file = project / "reconciler.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(_ENGINE_ADDRESS, engine).replace(_RECEIVER_ADDRESS, receiver), encoding="utf-8")
    return project


class _Receiver:
    """Takes what the engine delivers; the first request of a freezer comes while it is restarting."""

    def __init__(self) -> None:
        self._restarting = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the request, answer with a status."""
        while (await receive()).get("more_body"):
            pass
        status = 204
        if self._restarting and scope["path"].startswith("/freezers/"):
            self._restarting, status = False, 503
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@dataclass(slots=True)
class _Scene:
    """What is on stage, and the acts."""

    terminal: Terminal
    engine: Engine
    project: Path
    engine_url: str
    receiver_url: str
    token: str
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def set_out(self) -> None:
        """Say what there is."""
        self._heading("An engine, a receiver and a project")
        self._show(
            columns(
                [
                    ("engine", f"{self.engine_url}, on the embedded store in a temporary folder"),
                    ("", "retries after 1, 2 and 4 seconds here, where the operator waits as many minutes"),
                    ("receiver", f"{self.receiver_url}, which will fail once"),
                    ("project", "a copy of examples/cold-chain: three device types, five callbacks"),
                ]
            )
        )

    async def apply_the_project(self) -> None:
        """Files → revision 1."""
        self._heading("The files become revision 1 of the engine")
        await self._reconciler("validate")
        await self._reconciler("apply", "-e", "dev", "--yes", "--note", "first revision")

    async def send_uplinks(self) -> None:
        """Messages → deliveries, with a bad message, a short payload and a failing receiver."""
        self._heading("Devices send; the engine keeps, decodes and delivers")
        ids = await self._send(_UPLINKS)
        await self._until_settled()
        for message_id in ids:
            await self._tell_of(message_id)
        self._show(["", "The whole story of the message that was too short:"])
        await self._reconciler("explain", ids[2], "--engine", self.engine_url)

    async def change_a_definition(self) -> None:
        """A change in a file → a plan → revision 2 → the next delivery."""
        self._heading(f"Somebody edits {_CHANGED_FILE}: telemetry shall carry the humidity")
        file = self.project / _CHANGED_FILE
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(_BEFORE, _AFTER), encoding="utf-8")
        await self._reconciler("plan", "-e", "dev", "--check", expect=ExitCode.PENDING)
        await self._reconciler("apply", "-e", "dev", "--yes", "--note", "humidity", "--format", "json")
        self._heading("The next uplink is handled under revision 2")
        for message_id in await self._send(_LATER):
            await self._until_settled()
            await self._tell_of(message_id)

    async def look_back(self) -> None:
        """History and an empty plan."""
        self._heading("Looking back")
        await self._reconciler("history", "-e", "dev")
        await self._reconciler("plan", "-e", "dev", "--check")

    async def follow_retries(self) -> None:
        """Tell of each attempt that failed, and of those that followed."""
        async for event in self.engine.events.subscribe():
            self.settled.set()
            if isinstance(event, Settlement) and (event.attempt.number > 1 or event.step.kind != "done"):
                self._show([f"  {_attempt(settlement_json(event))}"])

    async def _reconciler(self, *arguments: str, expect: ExitCode = ExitCode.FINE) -> None:
        """Show a command, run it as a user would, and insist on its exit code."""
        prompt = self.terminal.paint.strong(f"$ reconciler {shlex.join(arguments)}")
        self._show(["", prompt.replace(self.engine_url, "ENGINE")])
        environment = {**wiring.environment(), _TOKEN_VARIABLE: self.token}
        # -P: the project's folder must not shadow a module.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "reconciler", *arguments, cwd=self.project, env=environment
        )
        code = await process.wait()
        if code != expect:
            self.terminal.fail(f"The command above ended with {code}, not with {expect}.", ExitCode.FAILED)

    async def _send(self, uplinks: Sequence[Mapping[str, object]]) -> list[str]:
        """Post uplinks as of now, tell what the engine answered; the ids of those that it took."""
        now = int(utc_now().timestamp())
        messages = [{**uplink, "time": now + second} for second, uplink in enumerate(uplinks)]
        self._show(["", f"POST {self.engine_url}/v1/messages"])
        self._show([f"  {json.dumps(message)}" for message in messages])
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {self.token}"}, trust_env=False) as client:
            answer = (await client.post(f"{self.engine_url}/v1/messages", json=messages)).raise_for_status().json()
        self._show([f"answer: {answer['accepted']} accepted, on disk; {len(answer['refused'])} refused"])
        self._show([f"  message {refusal['index'] + 1}: {refusal['reason']}" for refusal in answer["refused"]])
        return [message_id for message_id in answer["ids"] if message_id is not None]

    async def _until_settled(self) -> None:
        """Wait until nothing is pending; what settles meanwhile sets `settled` again."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            self.settled.clear()
            while (await self.engine.store.counts())[State.PENDING]:
                await self.settled.wait()
                self.settled.clear()

    async def _tell_of(self, message_id: str) -> None:
        """What a message was decoded to, and the requests that the receiver got."""
        explained = await self.engine.explain(message_id)
        assert explained is not None, "it was acknowledged"
        story: Any = explained_json(explained)
        decoded: Mapping[str, object] = next((each["decoded"] for each in story["callbacks"] if each["decoded"]), {})
        fields = " ".join(f"{name}={json.dumps(value)}" for name, value in decoded.items())
        message = story["message"]
        self._show(["", f"{self.terminal.paint.strong(message['deviceType'])} {message['device']}: {fields}"])
        for callback in story["callbacks"]:
            for delivery in callback["deliveries"]:
                self._show(indent(_delivery(delivery, self.receiver_url), by=2))

    def _heading(self, text: str) -> None:
        self._show(["", self.terminal.paint.strong(f"── {text} {'─' * max(80 - len(text), 4)}")])

    def _show(self, lines: Sequence[str]) -> None:
        if lines:
            self.terminal.result("\n".join(lines))


def _delivery(delivery: Mapping[str, Any], receiver_url: str) -> Iterator[str]:
    request = delivery["request"]
    path = request["url"].removeprefix(receiver_url)
    tries = "" if delivery["attempts"] == 1 else f" at attempt {delivery['attempts']}"
    yield f"{delivery['state']}{tries}, revision {delivery['revision']}: {request['method']} {path}"
    if request["body"] is not None:
        yield f"    {' '.join(request['body'].split())}"


def _attempt(told: Mapping[str, Any]) -> str:
    (attempt,) = told["log"]
    follows = f"next try at {told['dueAt']}" if told["dueAt"] else told["state"]
    outcome = f"{attempt['outcome']} {attempt['status'] or attempt['reason']}"
    return f"{told['callback']}, attempt {attempt['number']}: {outcome}; {follows}"
