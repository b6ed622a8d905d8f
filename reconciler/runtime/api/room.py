"""Is there room for more messages? When there is not, they are refused until there is.

1. Two bounds: how many deliveries may be pending, and how much of the disk has to stay free. What was acknowledged is
   delivered, settled and published meanwhile: those need the rest of the disk.
2. Looked at each second, not for each message: at 10,000 messages a second of 700 bytes the bounds are passed by 7 MB.
3. Once full, it stays full until 5 % are free again, so that senders are not told to come and go.
4. A disk that runs full all the same is the store's to report (`StoreFull`): the request is refused, and the next one
   tried again. Nothing of this needs a restart.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from reconciler.errors import StoreError
from reconciler.model.delivery import State
from reconciler.runtime.api.answers import DoorError
from reconciler.store.protocol import Journal

__all__ = ["Bound", "Disk", "Room", "RoomBounds"]

log = logging.getLogger("reconciler.api")

Bound: TypeAlias = Literal["pending", "disk"]

_LOOK_EVERY: Final = 1.0
_RETRY_AFTER: Final[dict[Bound, str]] = {"pending": "5", "disk": "30"}
_LEAST_FREE: Final = 256 * 1024 * 1024
_LEAST_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system, in bytes; `free` is what this process may still use."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class RoomBounds:
    """When it is full.

    Attributes:
        pending: the most deliveries that wait, for a retry or their turn too. A million of them take 0.7 GB of disk.
        free_bytes: what has to stay free of the disk; if None, 256 MiB, or 5 % of a disk so small that this is less.
    """

    pending: int = 2_000_000
    free_bytes: int | None = None

    def least_free(self, disk: Disk) -> int:
        """What has to stay free of this disk."""
        return min(_LEAST_FREE, int(disk.total * _LEAST_SHARE)) if self.free_bytes is None else self.free_bytes


class Room:
    """Whether messages may come in; without a look at the disk that bound is not held."""

    def __init__(
        self, journal: Journal, bounds: RoomBounds | None = None, *, disk: Callable[[], Disk] | None = None
    ) -> None:
        """`disk` may take its time: it is asked in a thread."""
        self.full: Bound | None = None
        self._journal = journal
        self._bounds = bounds or RoomBounds()
        self._disk = disk

    def refusal(self) -> DoorError:
        """What is said while it is full."""
        assert self.full is not None, "asked only then"
        why = (
            f"The engine holds as many pending deliveries as it may, {self._bounds.pending}."
            if self.full == "pending"
            else "The engine's disk is almost full."
        )
        message = f"{why} Nothing of this request was kept; send it again when there is room."
        code = "too-many-pending" if self.full == "pending" else "disk-almost-full"
        return DoorError(503, code, message, headers={"Retry-After": _RETRY_AFTER[self.full]})

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY)

    async def look(self) -> None:
        """Look once. What can not be found out stays as it was: the store tells of itself when it is used."""
        before, full = self.full, self.full
        try:
            full = await self._found()
        except (StoreError, OSError) as error:
            log.warning("room.unknown", extra={"error": str(error)})
        self.full = full
        if full != before:
            log.log(
                logging.INFO if full is None else logging.ERROR,
                "room.free" if full is None else "room.full",
                extra={"bound": full or before},
            )

    async def _found(self) -> Bound | None:
        if self._disk is not None:
            disk = await asyncio.to_thread(self._disk)
            least = self._bounds.least_free(disk)
            if disk.free < (least + least // 20 if self.full == "disk" else least):
                return "disk"
        counts = await self._journal.counts()
        pending = counts[State.PENDING] + counts[State.WAITING]
        most = self._bounds.pending
        return "pending" if pending > (most - most // 20 if self.full == "pending" else most) else None
