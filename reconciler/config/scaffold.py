"""What a new project begins with: files that validate, plan and deliver as they are.

1. Everything in it works on one machine: the engine and the receiver of the first callback are on the loopback.
2. The schemas come along, so that an editor helps without a network; the first line of each file names its own.
3. The names of files are fixed; only the project's name is the user's.
"""

import re
from collections.abc import Mapping
from typing import Final

from reconciler.config.project import PROJECT_FILE
from reconciler.config.published import FILE_NAMES, published
from reconciler.model.definition import NAME_PATTERN

__all__ = ["project_name", "scaffold"]

_SCHEMAS: Final = ".reconciler/schemas"

_PROJECT: Final = f"""\
# yaml-language-server: $schema={_SCHEMAS}/{FILE_NAMES["Project"]}
apiVersion: reconciler/v1
kind: Project
name: PROJECT-NAME
sources: [device-types/**/*.yaml]

# A plan that changes more than this share of what the target holds is refused.
limits: {{deletes: 30%, updates: 50%, total: 60%}}

environments:
  dev:
    target: {{engine: "http://127.0.0.1:8460", token: {{env: RECONCILER_TOKEN}}}}
    variables: {{host: "127.0.0.1:9000"}}
"""

_TRACKER: Final = f"""\
# yaml-language-server: $schema=../{_SCHEMAS}/{FILE_NAMES["DeviceType"]}
apiVersion: reconciler/v1
kind: DeviceType
name: tracker
description: A tracker that reports temperature and humidity
payload: "temperature::int:16:little-endian humidity::uint:8"

callbacks:
  telemetry:
    type: data/uplink
    channel: url
    method: POST
    url: "http://${{var.host}}/uplink/{{device}}"
    contentType: application/json
    body: >-
      {{"device": "{{device}}", "time": {{time}}, "seq": {{seqNumber}},
      "temperature": {{customData#temperature}}, "humidity": {{customData#humidity}}}}
    tests:
      - given: {{device: "1C178", time: 1700000000, seqNumber: 7, data: "e80332"}}
        expect:
          method: POST
          url: "http://${{var.host}}/uplink/1C178"
          json: {{device: "1C178", time: 1700000000, seq: 7, temperature: 1000, humidity: 50}}
"""

_WORKFLOW: Final = """\
name: callbacks

on:
  pull_request:
  push:
    branches: [main]

jobs:
  validate:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install reconciler
      - run: reconciler validate --format github
      - run: reconciler test

  # Set the repository variable RECONCILER_PLAN to the name of an environment whose engine can be reached from here.
  plan:
    needs: validate
    if: ${{ vars.RECONCILER_PLAN != '' }}
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install reconciler
      - run: reconciler plan -e "${{ vars.RECONCILER_PLAN }}"
        env:
          RECONCILER_TOKEN: ${{ secrets.RECONCILER_TOKEN }}
"""

_IGNORED: Final = """\
# What the last apply of each environment did: for `apply --resume` on this machine, of no use on another.
/journal/
"""


def project_name(folder: str) -> str:
    """A name for the project in a folder of this name: what cannot stand in a name becomes a hyphen."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder).strip("-_.")[:64]
    return name if re.fullmatch(NAME_PATTERN, name) else "project"


def scaffold(name: str) -> Mapping[str, str]:
    """The files of a new project, path relative to its folder → text.

    Raises:
        ValueError: `name` cannot be the name of a project; `project_name` makes one that can.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(f"not the name of a project: {name!r}")
    schemas = published()
    return {
        PROJECT_FILE: _PROJECT.replace("PROJECT-NAME", name),
        "device-types/tracker.yaml": _TRACKER,
        ".github/workflows/callbacks.yml": _WORKFLOW,
        ".reconciler/.gitignore": _IGNORED,
        **{f"{_SCHEMAS}/{file}": schemas[file] for file in FILE_NAMES.values()},
    }
