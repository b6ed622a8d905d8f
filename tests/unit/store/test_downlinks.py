"""What becomes of a downlink request, as tables."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.alarm import Alarm, AlarmKind
from reconciler.model.downlink import (
    DOWNLINK_LIFECYCLE,
    LISTENING,
    OPEN,
    DownlinkState,
    Failed,
    InfoCode,
    NoData,
    Replies,
    Reply,
    Send,
)
from reconciler.store.downlinks import WAITING, admitted, answered, expired, reported_on, result_alarm, served
from tests.builders import NOW, a_downlink, a_message

SECOND = timedelta(seconds=1)
ASKED, READY, SERVED, DECLINED, ENDED = DownlinkState
DATA = bytes(range(8))


@pytest.mark.parametrize("state", DownlinkState)
@pytest.mark.parametrize("other", DownlinkState)
@pytest.mark.parametrize("age", [timedelta(0), LISTENING - SECOND, LISTENING, LISTENING + SECOND])
def test_a_request_is_refused_while_another_is_open(state: DownlinkState, other: DownlinkState, age: timedelta) -> None:
    request, former = a_downlink(state=state), a_downlink(a_message(2), state=other, asked_at=NOW - age)
    kept = admitted(request, [former])
    if state in OPEN and other in OPEN and age < LISTENING:
        assert kept == replace(request, state=ENDED, code=InfoCode.TOO_MANY_REQUESTS)
    else:
        assert kept == request


@pytest.mark.parametrize("reply", [Send(DATA), NoData(), Failed(InfoCode.INVALID_PAYLOAD)])
def test_an_answer_leads_where_the_lifecycle_says(reply: Reply) -> None:
    request = answered(a_downlink(), Replies({"1C178": reply}, Failed(InfoCode.NO_ANSWER)), at=NOW)
    assert request.state is DOWNLINK_LIFECYCLE[ASKED, reply.kind]
    assert request.data == (DATA if isinstance(reply, Send) else None)
    assert request.code is (reply.code if isinstance(reply, Failed) else InfoCode.PENDING)


def test_who_is_not_named_gets_what_is_for_all_others() -> None:
    replies = Replies({"1C179": NoData()}, Send(DATA))
    assert answered(a_downlink(), replies, at=NOW).state is READY
    assert answered(a_downlink(a_message(device="1C179")), replies, at=NOW).state is DECLINED


@pytest.mark.parametrize(("at", "code"), [(LISTENING - SECOND, InfoCode.PENDING), (LISTENING, InfoCode.NO_ANSWER)])
def test_an_answer_counts_until_the_device_stops_listening(at: timedelta, code: InfoCode) -> None:
    assert answered(a_downlink(), Replies({}, Send(DATA)), at=NOW + at).code is code


@pytest.mark.parametrize(("state", "code"), [(ASKED, InfoCode.NO_ANSWER), (READY, InfoCode.NETWORK_ERROR)])
def test_what_waits_expires(state: DownlinkState, code: InfoCode) -> None:
    assert state in WAITING
    request = a_downlink(state=state, data=DATA)
    assert expired(request) == replace(request, state=ENDED, code=code)


def test_what_waits_is_what_can_expire() -> None:
    assert {state for state, event in DOWNLINK_LIFECYCLE if event == "expired"} == WAITING


def test_what_is_ready_is_served() -> None:
    request = a_downlink(state=READY, data=DATA)
    assert served(request) == replace(request, state=SERVED)


@pytest.mark.parametrize(
    ("requests", "found"),
    [
        ([], None),
        ([(DECLINED, 0), (ENDED, 1)], None),
        ([(ASKED, 5), (SERVED, 1), (READY, 2), (DECLINED, 9)], 2),
        ([(SERVED, 2), (READY, 1)], 0),
        ([(SERVED, 1), (SERVED, 1), (ASKED, 1)], 1),
        ([(ASKED, 1), (ASKED, 3), (ASKED, 2), (ENDED, 4)], 1),
    ],
)
def test_a_report_is_about_the_newest_that_it_can_be_about(
    requests: Sequence[tuple[DownlinkState, int]], found: int | None
) -> None:
    given = [
        a_downlink(a_message(number), state=state, asked_at=NOW + age * SECOND)
        for number, (state, age) in enumerate(requests)
    ]
    assert reported_on(given) is (None if found is None else given[found])


def test_a_result_is_told_under_the_message_that_asked() -> None:
    request = a_downlink()
    assert result_alarm(request, at=NOW) == Alarm(AlarmKind.RESULT, request.message, "1C178", "tracker", NOW)
