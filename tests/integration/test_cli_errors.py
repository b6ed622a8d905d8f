"""Bad input at the command line: one clear message, the right exit code, never a traceback.

The tables run the command line in this process, which is quick; what streams and processes do has processes of its own.
"""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from reconciler.cli import main
from tests.journeys.processes import PATIENCE, Run, at_a_terminal, command_line, environment


class Reconciler(Protocol):
    """Runs the command line."""

    def __call__(
        self, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> Run: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reconciler:
    for name in ("RECONCILER_TOKEN", "RECONCILER_ENGINE"):
        monkeypatch.delenv(name, raising=False)

    def in_this_process(
        *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> Run:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", io.StringIO(stdin))
            if cwd is not None:
                patched.chdir(cwd)
            for name, value in (env or {}).items():
                patched.setenv(name, value)
            code = main.run(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in err, err
        return Run(code, out, err)

    return in_this_process


PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: cold-chain
sources: [device-types/*.yaml]
environments:
  dev:
    target: {engine: "http://127.0.0.1:9", token: {env: RECONCILER_TOKEN}}
"""
TRACKER = """\
apiVersion: reconciler/v1
kind: DeviceType
name: tracker
payload: "temperature::int:16"
callbacks:
  telemetry:
    type: data/uplink
    channel: url
    url: "http://127.0.0.1:9000/uplink/{device}"
    contentType: text/plain
    body: "{customData#temperature}"
"""
ALIASES = f"""\
a: &a [x, x, x, x, x, x, x, x]
b: &b [{", ".join(["*a"] * 50)}]
c: &c [{", ".join(["*b"] * 99)}]
"""
TOKEN = {"RECONCILER_TOKEN": "rk_" + "A" * 43}


def project(folder: Path, *, tracker: str = TRACKER, file: str = PROJECT) -> Path:
    (folder / "device-types").mkdir()
    (folder / "reconciler.yaml").write_text(file)
    (folder / "device-types/tracker.yaml").write_text(tracker)
    return folder


BROKEN = {
    "yaml-syntax": "kind: [unclosed\n",
    "yaml-tab": "kind: DeviceType\nname:\ttracker\n\tpayload: x\n",
    "yaml-duplicate-key": TRACKER + "name: again\n",
    "yaml-alias-bomb": ALIASES,
    "wrong-type": TRACKER.replace("name: tracker", "name: [tracker]"),
    "unknown-key": TRACKER.replace("name: tracker", "nmae: tracker"),
    "unknown-variable": TRACKER.replace("{device}", "{devcie}"),
    "empty-file": "",
    "yaml-control-character": "\x00\x01",
}


@pytest.mark.parametrize("code", BROKEN)
def test_a_broken_file_is_a_finding_at_its_line(run: Reconciler, tmp_path: Path, code: str) -> None:
    ended = run("validate", cwd=project(tmp_path, tracker=BROKEN[code]))
    assert ended.code == 1
    assert f"[{code}]" in ended.out
    assert "device-types/tracker.yaml" in ended.out
    assert ended.err == ""


def test_every_finding_is_reported_and_each_form_tells_the_same(run: Reconciler, tmp_path: Path) -> None:
    project(tmp_path, tracker=TRACKER.replace("{device}", "{devcie}").replace("int:16", "int:99"))
    text = run("validate", cwd=tmp_path)
    document = json.loads(run("validate", "--format", "json", cwd=tmp_path).out)
    sarif = json.loads(run("validate", "--format", "sarif", cwd=tmp_path).out)
    github = run("validate", "--format", "github", cwd=tmp_path)
    codes = [each["code"] for each in document["diagnostics"]]
    assert {"unknown-variable", "payload-bad-length"} <= set(codes)
    assert [result["ruleId"] for result in sarif["runs"][0]["results"]] == codes
    assert github.out.count("::error file=device-types/tracker.yaml,line=") == len(codes)
    assert all(f"[{code}]" in text.out for code in codes)
    assert text.out.splitlines()[-1] == f"{len(codes)} errors in 2 files."
    assert text.code == github.code == 1


def needs_an_engine(run: Reconciler, folder: Path, *, env: dict[str, str] | None = None) -> list[Run]:
    return [
        run(*command, cwd=folder, env=env)
        for command in (
            ("plan", "-e", "dev"),
            ("apply", "-e", "dev", "--yes"),
            ("history", "-e", "dev"),
            ("deliveries", "list", "-e", "dev"),
        )
    ]


def test_a_directory_without_a_project(run: Reconciler, tmp_path: Path) -> None:
    for ended in (run("validate", cwd=tmp_path), *needs_an_engine(run, tmp_path)):
        assert ended.code == 1
        assert "error[project-not-found]" in ended.out + ended.err
        assert "reconciler init" in ended.out + ended.err


def test_an_engine_that_is_not_there(run: Reconciler, tmp_path: Path) -> None:
    for ended in needs_an_engine(run, project(tmp_path), env=TOKEN):
        assert ended.code == 4
        assert "http://127.0.0.1:9" in ended.err
        assert "reconciler engine serve" in ended.err
        assert ended.out == ""


def test_a_token_that_is_not_set(run: Reconciler, tmp_path: Path) -> None:
    for ended in needs_an_engine(run, project(tmp_path)):
        assert ended.code == 1
        assert "error[environment-variable-not-set]" in ended.err
        assert "RECONCILER_TOKEN" in ended.err


def test_an_environment_that_does_not_exist(run: Reconciler, tmp_path: Path) -> None:
    project(tmp_path)
    for command in (("plan", "-e", "dvv"), ("history", "-e", "dvv"), ("validate", "-e", "dvv")):
        ended = run(*command, cwd=tmp_path, env=TOKEN)
        assert ended.code == 1
        assert "[unknown-environment]" in ended.out + ended.err
        assert "dev" in ended.out + ended.err


def test_the_operators_api_is_refused_by_name(run: Reconciler, tmp_path: Path) -> None:
    operator = 'target: {sigfox: "https://api.example.com/v2", login: {env: L}, password: {env: P}}'
    file = PROJECT.replace('target: {engine: "http://127.0.0.1:9", token: {env: RECONCILER_TOKEN}}', operator)
    ended = run("history", "-e", "dev", cwd=project(tmp_path, file=file))
    assert ended.code == 1
    assert "error[not-supported-yet]" in ended.err


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("nonsense",),
        ("plan",),
        ("plan", "-e"),
        ("plan", "-e", "dev", "--format", "yaml"),
        ("decode", "a::uint:8"),
        ("render", "tracker/telemetry"),
        ("engine",),
        ("engine", "token"),
        ("deliveries",),
        ("deliveries", "list", "--state", "lost", "--engine", "http://127.0.0.1:9"),
        ("deliveries", "list", "--limit", "0", "--engine", "http://127.0.0.1:9"),
        ("deliveries", "replay", "--engine", "http://127.0.0.1:9"),
        ("deliveries", "replay", "x", "--undelivered", "--engine", "http://127.0.0.1:9"),
        ("deliveries", "list"),
        ("deliveries", "list", "-e", "dev", "--engine", "http://127.0.0.1:9"),
        ("deliveries", "list", "--engine", "http://127.0.0.1:9"),
        ("explain", "0123456789abcdef0123456789abcdef"),
        ("explain", "unknown-variabel"),
        ("render", "tracker/telemetry", "--message", "missing.json"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_is_right(
    run: Reconciler, tmp_path: Path, command: tuple[str, ...]
) -> None:
    ended = run(*command, cwd=project(tmp_path))
    assert ended.code == 2
    assert len(ended.err + ended.out) > 20


def test_an_unknown_code_suggests_the_nearest(run: Reconciler, tmp_path: Path) -> None:
    assert "reconciler explain unknown-variable" in run("explain", "unknown-variabel", cwd=tmp_path).err


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "is not the address of an engine"),
        ("ftp://127.0.0.1", "is not the address of an engine"),
        ("http://name.invalid:8460", "is not known to this machine's name resolution"),
    ],
)
def test_an_address_that_is_none(run: Reconciler, url: str, says: str) -> None:
    ended = run("deliveries", "list", "--engine", url, env=TOKEN)
    assert ended.code == 4
    assert says in ended.err


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"device": "1C178", "time": 1, "data": "00f3"', "invalid-json"),
        ("{}", "missing-field"),
        ('{"device": "1C178", "time": 1, "data": "0f3"}', "wrong-field"),
        ('{"device": "1C178", "time": 1, "dta": "00f3"}', "unknown-field"),
        ('{"device": "1C178", "time": 1, "deviceType": "door"}', "message-of-other-device-type"),
        ('{"device": "1C178", "time": 1, "type": "status"}', "message-of-other-type"),
        ('{"device": "1C178", "time": 1, "type": "smoke-signal"}', "unknown-message-type"),
        ('{"device": "1C178", "time": 1, "batt": 3.0}', "field-of-other-type"),
    ],
)
def test_a_message_that_can_not_be_rendered(run: Reconciler, tmp_path: Path, message: str, code: str) -> None:
    ended = run("render", "tracker/telemetry", "--message", message, cwd=project(tmp_path))
    assert (ended.code, ended.out) == (1, "")
    assert f"error[{code}]" in ended.err


def test_render_takes_a_message_from_a_file_and_from_standard_input(run: Reconciler, tmp_path: Path) -> None:
    project(tmp_path)
    message = '{"device": "1c178", "time": 1, "data": "00f3"}'
    (tmp_path / "message.json").write_text(message)
    for argument, stdin in (("message.json", None), ("-", message), (message, None)):
        ended = run("render", "tracker/telemetry", "--message", argument, cwd=tmp_path, stdin=stdin or "")
        assert ended.code == 0, ended
        assert ended.out == "POST http://127.0.0.1:9000/uplink/1C178\nContent-Type: text/plain\n\n243\n"


def test_a_payload_that_is_too_short_renders_null_and_warns(run: Reconciler, tmp_path: Path) -> None:
    message = '{"device": "1c178", "time": 1, "data": "00"}'
    ended = run("render", "tracker/telemetry", "--message", message, cwd=project(tmp_path))
    assert ended.code == 0
    assert ended.out.endswith("\n\nnull\n")
    assert "warning: The field temperature does not fit" in ended.err


def test_a_callback_that_the_project_does_not_declare(run: Reconciler, tmp_path: Path) -> None:
    ended = run("render", "tracker/telemtry", "--message", "{}", cwd=project(tmp_path))
    assert ended.code == 1
    assert "Did you mean tracker/telemetry?" in ended.err


def test_render_works_while_something_else_is_broken(run: Reconciler, tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "device-types/broken.yaml").write_text("kind: [")
    message = '{"device": "1c178", "time": 1, "data": "00f3"}'
    assert run("render", "tracker/telemetry", "--message", message, cwd=tmp_path).code == 0


def test_decode_prints_one_object_from_name_to_value(run: Reconciler) -> None:
    ended = run("decode", "int1::uint:8 int2::uint:8", "1234", "--format", "json")
    assert (ended.code, json.loads(ended.out)) == (0, {"int1": 18, "int2": 52})


def test_decode_shows_null_for_what_does_not_fit(run: Reconciler) -> None:
    ended = run("decode", "a::uint:8 b::uint:16", "12", "--format", "json")
    assert (ended.code, json.loads(ended.out)) == (0, {"a": 18, "b": None})
    assert "warning[payload-too-short]" in ended.err


@pytest.mark.parametrize(
    ("config", "payload", "code"),
    [
        ("int1:uint:8", "1234", "payload-syntax"),
        ("a::uint:65", "00", "payload-bad-length"),
        ("a::uint:8", "1x", "payload-not-hex"),
        ("a::uint:8", "123", "payload-not-hex"),
        ("a::uint:8", "12 34", "payload-not-hex"),
    ],
)
def test_decode_refuses_with_a_diagnostic(run: Reconciler, config: str, payload: str, code: str) -> None:
    ended = run("decode", config, payload)
    assert (ended.code, ended.out) == (1, "")
    assert f"error[{code}]" in ended.err
    assert "^" in ended.err


# Streams


def test_a_reader_that_has_seen_enough_ends_the_command_in_silence() -> None:
    with subprocess.Popen(
        command_line("explain"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 141


@pytest.mark.parametrize("command", [("explain",), ("--help",), ("decode", "a::uint:8", "00")])
def test_a_full_disk_behind_stdout_is_one_sentence(run: Reconciler, command: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command_line(*command), env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 4
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert "No space left on device" in ended.stderr


def test_colour_is_for_terminals_alone(run: Reconciler) -> None:
    refused = ("decode", "a::uint:65", "00")
    assert "\x1b" not in run(*refused).err
    for no_color, coloured in (("", True), ("1", False)):
        with at_a_terminal(*refused, env={"NO_COLOR": no_color, "TERM": "xterm"}) as dialogue:
            assert ("\x1b[" in dialogue.rest()) is coloured
    with at_a_terminal(*refused, env={"NO_COLOR": "", "TERM": "dumb"}) as dialogue:
        assert "\x1b[" not in dialogue.rest()


def test_quiet_says_less_and_verbose_more(run: Reconciler, tmp_path: Path) -> None:
    project(tmp_path)
    decode = ("decode", "a::uint:16", "00", "--format", "json")
    assert "payload-too-short" in run(*decode).err
    assert run(*decode, "-q").err == ""
    message = '{"device": "1c178", "time": 1, "data": "00f3"}'
    assert run("render", "tracker/telemetry", "--message", message, "-v", cwd=tmp_path).err == "As dev holds it.\n"


def test_a_bug_shows_its_traceback_and_asks_for_a_report(run: Reconciler) -> None:
    program = (
        "import reconciler.cli.pages as pages, reconciler.cli.main as main, sys\n"
        "pages.codes = lambda: 1 / 0\n"
        "sys.exit(main.run(['explain']))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 70
    assert "ZeroDivisionError" in ended.stderr
    assert "This is a bug in reconciler" in ended.stderr
