"""Who may open which door, and what is said to those who may not."""

import pytest

from reconciler.runtime.api.tokens import Scope
from tests.integration.api.rig import ALL, CLEAR, Rig

ID = "65" * 16
DOORS = [
    ("POST", "/v1/messages", Scope.INGEST),
    ("GET", "/v1/messages", Scope.READ),
    ("GET", f"/v1/messages/{ID}", Scope.READ),
    ("GET", "/v1/deliveries", Scope.READ),
    ("GET", "/v1/deliveries/stream", Scope.READ),
    ("GET", f"/v1/deliveries/{ID}.0", Scope.READ),
    ("POST", "/v1/deliveries/replay", Scope.APPLY),
    ("GET", "/v1/downlinks", Scope.INGEST),
    ("GET", "/v1/revisions", Scope.READ),
    ("POST", "/v1/revisions", Scope.APPLY),
    ("GET", "/v1/revisions/current", Scope.READ),
    ("GET", "/v1/revisions/applied?owner=cold-chain", Scope.READ),
    ("GET", "/v1/revisions/0", Scope.READ),
    ("POST", "/v1/revisions/0/definitions", Scope.READ),
    ("GET", "/readyz", Scope.READ),
    ("GET", "/metrics", Scope.READ),
]


@pytest.mark.parametrize(("method", "path", "scope"), DOORS)
async def test_no_door_opens_without_a_token(rig: Rig, method: str, path: str, scope: Scope) -> None:
    response = await rig.client.request(method, path, headers={"Authorization": ""})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["code"] == "unauthorized"


@pytest.mark.parametrize(("method", "path", "scope"), DOORS)
async def test_no_door_opens_to_an_unknown_token_and_none_repeats_it(
    rig: Rig, method: str, path: str, scope: Scope
) -> None:
    wrong = ALL[:-1] + "A"
    response = await rig.client.request(method, path, headers={"Authorization": f"Bearer {wrong}"})

    assert response.status_code == 401
    assert wrong not in response.text


@pytest.mark.parametrize(("method", "path", "scope"), DOORS)
async def test_a_door_opens_to_its_own_scope_alone_and_names_it(rig: Rig, method: str, path: str, scope: Scope) -> None:
    for other in set(Scope) - {scope}:
        response = await rig.client.request(method, path, headers=rig.as_(other))

        assert response.status_code == 403
        assert response.json()["scope"] == scope
        assert f'scope="{scope}"' in response.headers["www-authenticate"]
        assert CLEAR[other] not in response.text


@pytest.mark.parametrize(("method", "path", "scope"), [door for door in DOORS if not door[1].endswith("/stream")])
async def test_a_door_opens_to_a_token_of_its_scope(rig: Rig, method: str, path: str, scope: Scope) -> None:
    response = await rig.client.request(method, path, headers=rig.as_(scope))

    assert response.status_code not in (401, 403, 405)


async def test_only_liveness_needs_no_token(rig: Rig) -> None:
    response = await rig.client.get("/healthz", headers={"Authorization": ""})

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/messages/", "/v1/message", "/v2/device-types", "//v1/messages", "/%2e%2e"]
)
async def test_an_unknown_path_is_told_in_our_form(rig: Rig, path: str) -> None:
    response = await rig.client.get(path)

    assert response.status_code == 404
    assert response.json()["code"] == "unknown-path"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/messages", "GET, HEAD, POST"),
        ("DELETE", f"/v1/messages/{ID}", "GET, HEAD"),
        ("GET", "/v1/deliveries/replay", "POST"),
        ("POST", "/v1/deliveries/stream", "GET, HEAD"),
        ("PATCH", "/v1/revisions", "GET, HEAD, POST"),
        ("OPTIONS", "/healthz", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_those_that_are_right(rig: Rig, method: str, path: str, allowed: str) -> None:
    response = await rig.client.request(method, path)

    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    assert response.json()["code"] == "method-not-allowed"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/messages?dryRun=true"),
        ("GET", "/v1/messages?device=1C178&limti=3"),
        ("GET", f"/v1/messages/{ID}?x=1"),
        ("GET", "/v1/deliveries?sate=pending"),
        ("GET", "/v1/revisions?x=1"),
        ("GET", "/v1/revisions/current?x=1"),
        ("POST", "/v1/revisions?dryRun=true"),
        ("POST", "/v1/deliveries/replay?state=undelivered"),
    ],
)
async def test_a_misspelt_parameter_is_never_ignored(rig: Rig, method: str, path: str) -> None:
    response = await rig.client.request(method, path, json={})

    assert (response.status_code, response.json()["code"]) == (400, "unknown-parameter")
