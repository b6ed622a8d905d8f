"""Where secrets come from: files as Docker and Kubernetes mount them, one file with all, programs."""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.cli.secret_options import secret_sources
from reconciler.grammar.escape import Context
from reconciler.grammar.template import Secret
from reconciler.model.delivery import Accepted, HttpRequest, Outcome, Unreachable
from reconciler.model.resource import Method
from reconciler.runtime.channels.egress import EgressPolicy
from reconciler.runtime.channels.http import HttpChannel
from reconciler.runtime.secrets import Command, DirectoryOfSecrets, FileOfSecrets, SecretPending, Source, first_of
from reconciler.runtime.secrets.files import LONGEST, Unreadable, read_secrets
from tests.journeys.processes import receiving

VALUE = "s3cr3t-canary-value"
PATIENCE = timedelta(seconds=30)


@dataclass
class Clock:
    """Time that a test moves."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def program(text: str) -> list[str]:
    """A program in Python that gets the name of a secret."""
    return [sys.executable, "-c", text, "{name}"]


# A directory


def test_a_file_for_each_secret_without_its_last_line_break(tmp_path: Path) -> None:
    contents = {"PLAIN": "a", "UNIX": "a\n", "DOS": "a\r\n", "TWO": "a\n\n", "EMPTY": "", "INNER": "a\nb"}
    for name, text in contents.items():
        (tmp_path / name).write_bytes(text.encode())
    source = DirectoryOfSecrets(tmp_path)
    found = {name: source(name) for name in (*contents, "NONE")}
    assert found == {"PLAIN": "a", "UNIX": "a", "DOS": "a", "TWO": "a\n", "EMPTY": "", "INNER": "a\nb", "NONE": None}


def test_a_changed_file_is_read_again_within_a_second(tmp_path: Path) -> None:
    clock = Clock()
    source = DirectoryOfSecrets(tmp_path, clock=clock)
    assert source("KEY") is None
    (tmp_path / "KEY").write_text("first")
    assert source("KEY") == "first", "what is missing is looked for each time"
    (tmp_path / "KEY").write_text("second")
    assert source("KEY") == "first"
    clock.now += 1
    assert source("KEY") == "second"
    (tmp_path / "KEY").unlink()
    clock.now += 1
    assert source("KEY") is None


def test_links_are_followed_when_kubernetes_moves_them(tmp_path: Path) -> None:
    """`KEY -> ..data/KEY`, `..data -> ..TIMESTAMP`: a rotation replaces the second link in one step."""
    for stamp, text in (("..one", "old"), ("..two", "new")):
        (tmp_path / stamp).mkdir()
        (tmp_path / stamp / "KEY").write_text(text)
        os.utime(tmp_path / stamp / "KEY", ns=(1, 1))
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "KEY").symlink_to("..data/KEY")
    clock = Clock()
    source = DirectoryOfSecrets(tmp_path, clock=clock)
    assert source("KEY") == "old"
    (tmp_path / "..new").symlink_to("..two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    clock.now += 1
    assert source("KEY") == "new", "though size and time are the same"


def test_what_cannot_be_read_any_more_keeps_its_value_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    source = DirectoryOfSecrets(tmp_path, clock=clock)
    (tmp_path / "KEY").write_text(VALUE)
    assert source("KEY") == VALUE
    (tmp_path / "KEY").write_bytes(b"\xff" + VALUE.encode())
    clock.now += 1
    assert source("KEY") == VALUE
    assert [record.message for record in caplog.records] == ["secret.unreadable"]
    assert VALUE not in str(vars(caplog.records[0]))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.write_bytes(b"x" * (LONGEST + 1))])
def test_only_files_of_a_sensible_size_are_opened(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "KEY")
    assert DirectoryOfSecrets(tmp_path)("KEY") is None


# One file


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("", {}),
        ("# a comment\n\n  # another\nA=1\nB=\n", {"A": "1", "B": ""}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("\ufeffexport A=x y # no comment\n", {"A": "x y # no comment"}),
        ("A=\"quo'ted\"\nB='x'\nC='\nD=\"a\n", {"A": "quo'ted", "B": "x", "C": "'", "D": '"a'}),
        ("A=$HOME=${A}\n", {"A": "$HOME=${A}"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=x\u2028y", {"A": "x\u2028y"}),
    ],
)  # fmt: skip
def test_lines_of_names_and_values(text: str, secrets: dict[str, str]) -> None:
    assert read_secrets(text, as_json=False) == secrets


@pytest.mark.parametrize(
    ("text", "as_json", "line"),
    [
        (f"A=1\n{VALUE}\n", False, 2),
        (f"1A={VALUE}", False, 1),
        (f'{{"A": "{VALUE}"', True, 1),
        (f'{{"A": 5, "B": "{VALUE}"}}', True, 0),
        (f'["{VALUE}"]', True, 0),
        ("[" * 100_000, True, 0),
    ],
)
def test_what_is_wrong_is_said_without_repeating_anything(text: str, as_json: bool, line: int) -> None:
    with pytest.raises(Unreadable) as caught:
        read_secrets(text, as_json=as_json)
    assert caught.value.line == line
    assert VALUE not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_file_is_taken_over_as_a_whole(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"A": "1", "B": "2"}))
    source = FileOfSecrets(file, clock=clock)
    assert (source("A"), source("B"), source("C")) == ("1", "2", None)
    file.write_text(json.dumps({"A": "10"}))
    clock.now += 1
    assert (source("A"), source("B")) == ("10", None)
    file.write_text("{")
    clock.now += 1
    assert source("A") == "10"


# A program


def test_a_program_prints_the_value() -> None:
    source = Command(program("import sys; print('value of', sys.argv[1])"))
    assert source("INGEST_TOKEN") == "value of INGEST_TOKEN"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"import sys; print('{VALUE}'); sys.exit(3)", "exit code 3"),
        (f"import sys; print('{VALUE}', file=sys.stderr)", "nothing was printed"),
        ("import sys; sys.stdout.buffer.write(bytes([255]))", "not UTF-8 text"),
        ("print('x' * 100_000)", "more than 65536 bytes"),
        (f"import time; print('{VALUE}', flush=True); time.sleep(60)", "no answer within 0.5 s"),
    ],
)
def test_why_there_is_no_value_is_told_and_nothing_that_was_printed(
    text: str, reason: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert Command(program(text), timeout=0.5 if "sleep" in text else 30)("KEY") is None
    (record,) = caplog.records
    assert (record.message, vars(record)["secret"], vars(record)["reason"]) == ("secret.command-failed", "KEY", reason)
    assert VALUE not in str(vars(record))
    assert VALUE not in "".join(capfd.readouterr())


def test_a_program_that_is_not_there_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert Command(["/no/such/program", "{name}"])("KEY") is None
    assert vars(caplog.records[0])["reason"] == "No such file or directory"


def test_what_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """A child that keeps stdout open would hold the reader up after the program itself has ended."""
    pid = tmp_path / "pid"
    child = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    text = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    assert Command(program(text), timeout=2)("KEY") is None
    number = int(pid.read_text())
    deadline = time.monotonic() + 30
    while _lives(number):
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.01)


def _lives(number: int) -> bool:
    """Whether a process is more than an entry that nobody has asked about yet."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class Counting:
    """A program that says how often it ran, and may be told to fail."""

    folder: Path
    clock: Clock = field(default_factory=Clock)

    def source(self) -> Command:
        text = (
            "import os, pathlib, sys\n"
            f"folder = pathlib.Path({str(self.folder)!r})\n"
            "runs = len(list(folder.glob('run*')))\n"
            "(folder / f'run{runs}-{os.getpid()}').touch()\n"
            "sys.exit(1) if (folder / 'fail').exists() else print(runs)\n"
        )
        return Command(program(text), clock=self.clock, fresh_for=300)

    @property
    def runs(self) -> int:
        return len([*self.folder.glob("run*")])


