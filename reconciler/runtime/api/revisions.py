"""What is in force, what was, and publishing what comes next.

1. A publication names the revision it was made for in `If-Match` (RFC 9110 section 13.1.1): 428 without, 412 when
   another one is current. It is atomic, and durable when 201 is sent.
2. Each change says what it expects to find; what is found otherwise is 409, with all problems at once.
3. Reading is cheap for planners: one request lists keys and digests, another brings the contents that are asked for.
4. What a project's files last brought about is remembered beside what is in force; both tell, by fingerprint, which
   secrets have other values by now. To record those is the one reason for a publication without changes.
5. Checking thousands of definitions takes a while; it is done in slices, so that messages and deliveries go on.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from reconciler.errors import RevisionConflict
from reconciler.model.resource import Key
from reconciler.model.revision import Amendment, Publication, Revision
from reconciler.runtime.api import audit
from reconciler.runtime.api.access import Access, peer_of, token_of
from reconciler.runtime.api.answers import DoorError, answer
from reconciler.runtime.api.bodies import read_object
from reconciler.runtime.api.doors import Door, stopping
from reconciler.runtime.api.json_forms import history_json, revision_json, secrets_json
from reconciler.runtime.api.parameters import Parameters
from reconciler.runtime.api.publication import Problem, Proposal, joint_problems, read_amendment, read_proposal
from reconciler.runtime.api.tokens import Scope
from reconciler.runtime.engine import Engine

__all__ = ["Revisions"]

# 10,000 definitions of 700 bytes are 7 MB.
_MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_SLICE: Final = 50
_MANY: Final = 500
_ETAG = re.compile(r'"(0|[1-9][0-9]{0,15})"')


class Revisions:
    """The doors to what is declared."""

    def __init__(self, engine: Engine, access: Access) -> None:
        self._engine = engine
        self._access = access

    def doors(self) -> Sequence[Door]:
        """What this module serves."""
        return (
            Door("GET", "/v1/revisions", Scope.READ, self.history),
            Door("POST", "/v1/revisions", Scope.APPLY, self.publish),
            Door("GET", "/v1/revisions/current", Scope.READ, self.current),
            Door("GET", "/v1/revisions/applied", Scope.READ, self.applied),
            Door("GET", "/v1/revisions/{number}", Scope.READ, self.show),
            Door("POST", "/v1/revisions/{number}/definitions", Scope.READ, self.definitions),
        )

    async def history(self, request: Request) -> Response:
        """What was published, newest first."""
        query = Parameters(request, "limit", "before")
        entries = await self._engine.store.history(
            limit=query.limit(default=20, most=1000), before=query.number("before")
        )
        return answer({"revisions": [history_json(entry) for entry in entries]})

    async def current(self, request: Request) -> Response:
        """The revision in force, and the secrets that it refers to."""
        Parameters(request)
        return await self._shown_with_secrets(self._engine.revision)

    async def applied(self, request: Request) -> Response:
        """What a project's files last brought about."""
        owner = Parameters(request, "owner").text("owner")
        if owner is None:
            raise DoorError(400, "invalid-parameter", "“owner” says whose files: the name of a project.")
        revision = await self._applied(owner)
        if revision is None:
            raise DoorError(
                404, "nothing-applied", "No project of that name has ever applied its files to this engine."
            )
        return await self._shown_with_secrets(revision)

    async def show(self, request: Request) -> Response:
        """Any revision."""
        Parameters(request)
        revision = await self._revision(request)
        return answer(revision_json(revision), headers=_etag(revision))

    async def definitions(self, request: Request) -> Response:
        """The contents of the keys that are asked for; those that the revision does not hold are left out."""
        Parameters(request)
        revision = await self._revision(request)
        wanted = await read_object(request, limit=_MAX_BODY_BYTES)
        keys = wanted.get("keys")
        if wanted.keys() != {"keys"} or not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise DoorError(422, "invalid-request", "The body has one field, “keys”, a list of texts.")
        found = ((key, revision.owned.get(Key.parse(key))) for key in keys)
        return answer(
            {
                "definitions": {
                    key: {
                        "digest": owned.definition.digest,
                        "owner": owned.owner,
                        "content": owned.definition.content,
                    }
                    for key, owned in found
                    if owned is not None
                }
            }
        )

    async def publish(self, request: Request) -> Response:
        """The next revision."""
        Parameters(request)
        expected = _expected(request.headers.get("if-match"))
        if not self._engine.is_running:
            raise stopping()
        proposal = read_proposal(await read_object(request, limit=_MAX_BODY_BYTES))
        if not isinstance(proposal, Proposal):
            raise DoorError(422, "invalid-publication", "The body is not a publication.", problems=proposal)
        if not proposal.changes and not await self._secrets_moved(proposal.owner):
            message = "The list of changes is empty, and no secret has another value; a revision changes something."
            raise DoorError(422, "nothing-to-publish", message)
        amendments = await _amendments(proposal)
        # The engine compares the numbers again; what is judged here is what it will amend, or nothing.
        current = self._engine.revision
        if current.number != expected:
            raise _moved_on(RevisionConflict(expected=expected, current=current.number))
        _refuse(joint_problems(current.owned, amendments))
        self._access.admit_still(request, Scope.APPLY)
        publication = Publication(
            at=self._engine.now(),
            by=proposal.by,
            commit=proposal.commit,
            note=proposal.note,
            via=proposal.via,
            plan=proposal.plan,
        )
        try:
            revision = await self._engine.publish(
                amendments,
                owner=proposal.owner,
                expect=expected,
                publication=publication,
                secrets=proposal.secrets,
            )
        except RevisionConflict as conflict:
            raise _moved_on(conflict) from conflict
        if not isinstance(revision, Revision):
            problems = [{"key": str(each.key), "code": each.code, "message": each.message} for each in revision]
            message = "The engine does not hold what the changes expect; nothing was published."
            raise DoorError(409, "expectation-failed", message, problems=problems)
        audit.published(revision, token=token_of(request).name, peer=peer_of(request))
        return answer({"number": revision.number, "digest": revision.digest}, status=201, headers=_etag(revision))

    async def _applied(self, owner: str) -> Revision | None:
        current = self._engine.revision
        if current.owner == owner and current.publication.via:
            return current
        return await self._engine.store.applied(owner)

    async def _secrets_moved(self, owner: str) -> bool:
        return await self._engine.fingerprints.moved(self._engine.revision, await self._applied(owner), owner=owner)

    async def _shown_with_secrets(self, revision: Revision) -> Response:
        states = await self._engine.fingerprints.states(revision)

        def written() -> bytes:
            return orjson.dumps({**revision_json(revision), "secrets": secrets_json(states)})

        # Of 10,000 definitions it takes 30 ms, for which no message should have to wait.
        body = written() if len(revision.owned) < _MANY else await asyncio.to_thread(written)
        return Response(body, headers=_etag(revision), media_type="application/json")

    async def _revision(self, request: Request) -> Revision:
        """The revision that the path names."""
        text, current = request.path_params["number"], self._engine.revision
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise _no_revision()
        number = int(text)
        if number == current.number:
            return current
        revision = await self._engine.store.revision(number)
        if revision is None:
            raise _no_revision()
        return revision


