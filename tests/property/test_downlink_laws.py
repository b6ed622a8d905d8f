"""Laws of downlinks: reading an answer never fails, and what goes to a device is 8 bytes."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.model.definition import check_device_type
from reconciler.model.delivery import Accepted, Outcome, Refused, Unreachable
from reconciler.model.downlink import DOWNLINK_BYTES, Failed, InfoCode, NoData, Replies, Send
from reconciler.model.resource import Key
from reconciler.runtime.downlink import direct_data, read_replies
from tests.builders import a_message

hex_digits = "0123456789abcdefABCDEF"
devices = st.text(hex_digits, min_size=1, max_size=8)
data = st.text(hex_digits, max_size=18) | st.binary(min_size=8, max_size=8).map(bytes.hex)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner), max_leaves=8
)
members = (
    st.fixed_dictionaries({}, optional={"downlinkData": data | anything, "noData": anything, "other": anything})
    | anything
)
answers = st.dictionaries(devices | st.text(max_size=12), members, max_size=6)
bodies = st.binary(max_size=200) | (answers | anything).map(lambda answer: json.dumps(answer).encode())
outcomes: st.SearchStrategy[Outcome] = (
    st.builds(Accepted, st.integers(200, 299), bodies)
    | st.builds(Refused, st.integers(100, 999), bodies)
    | st.builds(Unreachable, st.just("deadline"), st.text(max_size=20))
)


@given(outcomes)
@example(Accepted(200, b"[" * 65_536))
@example(Accepted(200, b'{"A":' * 13_000))
@example(Accepted(200, b'{"A":' + b"9" * 65_000 + b"}"))
@example(Accepted(200, b'{"A":{"downlinkData":1e400}}'))
@example(Accepted(200, b'{"\\ud800":{"noData":true}}'))
@example(Accepted(200, b'{"' + b"0" * 65_000 + b'A":{"noData":true}}'))
def test_any_answer_is_read(outcome: Outcome) -> None:
    replies = read_replies(outcome)

    for device, reply in replies.by_device.items():
        assert device == (device.upper().lstrip("0") or "0")
        assert set(device) <= set(hex_digits)
        assert isinstance(reply, (Send, NoData, Failed))
        if isinstance(reply, Send):
            assert len(reply.data) == DOWNLINK_BYTES
        if isinstance(reply, Failed):
            assert reply.code in (InfoCode.NO_ANSWER, InfoCode.INVALID_PAYLOAD)
    assert replies.otherwise in (NoData(), Failed(InfoCode.NO_ANSWER))


@given(st.dictionaries(st.integers(0, 2**32 - 1), st.binary(min_size=8, max_size=8), max_size=5), st.randoms())
def test_an_answer_reaches_its_devices_however_they_are_written(sent: dict[int, bytes], random: Any) -> None:
    def written(device: int) -> str:
        digits = f"{device:0{random.randint(1, 8)}x}"
        return "".join(random.choice((each.upper(), each)) for each in digits)

    body = json.dumps({written(device): {"downlinkData": each.hex()} for device, each in sent.items()})
    replies = read_replies(Accepted(200, body.encode()))

    expected = {f"{device:X}": Send(each) for device, each in sent.items()}
    assert replies == Replies(expected, Failed(InfoCode.NO_ANSWER))


SIZES = {"{time}": 4, "{tapId}": 4, "{rssi}": 2, "00": 1, "fF": 1}


@st.composite
def templates(draw: st.DrawFn) -> str:
    parts: list[str] = []
    while left := DOWNLINK_BYTES - sum(SIZES[part] for part in parts):
        parts.append(draw(st.sampled_from([part for part, size in SIZES.items() if size <= left])))
    return "".join(parts)


@given(templates(), st.none() | st.text(hex_digits, min_size=1, max_size=16), st.none() | st.floats(-1e15, 1e15))
def test_every_data_that_may_be_declared_makes_8_bytes(template: str, station: str | None, rssi: float | None) -> None:
    found, findings = check_device_type(Key("tracker"), {"downlink": {"mode": "direct", "data": template}})
    metadata = {name: given for name, given in (("station", station), ("rssi", rssi)) if given is not None}

    assert (found is not None, findings) == (True, ())
    assert len(direct_data(template, a_message(metadata=metadata))) == DOWNLINK_BYTES
