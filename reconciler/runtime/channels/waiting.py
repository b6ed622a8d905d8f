"""A request whose secret is still being read: it waits within its deadline, and nobody waits with it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from reconciler.model.delivery import Unreachable
from reconciler.runtime.channels.unreachable import Reason, unreachable
from reconciler.runtime.secrets.pending import SecretPending

__all__ = ["composed_when_read"]

T = TypeVar("T")


async def composed_when_read(
    compose: Callable[[], T | Unreachable], pending: SecretPending, *, deadline: float
) -> T | Unreachable:
    """What `compose` gives once it has all of its secrets; `deadline` is in the loop's time."""
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.wrap_future(pending.read)
        except TimeoutError:
            return unreachable(Reason.DEADLINE, f"Time is up: the secret {pending.name} was not read yet.")
        try:
            return compose()
        except SecretPending as another:
            pending = another
