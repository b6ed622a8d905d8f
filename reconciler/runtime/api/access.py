"""Who may pass which door.

1. A token is looked at before anything else of a request, and the number of failures before nothing but the refusal:
   a good token is never told to wait (`logins`).
2. 401 without a token that we know, 403 with one that lacks the scope (RFC 6750 section 3.1); 429 instead of 401 to a
   peer that fails too often (RFC 6585 section 4).
3. What a request was let in for is asked again when its body took time to arrive, so that a token that was withdrawn
   meanwhile changes nothing.
4. Refusals are told to the audit log, a bounded number of them; the next one tells how many were not.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from math import ceil
from typing import Any, Final

from starlette.requests import Request

from reconciler.runtime.api import audit
from reconciler.runtime.api.answers import DoorError
from reconciler.runtime.api.logins import FailedLogins, Pace
from reconciler.runtime.api.tokens import Scope, Token, Tokens

__all__ = ["Access", "peer_of", "token_of"]

_TOLD_AT_ONCE: Final = 60
_TOLD_EACH: Final = timedelta(seconds=1)


class Access:
    """The tokens, and what became of those that tried without."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.refused = 0
        self._failed = FailedLogins()
        self._telling = Pace(burst=_TOLD_AT_ONCE, interval=_TOLD_EACH)
        self._untold = 0

    def admit(
        self,
        asgi: Mapping[str, Any],
        authorization: bytes | None,
        scope: Scope,
        *,
        door: str,
        digest: bytes | None = None,
    ) -> Token:
        """The token of a request that may pass `door`; `asgi` is the request's ASGI scope.

        `digest` is that of the header, where somebody has it at hand.

        Raises:
            DoorError: it may not.
        """
        tokens = self.tokens
        token = tokens.token_of(authorization) if digest is None else tokens.token_of_digest(digest)
        if token is not None and scope in token.scopes:
            return token
        raise self._refusal(asgi, authorization, token, scope, door=door)

    def admit_still(self, request: Request, scope: Scope) -> None:
        """Ask again, before a request that was let in changes something.

        Raises:
            DoorError: its token was withdrawn.
        """
        if not self.tokens.allow(token_of(request), scope):
            raise _unknown(known=True)

    async def withdrawn(self, request: Request, scope: Scope) -> None:
        """Wait until the token of a request opens doors of this scope no more."""
        await self.tokens.withdrawn(token_of(request), scope)

    def _refusal(
        self, asgi: Mapping[str, Any], authorization: bytes | None, token: Token | None, scope: Scope, *, door: str
    ) -> DoorError:
        now, peer = asyncio.get_running_loop().time(), _peer(asgi)
        self.refused += 1
        if token is not None:
            self._tell("scope-missing", door=door, peer=peer, token=token.name, now=now)
            message = f"This door needs a token with the scope “{scope}”; the token “{token.name}” lacks it."
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            return DoorError(403, "scope-missing", message, headers={"WWW-Authenticate": challenge}, scope=scope)
        wait = self._failed.failed(peer, now)
        if wait:
            self._untold += 1
            message = "Too many logins failed from this address. One with a good token passes at any time."
            return DoorError(429, "too-many-failed-logins", message, headers={"Retry-After": str(ceil(wait))})
        self._tell("no-token" if authorization is None else "unknown-token", door=door, peer=peer, token="", now=now)
        return _unknown(known=authorization is not None)

    def _tell(self, reason: str, *, door: str, peer: str, token: str, now: float) -> None:
        if self._telling.wait(now):
            self._untold += 1
            return
        untold, self._untold = self._untold, 0
        audit.login_refused(reason=reason, door=door, peer=peer, token=token, untold=untold)


def token_of(request: Request) -> Token:
    """The token that a request was let in with."""
    token: Token = request.state.token
    return token


def peer_of(request: Request) -> str:
    """The address that a request came from; that of the proxy, if there is one."""
    return _peer(request.scope)


def _peer(asgi: Mapping[str, Any]) -> str:
    client = asgi.get("client")
    return str(client[0]) if client else "unknown"


def _unknown(*, known: bool) -> DoorError:
    message = (
        "The token is not one that this engine knows."
        if known
        else "This door needs a token, in a header “Authorization: Bearer TOKEN”."
    )
    return DoorError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
