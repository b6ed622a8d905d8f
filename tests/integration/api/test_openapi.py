"""The description of the doors, and the doors held to it: generated requests to a real engine on a socket.

`RECONCILER_TEST_CASES` sets how many requests each operation gets of each kind; the seed is fixed.
"""

import os
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from reconciler.runtime.api.application import application
from reconciler.runtime.api.openapi import OPERATIONS, description
from reconciler.runtime.api.openapi_schemas import SCHEMAS
from reconciler.runtime.api.tokens import Scope
from tests.integration.api.rig import CALLBACK, TOKENS, Rig, uplinks
from tests.journeys.processes import Engine, engine_process

CASES = int(os.environ.get("RECONCILER_TEST_CASES", "8"))
SEED = 20_261_123
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# It tells until somebody hangs up; `test_stream` reads it.
ENDLESS = "/v1/deliveries/stream"
ASKED = [
    (method, path, mode)
    for method, path in sorted(OPERATIONS)
    for mode in GenerationMode
    # Of a door that anybody may open, without a parameter, nothing can be wrong.
    if path != ENDLESS and not (path == "/healthz" and mode is GenerationMode.NEGATIVE)
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """With a revision, and messages whose deliveries nobody takes."""
    with engine_process(tmp_path_factory.mktemp("engine") / "data") as engine:
        changes = [
            {"kind": "create", "key": "tracker", "after": {}},
            {"kind": "create", "key": "tracker/telemetry", "after": {**CALLBACK, "url": "http://127.0.0.1:9/{device}"}},
        ]
        body = {"owner": "cold-chain", "by": "ci", "via": "apply", "changes": changes}
        engine.ask("POST", "/v1/revisions", headers={"If-Match": '"0"'}, json=body)
        engine.post(*uplinks(3))
        yield engine


@pytest.fixture(scope="module")
def schema(engine: Engine) -> Any:
    return schemathesis.openapi.from_dict(engine.ask("GET", "/openapi.json"))


def statuses_of(engine: Engine, operation: Any, mode: GenerationMode) -> list[int]:
    """What generated requests were answered with; fails when an answer is not as described."""
    headers = {"Authorization": f"Bearer {engine.token}"}
    statuses: list[int] = []

    @seed(SEED)
    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=[*HealthCheck],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if isinstance(case.query, dict):
            case.query.pop("wait", None)  # it would be waited for
        case.headers = {**(case.headers or {}), **headers}
        response = case.call(base_url=engine.url, timeout=30)
        case.validate_response(response, checks=CHECKS)
        statuses.append(response.status_code)

    ask()
    return statuses


@pytest.mark.parametrize(("method", "path", "mode"), ASKED)
def test_an_engine_answers_as_described_whatever_it_is_asked(
    engine: Engine, schema: Any, method: str, path: str, mode: GenerationMode
) -> None:
    assert statuses_of(engine, schema[path][method], mode)
    assert engine.process.poll() is None


@pytest.mark.parametrize(
    ("path", "mode", "status", "answer"),
    [
        ("/v1/deliveries/replay", GenerationMode.NEGATIVE, "422", None),
        ("/v1/revisions/{number}/definitions", GenerationMode.POSITIVE, "200", {"type": "array"}),
    ],
)
def test_an_answer_that_is_not_as_described_is_noticed(
    engine: Engine, path: str, mode: GenerationMode, status: str, answer: object
) -> None:
    told = engine.ask("GET", "/openapi.json")
    responses = told["paths"][path]["post"]["responses"]
    if answer is None:
        del responses[status]
    else:
        responses[status]["content"]["application/json"]["schema"] = answer
    parameters = told["paths"][path]["post"]["parameters"]
    for parameter in parameters:
        parameter["schema"] = {"const": 1}  # a revision that is there
    with pytest.raises((FailureGroup, Failure)):
        statuses_of(engine, schemathesis.openapi.from_dict(told)[path]["POST"], mode)


def test_it_is_still_well_afterwards(engine: Engine) -> None:
    assert engine.ask("GET", "/readyz")["status"] == "ready"
    assert not [line for line in engine.log if "api.bug" in line or "Traceback" in line]


async def test_every_door_is_described_and_nothing_else(rig: Rig) -> None:
    doors = application(rig.engine, TOKENS, stopping=rig.stopping).doors

    assert {(door.method, door.path) for door in doors} == set(OPERATIONS)
    shown = (await rig.client.get("/openapi.json")).json()
    assert {
        (method.upper(), path): told["x-scope"]
        for path, methods in shown["paths"].items()
        for method, told in methods.items()
    } == {(door.method, door.path): door.scope for door in doors}


def test_a_door_without_a_description_is_a_bug() -> None:
    with pytest.raises(KeyError):
        description([("GET", "/v1/nowhere", Scope.READ)])


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_each_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
