"""What the engine tells of its work to whoever records traces; how they are recorded is another module's business.

1. Without somebody who records, a call and an attempt cost one look at an attribute each.
2. Everything is told once it is durable, with the times at which it began and ended: recording can neither slow a
   message nor lose one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from starlette.types import ASGIApp

from reconciler.model.delivery import Settlement
from reconciler.store.protocol import Arrival, Kept

__all__ = ["Tracing"]


class Tracing(Protocol):
    """Records what happens. Nothing of it may block or raise, but `close`, which may take its time."""

    def doors(self, app: ASGIApp) -> ASGIApp:
        """The same doors; calls that bring messages are recorded."""
        ...

    def kept(self, arrivals: Sequence[Arrival], answers: Sequence[Kept], *, since: datetime) -> None:
        """Messages were routed and are durable; `answers` has what became of each. It began at `since`."""
        ...

    def attempted(self, settlement: Settlement) -> None:
        """An attempt ended, and its settlement is durable."""
        ...

    async def close(self, *, within: timedelta) -> None:
        """Hand over what was recorded; what is not handed over in time is given up."""
        ...
