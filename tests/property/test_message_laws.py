"""The laws of messages: what the doors take is kept as it is, and what they show can be sent again."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.codec.message import dump_message, load_message, read_message
from reconciler.codec.message_fields import SHAPES
from reconciler.model.message import Message, MessageType
from reconciler.runtime.api.json_forms import message_json

NOW = datetime(2026, 1, 1, tzinfo=UTC)

# Valid values of every field; a field that is not here fails the law by its KeyError.
numbers = st.floats(-1000, 1000) | st.integers(-1000, 1000)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, json_values, max_size=4)
flags = st.booleans()
codes = st.integers(0, 15)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "seqNumber": st.integers(0, 2**31 - 1),
    "data": st.binary(max_size=12).map(bytes.hex),
    "station": st.text("0123456789abcdefABCDEF", min_size=1, max_size=16),
    **dict.fromkeys(("rssi", "snr", "signal"), numbers),
    **dict.fromkeys(("avgSnr", "avgSignal"), numbers | st.just("N/A")),
    **dict.fromkeys(("lat", "fixedLat"), st.floats(-90, 90)),
    **dict.fromkeys(("lng", "fixedLng"), st.floats(-180, 180)),
    **dict.fromkeys(("duplicate", "ack", "longPolling", "downlinkAck", "downlinkOverusage"), flags),
    "deviceTypeId": st.from_regex(r"[0-9a-f]{24}", fullmatch=True),
    "batt": st.floats(0, 100),
    "temp": st.floats(-40, 85),
    "radius": st.floats(0, 1e6) | st.integers(0, 10**6),
    "geolocSource": texts | st.integers(0, 7),
    "infoCode": st.sampled_from([0, 1, 2, 3, 4, 6, 7, 8]),
    **dict.fromkeys(("infoMessage", "info", "operatorName"), texts),
    "severity": st.sampled_from(["ERROR", "WARN"]),
    **dict.fromkeys(("whitelistDevices", "repeatedMsg"), st.integers(0, 10**6)),
    **dict.fromkeys(("unwantedDevices", "unwantedMsg", "wrongMsg", "overRegulMsg"), codes),
    "lqi": st.sampled_from(["LIMIT", "Average", "good", "EXCELLENT", "NA"]),
    "linkQuality": st.integers(0, 4),
    "countryCode": st.integers(0, 999),
    "nbRep": st.integers(0, 255),
    "computedLocation": objects,
    "duplicates": st.lists(objects, max_size=3),
}
REQUIRED = {MessageType.GEOLOC: ("lat", "lng"), MessageType.ACKNOWLEDGE: ("infoCode",)}


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """A message of any type with any of its fields, as a door reads it."""
    kind = draw(st.sampled_from(MessageType))
    required = REQUIRED.get(kind, ())
    optional = sorted(SHAPES[kind].names - {"type", "device", "deviceType", "time", *required})
    names = [*required, *draw(st.lists(st.sampled_from(optional), unique=True))]
    value = {
        "type": str(kind),
        "device": draw(st.text("0123456789abcdefABCDEF", min_size=1, max_size=16)),
        "deviceType": "tracker",
        "time": draw(st.integers(0, 2**32 - 1)),
        **{name: draw(VALUES[name]) for name in names},
    }
    message = read_message(value, received_at=NOW)
    assert isinstance(message, Message), message
    return message


@given(messages())
def test_what_is_kept_reads_back_equal(message: Message) -> None:
    assert load_message(dump_message(message), received_at=NOW) == message


@given(messages())
def test_what_is_shown_can_be_sent_again(message: Message) -> None:
    shown = {name: value for name, value in message_json(message).items() if name not in ("id", "receivedAt")}

    assert read_message(shown, received_at=NOW) == message
