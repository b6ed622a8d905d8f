"""Looking at deliveries, and sending them again.

1. A list is ordered by descending id, newest event first; `next` continues it, and stays right while new ones arrive.
2. A replay names deliveries by id or by what they have in common. Only finished ones are sent again; the answer tells
   how many, and which ids are nobody's. A line of a batch stands for the batch: it is sent again as a whole.
"""

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from reconciler.model.delivery import DeliveryId, State
from reconciler.runtime.api import audit
from reconciler.runtime.api.access import Access, peer_of, token_of
from reconciler.runtime.api.answers import DoorError, answer
from reconciler.runtime.api.bodies import read_object
from reconciler.runtime.api.doors import Door
from reconciler.runtime.api.json_forms import JsonObject, delivery_json
from reconciler.runtime.api.parameters import (
    Parameters,
    callback_of,
    delivery_id_of,
    device_of,
    endpoint_of,
    state_of,
)
from reconciler.runtime.api.room import Room
from reconciler.runtime.api.tokens import Scope
from reconciler.runtime.engine import Engine
from reconciler.store.protocol import DeliveryFilter, DeliveryRecord

__all__ = ["Deliveries"]

_MAX_REPLAY_BYTES = 1024 * 1024
_MAX_REPLAYED = 10_000
_FILTERS = ("state", "callback", "device", "endpoint")


class Deliveries:
    """The doors to what goes out."""

    def __init__(self, engine: Engine, access: Access, room: Room) -> None:
        self._engine = engine
        self._access = access
        self._room = room

    def doors(self) -> Sequence[Door]:
        """What this module serves."""
        return (
            Door("GET", "/v1/deliveries", Scope.READ, self.search),
            Door("GET", "/v1/deliveries/{id}", Scope.READ, self.show),
            Door("POST", "/v1/deliveries/replay", Scope.APPLY, self.replay),
        )

    async def search(self, request: Request) -> Response:
        """Deliveries that match all that is given."""
        query = Parameters(request, *_FILTERS, "before", "limit")
        limit = query.limit(default=50, most=1000)
        before = delivery_id_of(query.text("before"))
        where = _filter({name: query.text(name) for name in _FILTERS})
        records = await self._engine.store.deliveries(where, limit=limit, before=before)
        more = str(records[-1].delivery.id) if len(records) == limit else None
        return answer({"deliveries": [self._shown(record) for record in records], "next": more})

    async def show(self, request: Request) -> Response:
        """One delivery with its attempts."""
        Parameters(request)
        try:
            record = await self._engine.store.delivery(DeliveryId.parse(request.path_params["id"]))
        except ValueError:
            record = None
        if record is None:
            raise DoorError(404, "unknown-delivery", "This engine has no delivery of that id.")
        return answer(self._shown(record))

    def _shown(self, record: DeliveryRecord) -> JsonObject:
        return delivery_json(record, why=self._engine.worker.why_waiting)

    async def replay(self, request: Request) -> Response:
        """Send finished deliveries again."""
        Parameters(request)
        wanted = await read_object(request, limit=_MAX_REPLAY_BYTES)
        ids = _ids(wanted) if "ids" in wanted else None
        where, limit = _finished(wanted) if ids is None else (DeliveryFilter(), 0)
        if self._room.full is not None:
            raise self._room.refusal()
        self._access.admit_still(request, Scope.APPLY)
        if ids is None:
            count = await self._engine.replay_where(where, limit=limit)
        else:
            count = await self._engine.replay(ids)
        named = "filter" if ids is None else "ids"
        audit.replayed(count, named=named, token=token_of(request).name, peer=peer_of(request))
        told: dict[str, object] = {"replayed": count}
        if ids is not None and count < len(ids) and (unknown := await self._unknown(ids)):
            told["unknown"] = unknown
        return answer(told)

    async def _unknown(self, ids: Sequence[DeliveryId]) -> Sequence[str]:
        store = self._engine.store
        return [str(each) for each in dict.fromkeys(ids) if await store.delivery(each) is None]


def _filter(texts: Mapping[str, str | None]) -> DeliveryFilter:
    return DeliveryFilter(
        state=state_of(texts["state"]),
        callback=callback_of(texts["callback"]),
        device=device_of(texts["device"]),
        endpoint=endpoint_of(texts["endpoint"]),
    )


def _ids(wanted: Mapping[str, object]) -> Sequence[DeliveryId]:
    ids = wanted["ids"]
    if len(wanted) > 1 or not isinstance(ids, list) or len(ids) > _MAX_REPLAYED:
        raise _invalid(f"“ids” stands alone and takes a list of at most {_MAX_REPLAYED} ids.")
    parsed: list[DeliveryId] = []
    for index, text in enumerate(ids):
        try:
            parsed.append(DeliveryId.parse(text if isinstance(text, str) else ""))
        except ValueError:
            raise _invalid(f"“ids” holds something that is not the id of a delivery, at index {index}.") from None
    return parsed


def _finished(wanted: Mapping[str, object]) -> tuple[DeliveryFilter, int]:
    """Which finished deliveries to replay, and how many at most."""
    if not wanted.keys() <= {*_FILTERS, "limit"}:
        raise _invalid(f"A replay takes “ids”, or any of {', '.join(_FILTERS)} and limit.")
    texts: dict[str, str | None] = {}
    for name in _FILTERS:
        value = wanted.get(name)
        if value is not None and not isinstance(value, str):
            raise _invalid(f"“{name}” takes a text.")
        texts[name] = value
    where = _filter(texts)
    if where.state not in (State.UNDELIVERED, State.DELIVERED):
        raise _invalid(
            "“state” says what to replay: undelivered, or delivered. What is pending, joined or waiting is being sent "
            "anyway."
        )
    limit = wanted.get("limit", 1000)
    if type(limit) is not int or not 1 <= limit <= _MAX_REPLAYED:
        raise _invalid(f"“limit” takes a number from 1 to {_MAX_REPLAYED}.")
    return where, limit


def _invalid(message: str) -> DoorError:
    return DoorError(422, "invalid-replay", message)
