"""An engine that holds revisions in memory and delivers nothing: the doors under `/v1/revisions`, and their errors.

It passes the same conformance suite as the real one, and lets the tests of targets look at both ends of the wire.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reconciler.codec.canonical import define, revision_digest
from reconciler.model.resource import Key
from reconciler.model.revision import EMPTY, Amendment, Publication, Revision, next_revision

__all__ = ["TOKEN", "FakeEngine"]

TOKEN = "a-token-of-the-fake"

Door = Callable[[Request], Awaitable[Response]]


class FakeEngine:
    """Every publication is kept; the current revision is the last."""

    def __init__(self, *, scopes: Mapping[str, frozenset[str]] | None = None) -> None:
        self.revisions: list[Revision] = [EMPTY]
        self.requests: list[str] = []
        self._scopes = scopes or {TOKEN: frozenset({"read", "apply"})}
        self.app = Starlette(
            routes=[
                self._door("GET", "/v1/revisions", "read", self._history),
                self._door("POST", "/v1/revisions", "apply", self._publish),
                self._door("GET", "/v1/revisions/{number}", "read", self._revision),
                self._door("POST", "/v1/revisions/{number:int}/definitions", "read", self._definitions),
            ]
        )

    @property
    def current(self) -> Revision:
        return self.revisions[-1]

    def forget_changes(self) -> None:
        """As if the history went back less far than the plan."""
        self.revisions = [replace(revision, changes=()) for revision in self.revisions]

    def _door(self, method: str, path: str, scope: str, door: Door) -> Route:
        async def open_door(request: Request) -> Response:
            self.requests.append(f"{method} {request.url.path}")
            scopes = self._scopes.get(request.headers.get("authorization", "").removeprefix("Bearer "))
            if scopes is None:
                return error(401, "unauthorized", "The token is not one that this engine knows.")
            if scope not in scopes:
                return error(403, "scope-missing", f"This door needs a token with the scope “{scope}”.")
            return await door(request)

        return Route(path, open_door, methods=[method])

    async def _history(self, request: Request) -> Response:
        limit = int(request.query_params["limit"])
        newest = list(reversed(self.revisions[1:]))[:limit]
        return answer(200, {"revisions": [summary(r) | {"changes": changes(r)} for r in newest]})

    async def _revision(self, request: Request) -> Response:
        name = request.path_params["number"]
        number = self.current.number if name == "current" else int(name)
        if number >= len(self.revisions):
            return error(404, "unknown-revision", f"There is no revision {number}.")
        revision = self.revisions[number]
        held = {str(k): {"digest": o.definition.digest, "owner": o.owner} for k, o in revision.owned.items()}
        return answer(200, summary(revision) | {"definitions": held})

    async def _definitions(self, request: Request) -> Response:
        owned = self.revisions[request.path_params["number"]].owned
        asked = [Key.parse(key) for key in orjson.loads(await request.body())["keys"]]
        found = {
            str(key): {
                "digest": owned[key].definition.digest,
                "owner": owned[key].owner,
                "content": owned[key].definition.content,
            }
            for key in asked
            if key in owned
        }
        return answer(200, {"definitions": found})

    async def _publish(self, request: Request) -> Response:
        if "if-match" not in request.headers:
            return error(428, "precondition-required", "A publication says what it is based on, by If-Match.")
        expected = int(request.headers["if-match"].strip('"'))
        body = orjson.loads(await request.body())
        amendments = [amendment(change) for change in body["changes"]]
        if not amendments:
            return error(422, "nothing-to-publish", "There are no changes to publish.")
        if invalid := [a for a in amendments if a.after is not None and a.after.content.get("url") == "nowhere"]:
            problem = {"key": str(invalid[0].key), "path": ["url"], "code": "bad-url", "message": "not a URL."}
            return error(422, "invalid-definition", "A definition is invalid.", problems=[problem])
        if expected != self.current.number:
            return error(412, "revision-conflict", f"Revision {self.current.number} is current, not {expected}.")
        at = datetime(2026, 11, 23, 14, 19, 18, tzinfo=UTC) + timedelta(minutes=len(self.revisions))
        publication = Publication(at=at, by=body["by"], commit=body["commit"], note=body["note"])
        revision = next_revision(
            self.current, amendments, owner=body["owner"], publication=publication, digest=revision_digest
        )
        if not isinstance(revision, Revision):
            problems = [{"key": str(p.key), "code": p.code, "message": p.message} for p in revision]
            return error(409, "expectation-failed", "The target is not as the changes expect it.", problems=problems)
        self.revisions.append(revision)
        return answer(201, {"number": revision.number, "digest": revision.digest})


def amendment(change: Mapping[str, Any]) -> Amendment:
    key = Key.parse(change["key"])
    after = define(key, change["after"]) if "after" in change else None
    return Amendment(change["kind"], key, change.get("expects"), after)


def summary(revision: Revision) -> dict[str, Any]:
    publication = revision.publication
    return {
        "number": revision.number,
        "digest": revision.digest,
        "publishedAt": None if publication.at is None else f"{publication.at:%Y-%m-%dT%H:%M:%S}.000Z",
        "publishedBy": publication.by,
        "commit": publication.commit,
        "note": publication.note,
    }


def changes(revision: Revision) -> list[dict[str, str]]:
    return [{"kind": kind, "key": str(key)} for kind, key in revision.changes]


def answer(status: int, body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


def error(status: int, code: str, message: str, **more: Any) -> Response:
    return answer(status, {"code": code, "message": message, **more})
