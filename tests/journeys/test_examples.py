"""Every example is what it says: its files, applied to an engine, lead to what its `received.md` shows.

Each is run twice. In virtual time (`rehearsal`) a day of silence costs a moment, and the whole page is compared. As
processes (`engine serve` and the command line, with receivers and a mail server on loopback) what arrives within the
first seconds is. What the READMEs tell a person to type, `validate` first, is run by `test_readme`.
"""

import json
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.journeys.arrivals import arrivals_within, as_page, downlink_text, mail_text, request_text
from tests.journeys.processes import PATIENCE, Engine, Receiver, engine_process, receiving, run
from tests.journeys.rehearsal import lines_of, rehearse
from tests.mail_sink import MailSink
from tests.virtual_time import EPOCH
from tests.virtual_time import run as run_in_virtual_time

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(file.parent.name for file in EXAMPLES.glob("*/messages.ndjson"))
# Windows of batches close a second after they open; what comes later is for virtual time.
SOON = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Example:
    """A folder of `examples/`, and what its README says about running it."""

    folder: Path

    @property
    def secrets(self) -> Mapping[str, str]:
        """By their names in definitions, as the README exports them."""
        return dict(re.findall(r"\bRECONCILER_SECRET_(\w+)=(\S+)", self._readme))

    @property
    def serve_options(self) -> list[str]:
        """What the README has `engine serve` started with."""
        (options,) = re.findall(r"^reconciler engine serve (.+) &$", self._readme, re.MULTILINE)
        return shlex.split(options)

    @property
    def sender(self) -> str:
        """Whose mail it is; nobody's in an example without mail."""
        options = self.serve_options
        return options[options.index("--mail-from") + 1] if "--mail-from" in options else ""

    @property
    def promised(self) -> str:
        return (self.folder / "received.md").read_text()

    @property
    def _readme(self) -> str:
        return (self.folder / "README.md").read_text()


def test_there_is_an_example_for_each_channel_and_each_family_of_types() -> None:
    assert {"url", "batch", "email", "downlink", "service", "data-advanced", "keep-alive"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_arrives_is_what_the_page_shows(name: str, request: pytest.FixtureRequest) -> None:
    """Every moment of it, in virtual time."""
    example = Example(EXAMPLES / name)
    page = as_page(run_in_virtual_time(rehearse(example.folder, secrets=example.secrets, sender=example.sender)))
    if request.config.getoption("--update-cases"):
        (example.folder / "received.md").write_text(page)
    assert page == example.promised


@pytest.mark.parametrize("name", NAMES)
def test_real_processes_deliver_what_the_page_shows(name: str, tmp_path: Path) -> None:
    """Plan, apply, send: what arrives soon is exact, nothing else does, and nothing is left to plan."""
    example = Example(EXAMPLES / name)
    promised = arrivals_within(example.promised, SOON)
    with _far_ends(example) as (receiver, mailbox), _engine(example, mailbox, tmp_path / "data") as engine:
        project = _copy(example, tmp_path / name, engine=engine, receiver=receiver)
        _apply(project, engine)

        began = int(time.time())
        _send(engine, example.folder / "messages.ndjson")
        handed = _be_the_network_side(engine, lines_of(example.folder / "results.ndjson"))
        requests = [receiver.requests.get(timeout=PATIENCE) for _ in _of_kind("http", promised)]
        mailbox.wait(lambda sink: len(sink.mails) >= len(_of_kind("mail", promised)))
        _wait_until_all_is_delivered(engine)
        ended = int(time.time())

        assert receiver.requests.empty()
        arrived = [
            *(("http", request_text(each.method, each.target, each.headers.items(), each.body)) for each in requests),
            *(("mail", mail_text(each.sender, each.recipients, each.content)) for each in mailbox.mails),
            *(("json", downlink_text(each)) for each in handed),
        ]
        now = range(began, ended + 1)
        assert sorted((kind, _in_virtual_time(text, now)) for kind, text in arrived) == promised
        assert run("plan", "-e", "dev", "--check", cwd=project, env=engine.env).code == 0


@contextmanager
def _far_ends(example: Example) -> Iterator[tuple[Receiver, MailSink]]:
    answers = example.folder / "answers.json"
    with receiving() as receiver, MailSink() as mailbox:
        if answers.exists():
            receiver.bodies |= {
                path: json.dumps(body).encode() for path, body in json.loads(answers.read_text()).items()
            }
        yield receiver, mailbox


@contextmanager
def _engine(example: Example, mailbox: MailSink, data: Path) -> Iterator[Engine]:
    """The engine that the README starts, but that its mail goes to our server."""
    options = [re.sub(r"^smtp://.*", mailbox.url, option) for option in example.serve_options]
    secrets = {f"RECONCILER_SECRET_{name}": value for name, value in example.secrets.items()}
    with engine_process(data, *options, env=secrets) as engine:
        yield engine


def _copy(example: Example, project: Path, *, engine: Engine, receiver: Receiver) -> Path:
    shutil.copytree(example.folder, project, ignore=shutil.ignore_patterns(".reconciler"))
    file = project / "reconciler.yaml"
    ours = (engine.url.removeprefix("http://"), receiver.url.removeprefix("http://"))
    file.write_text(file.read_text().replace("127.0.0.1:8460", ours[0]).replace("127.0.0.1:9000", ours[1]))
    return project


def _apply(project: Path, engine: Engine) -> None:
    planned = run("plan", "-e", "dev", "--check", cwd=project, env=engine.env)
    assert planned.code == 3, planned
    assert " to create, 0 to update, 0 to delete." in planned.out
    applied = run("apply", "-e", "dev", "--yes", cwd=project, env=engine.env)
    assert applied.code == 0, applied


def _send(engine: Engine, messages: Path) -> None:
    answer = engine.ask("POST", "/v1/messages", content=messages.read_bytes())
    assert answer["accepted"] == len(lines_of(messages))
    assert (answer["repeated"], answer["refused"], answer["warnings"]) == (0, [], [])


def _be_the_network_side(engine: Engine, results: list[dict[str, object]]) -> list[dict[str, object]]:
    """Fetch downlinks, and report what became of each, until all results are told; what was handed over."""
    awaited = {result["device"]: result for result in results}
    handed: list[dict[str, object]] = []
    while awaited:
        downlinks = engine.ask("GET", "/v1/downlinks", params={"wait": "20s"})["downlinks"]
        assert downlinks, f"nothing to transmit to {awaited}"
        handed += downlinks
        engine.post(*(awaited.pop(downlink["device"]) for downlink in downlinks))
    return handed


def _wait_until_all_is_delivered(engine: Engine) -> None:
    deadline = time.monotonic() + PATIENCE
    while engine.ask("GET", "/v1/deliveries", params={"state": "pending"})["deliveries"]:
        assert time.monotonic() < deadline, "something is still pending"
    assert engine.ask("GET", "/v1/deliveries", params={"state": "undelivered"})["deliveries"] == []


def _of_kind(kind: str, promised: list[tuple[str, str]]) -> list[str]:
    return [text for each, text in promised if each == kind]


def _in_virtual_time(text: str, now: range) -> str:
    """What the engine's clock said becomes what it says at the beginning of virtual time."""
    epoch = str(int(EPOCH.timestamp()))
    return re.sub(r"\b[0-9]{10}\b", lambda seconds: epoch if int(seconds[0]) in now else seconds[0], text)
