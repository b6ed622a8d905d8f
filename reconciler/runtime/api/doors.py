"""A door as a value: where it is, what opens it, and what happens behind it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from starlette.requests import Request
from starlette.types import ASGIApp

from reconciler.runtime.api.answers import DoorError
from reconciler.runtime.api.tokens import Scope, Token, Tokens

__all__ = ["Door", "Endpoint", "admit", "stopping"]

Endpoint: TypeAlias = Callable[[Request], Awaitable[ASGIApp]]
"""Takes a request whose token was checked; what it returns writes the answer. Refuses by `DoorError`."""


@dataclass(frozen=True, slots=True)
class Door:
    """One method of one path. `scope` is what a token needs to open it; None leaves it open to all."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    scope: Scope | None
    endpoint: Endpoint


def admit(tokens: Tokens, authorization: bytes | None, scope: Scope) -> Token:
    """The token of a request that may pass.

    Raises:
        DoorError: 401 without a token that we know, 403 with one that lacks the scope (RFC 6750 section 3.1).
    """
    token = tokens.token_of(authorization)
    if token is None:
        if authorization is None:
            message = "This door needs a token, in a header “Authorization: Bearer TOKEN”."
        else:
            message = "The token is not one that this engine knows."
        raise DoorError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})
    if scope not in token.scopes:
        message = f"This door needs a token with the scope “{scope}”; the token “{token.name}” lacks it."
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        raise DoorError(403, "scope-missing", message, headers={"WWW-Authenticate": challenge}, scope=scope)
    return token


def stopping() -> DoorError:
    """The refusal of an engine that is going down, or not up yet."""
    message = "The engine is not running. This request changed nothing; send it again in a moment."
    return DoorError(503, "engine-stopping", message, headers={"Retry-After": "5"})
