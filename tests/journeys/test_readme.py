"""What the READMEs say is what happens: their blocks run, their tables are complete, their links lead somewhere."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli.exit_code import ExitCode
from reconciler.model.content import CHANNEL_FIELDS
from reconciler.model.resource import CallbackType, DownlinkMode
from tests.benchmarks.__main__ import benchmarks
from tests.journeys.processes import PATIENCE, environment, run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLES = ROOT / "examples"
COLD_CHAIN = EXAMPLES / "cold-chain"
TESTS = "python3 -m venv .venv && .venv/bin/pip install --quiet --editable '.[test]' && .venv/bin/python -m tests"
PORTS = {"engine": "8460", "receiver": "9000", "mailbox": "1025"}
DEMO = "python3 -m venv .venv && .venv/bin/pip install --quiet . && .venv/bin/reconciler demo"


def blocks(text: str, mark: str) -> str:
    """All bash blocks with a mark, as one script."""
    return "\n".join(re.findall(rf"^```bash {mark}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def script(text: str, *, until_delivered: bool = False) -> str:
    """The blocks as a script on free ports, which stops at the first failure and leaves nothing running.

    A person waits until the engine says that it serves; the script waits until something listens. A person looks until
    everything has arrived; the script asks, if it is to, until nothing is pending.
    """
    ports = {name: str(free_port()) for name in PORTS}
    move = "; ".join(f"s/{PORTS[name]}/{port}/" for name, port in ports.items())
    lines = ["set -eu", "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT", f"sed -i '{move}' *.yaml || true"]
    for name, port in ports.items():
        text = text.replace(PORTS[name], port)
    for line in text.splitlines():
        serves = line.startswith("reconciler engine serve")
        lines.append(
            line.replace("engine serve", f"engine serve --listen 127.0.0.1:{ports['engine']}") if serves else line
        )
        if line.startswith("cd "):
            lines.append(f"sed -i '{move}' reconciler.yaml")
        if line.endswith(" &"):
            port = ports["engine"] if serves else next(port for port in ports.values() if port in line)
            lines.append(f"until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.05; done")
    if until_delivered:
        pending = f"http://127.0.0.1:{ports['engine']}/v1/deliveries?state=pending"
        ask = f"curl --silent --header \"Authorization: Bearer $RECONCILER_TOKEN\" '{pending}'"
        lines.append(f"until {ask} | grep --quiet '\"deliveries\":\\[\\]'; do sleep 0.05; done")
    return "\n".join(lines)


def execute(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in bash, with the `reconciler` of this environment."""
    ended = subprocess.run(
        ["bash", "-c", text],
        cwd=folder,
        env=environment({"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


def test_the_tour_works_as_written(tmp_path: Path) -> None:
    said = execute(script(blocks(README, "tour")), tmp_path)
    for expected in (
        "No problems in 2 files.",
        "temperature  1000",
        "POST http://127.0.0.1:",
        "2 to create, 0 to update, 0 to delete.",
        "Revision 1 is published",
        '{"accepted":1,',
        "unreachable: connection-refused",
        "message 6553f100747d1e69a4e9e0b883000000",
        "Handled under revision 1.",
        "next try at ",
    ):
        assert expected in said.stdout, said.stdout + said.stderr
    assert (tmp_path / "cold-chain/.reconciler/data/.gitignore").exists()


def run_readme(name: str, folder: Path) -> str:
    """What is said when everything is typed that an example's README has; what it promises to be printed is."""
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns(".reconciler"))
    project = folder / "examples" / name
    text = (project / "README.md").read_text()
    said = execute(script(blocks(text, "run"), until_delivered=True), project).stdout
    promised = re.findall(r"^    (.+)$", text, re.MULTILINE)
    assert promised
    for line in promised:
        assert line in said, said
    return said


def test_the_first_example_works_as_its_readme_says(tmp_path: Path) -> None:
    said = run_readme("cold-chain", tmp_path)
    assert "upper       -185" in said
    assert "POST https://ingest.example.com/uplink/1C178" in said
    assert "door-sensor/events" in said
    assert "Nothing to change: dev" in said


# `deploy` is no project: `tests/integration/test_deploy_examples.py` is about it.
@pytest.mark.parametrize(
    "name", sorted({page.parent.name for page in EXAMPLES.glob("*/README.md")} - {"cold-chain", "deploy"})
)
def test_an_example_works_as_its_readme_says(name: str, tmp_path: Path) -> None:
    said = run_readme(name, tmp_path)
    assert "Revision 1 is published" in said
    messages = EXAMPLES / name / "messages.ndjson"
    if messages.exists():
        assert "No problems in " in said
        assert f'{{"accepted":{len(messages.read_text().splitlines())},"repeated":0,' in said


def test_every_example_has_a_readme_and_validates() -> None:
    projects = [file.parent for file in EXAMPLES.rglob("reconciler.yaml")]
    assert projects
    for project in projects:
        assert (project / "README.md").exists()
        assert run("validate", "-C", project).out.startswith("No problems")


# The demo and the tests are one command each


def test_the_demo_shows_both_journeys_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = run("demo", cwd=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert ended.code == 0, ended
    assert ended.err == ""
    for expected in (
        "8 to create, 0 to update, 0 to delete.",
        "answer: 4 accepted, on disk; 1 refused",
        "message 5: “data” takes an even number of hex digits",
        "freezer-probe/readings, attempt 1: refused 503; next try at ",
        "freezer-probe/readings, attempt 2: accepted 204; delivered",
        "temperature=43 humidity=61 moving=true battery=92",
        "warning: The field openings does not fit the payload of 1 byte",
        "0 to create, 1 to update, 0 to delete.",
        "delivered, revision 2: POST /uplink/1C178",
        '"humidity": 62}',
        "Nothing to change: dev (",
    ):
        assert expected in ended.out, ended.out
    assert list(tmp_path.iterdir()) == []


def test_one_command_each_for_the_demo_and_for_all_tests() -> None:
    assert f"```bash\n{DEMO}\n```" in README
    assert f"```bash\n{TESTS}\n```" in README
    ci = (ROOT / ".ci/run").read_text()
    assert ci.rstrip().splitlines()[-1] == TESTS, "CI runs what a developer runs"
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "- run: .ci/run\n" in (ROOT / ".github/workflows/ci.yml").read_text()


# Tables and links


def test_the_command_table_names_every_command() -> None:
    listed = re.findall(r"^  ([a-z]+)  ", run("--help").out, re.MULTILINE)
    table = {command.split()[0] for command in re.findall(r"^\| `([a-z][^`]*)` \|", README, re.MULTILINE)}
    assert set(listed) <= table
    for name in ("serve", "token"):
        assert f"`engine {name}" in README


def test_the_door_table_names_every_door() -> None:
    doors = set()
    for module in (ROOT / "reconciler/runtime/api").rglob("*.py"):
        for method, path in re.findall(r'Door\("([A-Z]+)", ("[^"]+"|INGEST_PATH),', module.read_text()):
            doors.add(f"{method} {'/v1/messages' if path == 'INGEST_PATH' else path[1:-1]}")
    assert len(doors) > 10
    listed = re.findall(r"^\| `([A-Z]+(?:, [A-Z]+)*) (/[^`]+)` \|", README, re.MULTILINE)
    assert {f"{method} {path}" for methods, path in listed for method in methods.split(", ")} == doors


def test_the_table_of_exit_codes_is_complete() -> None:
    assert [int(code) for code in re.findall(r"^\| ([0-9]+) \|", README, re.MULTILINE)] == sorted(ExitCode)


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        ".github/CONTRIBUTING.md",
        *sorted(str(page.relative_to(ROOT)) for page in EXAMPLES.glob("*/README.md")),
    ],
)
def test_links_lead_somewhere(file: str) -> None:
    path = ROOT / file
    for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / link).exists(), link


def test_the_map_names_every_package() -> None:
    packages = {each.name for each in (ROOT / "reconciler").iterdir() if each.is_dir() and each.name != "__pycache__"}
    assert packages <= set(re.findall(r"\[`reconciler/([a-z]+)/`\]", README))


def test_every_example_is_listed() -> None:
    for project in EXAMPLES.glob("*/reconciler.yaml"):
        assert f"| [{project.parent.name}](examples/{project.parent.name}/README.md) |" in README


def test_the_table_of_what_fires_names_every_type_of_callback_and_every_channel() -> None:
    first_cells = set(re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE))
    assert first_cells >= {*CallbackType, *CHANNEL_FIELDS, *DownlinkMode} - {"none", "managed"}


def test_every_benchmark_is_listed() -> None:
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", README, re.MULTILINE))
    assert listed >= set(benchmarks(None))
    for script_file in (ROOT / "tests/benchmarks").glob("[!_]*.py"):
        assert script_file.stem in README