def test_a_value_is_kept_for_five_minutes_and_while_reading_fails(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    source = counting.source()
    assert [source("KEY"), source("KEY")] == ["0", "0"]
    counting.clock.now += 299
    assert source("KEY") == "0"
    counting.clock.now += 1
    assert source("KEY") == "1"
    (tmp_path / "fail").touch()
    counting.clock.now += 300
    assert (source("KEY"), counting.runs) == ("1", 3)
    assert (source("KEY"), counting.runs) == ("1", 3), "a failure is believed for a while too"
    counting.clock.now += 10
    assert (source("KEY"), counting.runs) == ("1", 4)


def test_that_nothing_was_found_is_believed_for_ten_seconds(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    (tmp_path / "fail").touch()
    source = counting.source()
    assert (source("KEY"), source("KEY"), counting.runs) == (None, None, 1)
    (tmp_path / "fail").unlink()
    counting.clock.now += 10
    assert source("KEY") == "1"


async def test_an_event_loop_never_waits(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    source = counting.source()
    with pytest.raises(SecretPending) as pending:
        source("KEY")
    with pytest.raises(SecretPending) as again:
        source("KEY")
    assert again.value.read is pending.value.read, "one program for a name, whoever asks"
    await asyncio.wrap_future(pending.value.read)
    assert source("KEY") == "0"

    counting.clock.now += 300
    assert source("KEY") == "0", "the last value, while it is read again"
    assert await asyncio.to_thread(source, "KEY") == "1"
    assert (source("KEY"), counting.runs) == ("1", 2)


async def test_whoever_stops_waiting_ends_nothing(tmp_path: Path) -> None:
    source = Counting(tmp_path).source()
    with pytest.raises(SecretPending) as pending:
        source("KEY")
    waiting = asyncio.ensure_future(asyncio.wrap_future(pending.value.read))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await asyncio.to_thread(source, "KEY") == "0"


def test_values_that_are_due_are_read_together(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    source = counting.source()
    for name in ("A", "B", "C"):
        source(name)
    counting.clock.now += 300
    source("A")
    source("B")
    source("C")
    assert counting.runs == 6


# In the channel


async def sent(source: Source, url: str, *, timeout: timedelta = PATIENCE) -> Outcome:
    host, _, port = url.removeprefix("http://").partition(":")
    channel = HttpChannel(secrets=source, egress=EgressPolicy(allow_private=True), connections_per_endpoint=2)
    key = Secret("KEY", Context.HEADER)
    request = HttpRequest(
        Method.GET, "http", host, int(port), "/", (("X-Key", (key,)), ("X-Other", (Secret("OTHER", Context.HEADER),))),
        None, None, send_sni=False,
    )  # fmt: skip
    try:
        return await channel.send(request, timeout=timeout)
    finally:
        await channel.close()


async def test_a_request_waits_for_its_secrets() -> None:
    source = Command(program("import sys; print(sys.argv[1].lower())"))
    with receiving() as receiver:
        assert isinstance(await sent(source, receiver.url), Accepted)
        (arrived,) = receiver.take(1)
    assert (arrived.headers["X-Key"], arrived.headers["X-Other"]) == ("key", "other")


async def test_a_request_waits_no_longer_than_its_deadline() -> None:
    source = Command(program("import time; time.sleep(60)"), timeout=5)
    with receiving() as receiver:
        outcome = await sent(source, receiver.url, timeout=timedelta(seconds=0.2))
        assert receiver.requests.empty()
    assert outcome == Unreachable("deadline", "Time is up: the secret KEY was not read yet.")


async def test_a_request_whose_secret_nobody_has_is_not_sent() -> None:
    with receiving() as receiver:
        outcome = await sent(Command(program("")), receiver.url)
        assert receiver.requests.empty()
    assert isinstance(outcome, Unreachable)
    assert outcome.reason == "secret-missing"


# Several


def test_the_first_that_has_one_wins() -> None:
    one, two = {"A": "one", "B": ""}, {"A": "two", "B": "two", "C": "two"}
    source = first_of([one.get, two.get])
    assert [source(name) for name in "ABCD"] == ["one", "", "two", None]


@pytest.mark.parametrize("name", ["", "../A", "a/b", "-A", "1A", "A B", "A\n", "ä", "."])
def test_what_is_no_name_is_asked_of_nobody(name: str) -> None:
    assert first_of([lambda _: VALUE])(name) is None


# On the command line


def asked(
    *given: str, variables: dict[str, str] | None = None, directory: Path = Path()
) -> tuple[Source, list[tuple[str, str]]]:
    source, found = secret_sources(
        given, environment={"KEY": "of the environment"}.get, variable=(variables or {}).get, directory=directory
    )
    return source, [(each.code, each.detail) for each in found]


def test_without_sources_it_is_the_environment() -> None:
    for source, found in (asked(), asked("env"), asked(variables={"RECONCILER_SECRETS": "\n  env \n"})):
        assert (source("KEY"), found) == ("of the environment", [])


def test_sources_are_asked_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/ONE").write_text("of the directory\n")
    (tmp_path / "all.env").write_text("ONE=x\nTWO=of the file\n")
    command = f"command:{json.dumps(program('import sys; print(sys.argv[1])'))}"
    sources = ["dir:run", "file:all.env", "env", command]
    for source, found in (
        asked(*sources, directory=tmp_path),
        asked(variables={"RECONCILER_SECRETS": "\n".join(sources)}, directory=tmp_path),
    ):
        assert found == []
        values = [source(name) for name in ("ONE", "TWO", "KEY", "FOUR")]
        assert values == ["of the directory", "of the file", "of the environment", "FOUR"]


def test_options_win_over_the_variable() -> None:
    source, _ = asked("env", variables={"RECONCILER_SECRETS": 'command:["echo", "{name}"]'})
    assert source("OTHER") is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", None),
        ("vault", "secrets-bad-source"),
        (VALUE, "secrets-bad-source"),
        ("env:X", "secrets-bad-source"),
        ("dir:", "secrets-bad-source"),
        ("command:vault {name}", "secrets-bad-source"),
        ("command:[]", "secrets-bad-source"),
        ('command:["echo"]', "secrets-bad-source"),
        ('command:["{name}"]', "secrets-bad-source"),
        ('command:["echo", 5]', "secrets-bad-source"),
        ('command:["", "{name}"]', "secrets-bad-source"),
        ('command:["echo\\u0000", "{name}"]', "secrets-bad-source"),
        ('command:["no-such-program-anywhere", "{name}"]', "secrets-unreadable"),
        ("dir:none", "secrets-unreadable"),
        ("dir:file", "secrets-unreadable"),
        ("file:none", "secrets-unreadable"),
        ("file:folder", "secrets-unreadable"),
        ("file:large", "secrets-unreadable"),
        ("file:latin", "secrets-bad-file"),
        ("file:file", "secrets-bad-file"),
        ("file:bad.json", "secrets-bad-file"),
    ],
)
def test_what_cannot_work_is_told_without_repeating_anything(tmp_path: Path, text: str, code: str | None) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text(VALUE)
    (tmp_path / "bad.json").write_text(f'{{"A": "{VALUE}"')
    (tmp_path / "latin").write_bytes(b"A=\xff")
    (tmp_path / "large").write_bytes(b"#" * (LONGEST + 1))
    _, found = asked(text, directory=tmp_path)
    assert [each for each, _ in found] == ([] if code is None else [code])
    assert VALUE not in str(found)


def test_values_are_in_no_repr(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "KEY").write_text(VALUE)
    (tmp_path / "all.env").write_text(f"KEY={VALUE}")
    command = Command(program(f"print('{VALUE}'[:])"))
    shown = Command(program("import os; print(os.environ['CANARY'])"))
    sources: list[Source] = [DirectoryOfSecrets(tmp_path), FileOfSecrets(tmp_path / "all.env"), command]
    for source in sources:
        assert source("KEY") == VALUE
        assert VALUE not in repr(source)
    assert VALUE not in repr([vars(command)["_known"], vars(sources[0]), vars(sources[1])])
    assert shown("KEY") is None
    assert VALUE not in caplog.text
