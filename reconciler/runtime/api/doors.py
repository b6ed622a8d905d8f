"""A door as a value: where it is, what opens it, and what happens behind it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from starlette.requests import Request
from starlette.types import ASGIApp

from reconciler.runtime.api.answers import DoorError
from reconciler.runtime.api.tokens import Scope

__all__ = ["Door", "Endpoint", "stopping"]

Endpoint: TypeAlias = Callable[[Request], Awaitable[ASGIApp]]
"""Takes a request whose token was checked; what it returns writes the answer. Refuses by `DoorError`."""


@dataclass(frozen=True, slots=True)
class Door:
    """One method of one path. `scope` is what a token needs to open it; None leaves it open to all."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    scope: Scope | None
    endpoint: Endpoint


def stopping() -> DoorError:
    """The refusal of an engine that is going down, or not up yet."""
    message = "The engine is not running. This request changed nothing; send it again in a moment."
    return DoorError(503, "engine-stopping", message, headers={"Retry-After": "5"})
