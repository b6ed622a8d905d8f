"""The files of `examples/deploy` parse, and use what `engine serve` has."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from reconciler.cli.main import app

FOLDER = Path(__file__).parents[2] / "examples" / "deploy"
UNIT = FOLDER / "reconciler.service"
IMAGE = (FOLDER / "Dockerfile").read_text()
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "kubernetes.yml").read_text()))


def serve_options() -> Iterator[tuple[str, str | None]]:
    """Each option of `engine serve`, and the variable that stands for it."""
    group: Any = typer.main.get_command(app)
    for parameter in group.commands["engine"].commands["serve"].params:
        for name in parameter.opts:
            yield name, parameter.envvar


OPTIONS = dict(serve_options())
# Read by `cli.secret_options`, one source a line.
VARIABLES = {*OPTIONS.values(), "RECONCILER_SECRETS"}


def container() -> dict[str, Any]:
    found: dict[str, Any] = MANIFESTS[0]["spec"]["template"]["spec"]["containers"][0]
    return found


def test_every_option_that_is_used_exists() -> None:
    used = {
        *re.findall(r"(?<=\s)--[a-z-]+", UNIT.read_text().partition("ExecReload")[0]),
        *(argument.partition("=")[0] for argument in container()["args"] if argument.startswith("--")),
    }

    assert len(used) > 5
    assert used <= set(OPTIONS)


def test_every_variable_that_is_used_exists() -> None:
    used = {*re.findall(r"RECONCILER_[A-Z_]+", IMAGE), *(each["name"] for each in container()["env"])}

    assert len(used) > 4
    assert used <= VARIABLES


def test_what_kubernetes_mounts_is_what_the_engine_reads() -> None:
    mounted = {each["name"]: each["mountPath"] for each in container()["volumeMounts"]}
    spec = MANIFESTS[0]["spec"]
    volumes = {each["name"] for each in spec["template"]["spec"]["volumes"]} | {
        each["metadata"]["name"] for each in spec["volumeClaimTemplates"]
    }
    read = " ".join([*container()["args"], *(each["value"] for each in container()["env"]), IMAGE])

    assert set(mounted) == volumes
    assert all(path in read for path in mounted.values())
    assert [each["kind"] for each in MANIFESTS] == ["StatefulSet", "Service"]
    assert MANIFESTS[1]["spec"]["selector"] == spec["selector"]["matchLabels"]
    assert spec["replicas"] == 1, "a store has one owner"


def test_the_image_does_not_run_as_root() -> None:
    last = [line for line in IMAGE.splitlines() if line.startswith("USER")][-1]

    assert last == "USER 65532:65532"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    # It wants the program to be there; everything else stays as it is.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/reconciler/bin/reconciler", "/bin/true"))
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=30, check=False
    )

    assert [line for line in ended.stderr.splitlines() if UNIT.name in line] == []