def _etag(revision: Revision) -> Mapping[str, str]:
    return {"ETag": f'"{revision.number}"'}


def _expected(if_match: str | None) -> int:
    """The number of the revision that a publication was made for."""
    if if_match is None:
        message = 'A publication says which revision it was made for, in a header “If-Match: "NUMBER"”; 0 is the first.'
        raise DoorError(428, "if-match-missing", message)
    etag = _ETAG.fullmatch(if_match.strip())
    if etag is None:
        raise DoorError(400, "invalid-if-match", "“If-Match” takes the number of one revision in double quotes.")
    return int(etag[1])


async def _amendments(proposal: Proposal) -> Sequence[Amendment]:
    """What the changes amount to; DoorError with all that is wrong with their definitions."""
    amendments: list[Amendment] = []
    problems: list[Problem] = []
    for index, change in enumerate(proposal.changes):
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
        amendment = read_amendment(change)
        if isinstance(amendment, Amendment):
            amendments.append(amendment)
        else:
            problems += amendment
    _refuse(problems)
    return amendments


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        message = "Definitions break rules; nothing was published."
        raise DoorError(422, "invalid-definition", message, problems=problems)


def _moved_on(conflict: RevisionConflict) -> DoorError:
    message = (
        f"The publication was made for revision {conflict.expected}, but revision {conflict.current} is current; "
        "nothing was published."
    )
    return DoorError(412, "revision-conflict", message, expected=conflict.expected, current=conflict.current)


def _no_revision() -> DoorError:
    return DoorError(404, "unknown-revision", "This engine has no revision of that number.")
