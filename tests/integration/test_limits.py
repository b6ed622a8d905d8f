"""Limits of an environment, and of its project where the environment sets none."""

from pathlib import Path

import pytest

from reconciler.cli.project import limits_of
from reconciler.config.load import load
from reconciler.model.plan import Limits, parse_limit

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: cold-chain
sources: [device-types/*.yaml]
limits: {general}
environments:
  prod:
    target: {{engine: "http://127.0.0.1:8460", token: {{env: TOKEN}}}}
    limits: {own}
"""
TRACKER = "apiVersion: reconciler/v1\nkind: DeviceType\nname: tracker\n"


@pytest.mark.parametrize(
    ("general", "own", "expected"),
    [
        ("{}", "{}", Limits()),
        ("{deletes: 30%}", "{}", Limits(deletes=parse_limit("30%"))),
        ("{deletes: 30%}", "{deletes: 0}", Limits(deletes=parse_limit(0))),
        ("{deletes: 0, creates: 5}", "{updates: 12.5%}", Limits(parse_limit(5), parse_limit("12.5%"), parse_limit(0))),
    ],
)
def test_an_environment_overrules_its_project_limit_by_limit(
    tmp_path: Path, general: str, own: str, expected: Limits
) -> None:
    (tmp_path / "device-types").mkdir()
    (tmp_path / "device-types/tracker.yaml").write_text(TRACKER)
    (tmp_path / "reconciler.yaml").write_text(PROJECT.format(general=general, own=own))
    loaded = load(tmp_path, environ={"TOKEN": "x"}, environment="prod")

    assert loaded.diagnostics == ()
    assert limits_of(loaded) == expected
