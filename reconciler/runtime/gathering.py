"""DATA_ADVANCED: one message made of all receptions of another (`callbacks.md` section 2.6). Pure.

1. It is the message as it was received first, with what the network told about its link and its place at any of the
   receptions (where several tell, the earliest counts), and `duplicates`: an object for each reception that names its
   station, in the order of reception.
2. Levels are numbers with two decimals, as everywhere. What the network did not tell of a reception is left out of its
   object, not `null`: two versions of the operator's page differ in whether there is an `snr`, so that receivers know
   a member to be missing, while whoever reads a number seldom expects a `null`.
3. Without metadata no station is known, and the array is empty.
4. `lqi` and `linkQuality` say the same in a word and in a number; where one is given, so is the other.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from reconciler.codec.message import message_id
from reconciler.grammar.escape import Context, Json, escape
from reconciler.grammar.payload import Value
from reconciler.model.message import Message, MessageType
from reconciler.model.resource import CallbackType
from reconciler.model.variables import offered
from reconciler.runtime.values import readings, values_of

__all__ = ["advanced"]

_OFFERED: Final = offered(CallbackType.SERVICE_DATA_ADVANCED).keys()
_LINK_QUALITIES: Final = ("LIMIT", "AVERAGE", "GOOD", "EXCELLENT", "NA")
_RECEPTION: Final = readings(CallbackType.DATA_UPLINK, ("rssi", "snr"))


def advanced(receptions: Sequence[Message], *, at: datetime) -> Message:
    """The message that tells of all receptions of one event: at least one, in the order in which they came."""
    first = receptions[0]
    metadata = {
        name: given
        for reception in reversed(receptions)
        for name, given in reception.metadata.items()
        if name in _OFFERED
    }
    _complete_link_quality(metadata)
    told = (_told_of(reception) for reception in receptions if "station" in reception.metadata)
    metadata["duplicates"] = Json(f"[{','.join(told)}]")
    return Message(
        id=message_id(
            MessageType.DATA_ADVANCED,
            first.device,
            first.time,
            sequence_number=first.sequence_number,
            station=None,
            data=first.data,
        ),
        type=MessageType.DATA_ADVANCED,
        device=first.device,
        device_type=first.device_type,
        time=first.time,
        sequence_number=first.sequence_number,
        data=first.data,
        received_at=at,
        metadata=metadata,
    )


def _told_of(reception: Message) -> str:
    """What the network told of one reception, as compact JSON."""
    levels = values_of(reception, _RECEPTION, duplicate=False)
    told: dict[str, Value] = {
        "bsId": reception.metadata["station"],
        "rssi": levels.get("rssi"),
        "snr": levels.get("snr"),
        "nbRep": reception.metadata.get("nbRep"),
    }
    members = (f'"{name}":{escape(given, Context.JSON_VALUE)}' for name, given in told.items() if given is not None)
    return f"{{{','.join(members)}}}"


def _complete_link_quality(metadata: dict[str, Value]) -> None:
    word, number = metadata.get("lqi"), metadata.get("linkQuality")
    if number is None and isinstance(word, str) and word.upper() in _LINK_QUALITIES:
        metadata["linkQuality"] = _LINK_QUALITIES.index(word.upper())
    elif word is None and isinstance(number, int) and 0 <= number < len(_LINK_QUALITIES):
        metadata["lqi"] = _LINK_QUALITIES[number]
