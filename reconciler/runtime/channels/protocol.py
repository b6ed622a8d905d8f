"""What a channel is: one request in, one outcome out.

1. A channel never raises for what the far end or the network does, and never retries: that is decided elsewhere.
2. One deadline holds over everything: name resolution, connecting, TLS, sending, the answer's headers and body, or the
   whole talk with a mail server (`callbacks.md` section 5: 10 s).
3. Secrets become text only here.
"""

from datetime import timedelta
from typing import Protocol, TypeVar

from reconciler.model.delivery import Outcome, Sendable

__all__ = ["Channel"]

R_contra = TypeVar("R_contra", bound=Sendable, contravariant=True)


class Channel(Protocol[R_contra]):
    """Sends requests of one kind."""

    async def send(self, request: R_contra, *, timeout: timedelta) -> Outcome:
        """Send it once and say what came of it."""
        ...

    async def close(self) -> None:
        """Let go of connections; requests in flight end as unreachable."""
        ...
