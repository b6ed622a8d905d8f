"""Times, ids and devices, as the SQLite store has them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.store.sqlite_values import (
    device_number,
    duration,
    event_bytes,
    id_bytes,
    last_of_event,
    micros,
    micros_of,
    moment,
    signed,
)
from tests.builders import a_message


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_comes_back_to_the_microsecond(when: datetime) -> None:
    assert moment(micros(when)) == when


@given(st.timedeltas(min_value=timedelta(days=-10_000), max_value=timedelta(days=10_000)))
def test_a_length_comes_back_to_the_microsecond(length: timedelta) -> None:
    assert duration(micros_of(length)) == length


@given(st.integers(0, 2**64 - 1))
def test_a_device_has_a_number_of_its_own_that_a_column_can_hold(number: int) -> None:
    column = device_number(f"{number:X}")
    assert column == signed(number)
    assert column is not None
    assert -(2**63) <= column < 2**63
    assert column % 2**64 == number


@pytest.mark.parametrize("text", ["", "01C178", "1c178", "0x1C", "-1", "1_0", " 1", "G", "1" + "0" * 16, "9" * 40])
def test_what_messages_do_not_spell_so_is_no_device(text: str) -> None:
    assert device_number(text) is None


@given(st.integers(0, 2**16 - 1))
def test_the_ids_of_an_event_s_messages_stand_between_its_bounds(station: int) -> None:
    reception = a_message(station=f"{station:04X}")
    event = event_bytes(reception.event)
    assert event < id_bytes(reception.id) <= last_of_event(event)
    for other in (a_message(2), a_message(time=1_700_000_001)):
        assert not event < id_bytes(other.id) <= last_of_event(event)


@pytest.mark.parametrize("text", ["", "nonsense", "00", a_message().id, a_message().event.upper(), "é" * 26])
def test_what_is_no_event_has_no_messages(text: str) -> None:
    assert event_bytes(text) == bytes(13)
    assert id_bytes(text + "00") == bytes(16)
