"""The ERROR event of a device that is silent for too long (`callbacks.md` sections 2.7 and 7)."""

from datetime import timedelta

from reconciler.codec.message import dump_message, load_message, message_id
from reconciler.model.message import MessageType
from reconciler.runtime.silence import silence
from reconciler.store.protocol import Heard
from tests.unit.runtime.routing_rig import NOW, message

AT = NOW + timedelta(hours=2, seconds=0.5)
# 2013-10-08 15:36:21 UTC: the sample of the operator's first API
HEARD = Heard(message(time=1381246581, deviceType="pallet"), at=NOW)


def test_a_breach_is_told_in_the_operators_words() -> None:
    told = silence(HEARD, at=AT)

    assert told.metadata == {"info": "No message received since 2013-10-08 15:36:21", "severity": "ERROR"}
    assert (told.type, told.device, told.device_type) == (MessageType.ERROR, "1C178", "pallet")
    assert (told.time, told.received_at) == (int(NOW.timestamp()) + 7200, AT)
    assert (told.sequence_number, told.data) == (None, b"")


def test_a_breach_is_an_event_of_its_own() -> None:
    told = silence(HEARD, at=AT)

    assert told.id == message_id(
        MessageType.ERROR, "1C178", told.time, sequence_number=None, station=None, data=b"", detail="ERROR"
    )
    assert silence(HEARD, at=AT + timedelta(seconds=1)).event != told.event


def test_any_event_time_can_be_told() -> None:
    assert (
        silence(Heard(message(time=0), NOW), at=AT).metadata["info"] == "No message received since 1970-01-01 00:00:00"
    )
    assert silence(Heard(message(time=2**32 - 1), NOW), at=AT).metadata["info"] == (
        "No message received since 2106-02-07 06:28:15"
    )


def test_it_is_kept_like_any_message() -> None:
    told = silence(HEARD, at=AT)

    assert load_message(dump_message(told), received_at=AT) == told
