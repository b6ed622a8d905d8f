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
from reconciler.runtime.fingerprints import KEY_BYTES, Fingerprints

__all__ = ["TOKEN", "FakeEngine"]

TOKEN = "a-token-of-the-fake"

Door = Callable[[Request], Awaitable[Response]]


class FakeEngine:
    """Every publication is kept; the current revision is the last. `secrets` are what `${secret.NAME}` stands for."""

    def __init__(self, *, scopes: Mapping[str, frozenset[str]] | None = None) -> None:
        self.revisions: list[Revision] = [EMPTY]
        self.requests: list[str] = []
        self.secrets: dict[str, str] = {}
        self._fingerprints = Fingerprints(bytes(KEY_BYTES), self.secrets.get)
        self._scopes = scopes or {TOKEN: frozenset({"read", "apply"})}
        self.app = Starlette(
            routes=[
                self._door("GET", "/v1/revisions", "read", self._history),
                self._door("POST", "/v1/revisions", "apply", self._publish),
                self._door("GET", "/v1/revisions/current", "read", self._current),
                self._door("GET", "/v1/revisions/applied", "read", self._applied),
                self._door("GET", "/v1/revisions/{number:int}", "read", self._revision),
                self._door("POST", "/v1/revisions/{number:int}/definitions", "read", self._definitions),
            ]
        )

    @property
    def current(self) -> Revision:
        return self.revisions[-1]

    def forget_changes(self) -> None:
        """As if the history went back less far than the plan."""
        self.revisions = [replace(revision, changes=(), sources={}) for revision in self.revisions]

    def forget_plans(self, *, since: int) -> None:
        """As if what was published after revision `since` had been done by somebody at the door."""
        for number in range(since + 1, len(self.revisions)):
            published = self.revisions[number]
            self.revisions[number] = replace(published, publication=replace(published.publication, via="", plan=""))

    def applied(self, owner: str) -> Revision | None:
        """What the owner's files last brought about."""
        return next((r for r in reversed(self.revisions) if r.owner == owner and r.publication.via), None)

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
        before = int(request.query_params.get("before", len(self.revisions)))
        newest = [r for r in reversed(self.revisions[1:]) if r.number < before][: int(request.query_params["limit"])]
        return answer(200, {"revisions": [summary(r) | {"changes": changes(r)} for r in newest]})

    async def _current(self, request: Request) -> Response:
        return await self._with_secrets(self.current)

    async def _applied(self, request: Request) -> Response:
        revision = self.applied(request.query_params["owner"])
        if revision is None:
            return error(404, "nothing-applied", "No files were applied.")
        return await self._with_secrets(revision)

    async def _revision(self, request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(self.revisions):
            return error(404, "unknown-revision", f"There is no revision {number}.")
        return answer(200, whole(self.revisions[number]))

    async def _with_secrets(self, revision: Revision) -> Response:
        secrets = {
            name: {
                "published": state.published,
                "current": state.current,
                "definitions": [str(key) for key in state.callbacks],
            }
            for name, state in (await self._fingerprints.states(revision)).items()
        }
        return answer(200, whole(revision) | {"secrets": secrets})

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
        applied = self.applied(body["owner"])
        if not amendments and not await self._fingerprints.moved(self.current, applied, owner=body["owner"]):
            return error(422, "nothing-to-publish", "There are no changes to publish.")
        if invalid := [a for a in amendments if a.after is not None and a.after.content.get("url") == "nowhere"]:
            problem = {"key": str(invalid[0].key), "path": ["url"], "code": "bad-url", "message": "not a URL."}
            return error(422, "invalid-definition", "A definition is invalid.", problems=[problem])
        if expected != self.current.number:
            return error(412, "revision-conflict", f"Revision {self.current.number} is current, not {expected}.")
        at = datetime(2026, 11, 23, 14, 19, 18, tzinfo=UTC) + timedelta(minutes=len(self.revisions))
        told = {name: body.get(name, "") for name in ("by", "commit", "note", "via", "plan")}
        publication = Publication(at=at, **told)
        revision = next_revision(
            self.current, amendments, owner=body["owner"], publication=publication, digest=revision_digest
        )
        if not isinstance(revision, Revision):
            problems = [{"key": str(p.key), "code": p.code, "message": p.message} for p in revision]
            return error(409, "expectation-failed", "The target is not as the changes expect it.", problems=problems)
        revision = await self._fingerprints.taken(revision)
        wrong = [n for n, expected in body.get("secrets", {}).items() if revision.fingerprints.get(n) != expected]
        if wrong:
            problems = [
                {"key": "", "code": "secret-changed", "message": f"The secret {name} has changed."} for name in wrong
            ]
            return error(409, "expectation-failed", "The target is not as the changes expect it.", problems=problems)
        self.revisions.append(revision)
        return answer(201, {"number": revision.number, "digest": revision.digest})


def amendment(change: Mapping[str, Any]) -> Amendment:
    kind, key = change["kind"], Key.parse(change["key"])
    after = define(key, change["after"]) if "after" in change else None
    source = Key.parse(change["from"]) if kind == "move" else None
    taken_from = change["from"] if kind == "adopt" else None
    return Amendment(kind, key, change.get("expects"), after, source=source, taken_from=taken_from)


def summary(revision: Revision) -> dict[str, Any]:
    publication = revision.publication
    return {
        "number": revision.number,
        "digest": revision.digest,
        "owner": revision.owner,
        "publishedAt": None if publication.at is None else f"{publication.at:%Y-%m-%dT%H:%M:%S}.000Z",
        "publishedBy": publication.by,
        "commit": publication.commit,
        "note": publication.note,
        "via": publication.via,
        "plan": publication.plan,
    }


def whole(revision: Revision) -> dict[str, Any]:
    held = {str(k): {"digest": o.definition.digest, "owner": o.owner} for k, o in revision.owned.items()}
    return summary(revision) | {"definitions": held}


def changes(revision: Revision) -> list[dict[str, str]]:
    sources = {key: {"from": str(source)} for key, source in revision.sources.items()}
    return [{"kind": kind, "key": str(key), **sources.get(key, {})} for kind, key in revision.changes]


def answer(status: int, body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


def error(status: int, code: str, message: str, **more: Any) -> Response:
    return answer(status, {"code": code, "message": message, **more})
