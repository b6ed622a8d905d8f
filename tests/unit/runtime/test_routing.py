"""Which callbacks a message fires, and what else it sets going (`callbacks.md` sections 1, 2.6, 5, 6 and 7)."""

from datetime import timedelta
from typing import Any

import pytest

from reconciler.codec.canonical import define
from reconciler.errors import StoreError
from reconciler.model.alarm import GATHERING, Alarm, AlarmKind
from reconciler.model.definition import Content
from reconciler.model.delivery import Delivery, HttpRequest
from reconciler.model.downlink import LISTENING, Downlink, DownlinkState, InfoCode
from reconciler.model.message import Message
from reconciler.model.resource import CallbackType, Key
from reconciler.model.revision import EMPTY, Revision
from reconciler.runtime.routing import Router
from tests.builders import a_revision
from tests.unit.runtime.routing_rig import NOW, OTHERS, a_route, content, deliveries, message, revision

FIRED = {
    "data": ["data/bidir", "data/uplink"],
    "status": ["service/status"],
    "geoloc": ["service/geoloc"],
    "acknowledge": ["service/acknowledge"],
    "repeater": ["service/repeater"],
    "data-advanced": ["service/data-advanced"],
    "error": ["error"],
}


def get(**fields: Any) -> Content:
    return content(method="GET", **fields)


def name_of(callback_type: str) -> str:
    return callback_type.replace("/", "-")


ONE_OF_EACH = {name_of(each): get(type=str(each)) for each in CallbackType}


def fired(made: tuple[Delivery, ...]) -> list[str]:
    return [each.callback.callback for each in made]


def targets(made: tuple[Delivery, ...]) -> list[object]:
    return [each.request.target for each in made if isinstance(each.request, HttpRequest)]


# Deliveries


@pytest.mark.parametrize("kind", FIRED)
def test_an_event_fires_the_callbacks_of_its_type_and_no_other(kind: str) -> None:
    assert fired(deliveries(message(kind), **ONE_OF_EACH)) == [name_of(each) for each in FIRED[kind]]


def test_every_enabled_callback_fires_in_the_order_of_names() -> None:
    made = deliveries(
        message(),
        zebra=get(url="http://z.example:8080/"),
        apple=get(),
        sleeping=get(enabled=False),
    )

    assert [(str(d.callback), d.id.ordinal, d.endpoint) for d in made] == [
        ("tracker/apple", 0, "http://a.example:80"),
        ("tracker/zebra", 1, "http://z.example:8080"),
    ]
    assert {d.revision for d in made} == {1}
    assert {d.due_at for d in made} == {NOW}


def test_a_payload_that_is_too_short_gives_null_and_a_warning() -> None:
    url, payload = "http://a.example/{customData#hi}/{customData#lo}", "hi::uint:8 lo::uint:8"
    made = deliveries(message(data="1e"), one=get(url=url, payload=payload), two=get(url=url, payload=payload))

    assert targets(made) == ["/30/null", "/30/null"]
    assert [each.warnings for each in made] == [
        ("The field lo does not fit the payload of 1 byte; the payload config needs 2. It is null.",)
    ] * 2


def test_callbacks_with_payload_configs_of_their_own_see_their_own_fields() -> None:
    url = "http://a.example/{customData#a}"
    made = deliveries(message(), first=get(url=url, payload="a::uint:8"), second=get(url=url, payload="a:1:uint:8"))

    assert targets(made) == ["/30", "/45"]


@pytest.mark.parametrize(("device_type", "known"), [("tracker", True), ("stranger", False)])
@pytest.mark.parametrize("kind", FIRED)
def test_without_callbacks_there_is_nothing_to_deliver(kind: str, device_type: str, known: bool) -> None:
    route = a_route(message(kind, deviceType=device_type))

    assert (route.deliveries, route.again, route.alarms, route.downlink) == ((), (), (), None)
    assert route.device_type_known is known


def test_the_empty_revision_knows_no_device_type() -> None:
    router = Router.compile(EMPTY)

    assert not router.route(message(), now=NOW).device_type_known
    assert router.device_type("tracker") is None


def test_an_ordered_callback_makes_ordered_deliveries_of_further_receptions_too() -> None:
    url = "http://a.example/{duplicate}"
    route = a_route(message(), any=get(url=url), row=get(url=url, ordered=True, sendDuplicates=True))

    assert [(d.callback.callback, d.ordered) for d in route.deliveries] == [("any", False), ("row", True)]
    assert [(d.callback.callback, d.ordered) for d in route.again] == [("row", True)]


# Further receptions


def test_a_further_reception_fires_the_callbacks_that_want_it() -> None:
    url = "http://a.example/{station}/{duplicate}"
    route = a_route(
        message(),
        alone=get(url=url),
        bidir=get(type="data/bidir", url=url, sendDuplicates=True),
        every=get(url=url, sendDuplicates=True),
        sleeping=get(url=url, sendDuplicates=True, enabled=False),
    )

    assert [(d.callback.callback, d.id.ordinal) for d in route.deliveries] == [("alone", 0), ("bidir", 1), ("every", 2)]
    assert targets(route.deliveries) == ["/0AF0/false"] * 3
    assert [(d.callback.callback, d.id.ordinal) for d in route.again] == [("bidir", 0), ("every", 1)]
    assert targets(route.again) == ["/0AF0/true"] * 2
    assert {d.id.message for d in route.again} == {message().id}


def test_without_a_station_there_are_no_further_receptions() -> None:
    route = a_route(message(station=None), every=get(sendDuplicates=True))

    assert len(route.deliveries) == 1
    assert route.again == ()


def test_nobody_waits_for_the_answer_to_a_further_reception() -> None:
    route = a_route(message(ack=True), CALLBACK, downlink=bidir(downlinkHook=True, sendDuplicates=True))

    assert [d.asks for d in route.deliveries] == [True]
    assert [d.asks for d in route.again] == [False]


# Downlinks

CALLBACK: Content = {"downlink": {"mode": "callback"}}
DIRECT: Content = {"downlink": {"mode": "direct", "data": "{time}0000{rssi}"}}


def bidir(**fields: Any) -> Content:
    return get(type="data/bidir", **fields)


def a_downlink(sent: Message, state: DownlinkState, **fields: Any) -> Downlink:
    return Downlink(
        message=sent.id,
        device="1C178",
        device_type="tracker",
        asked_at=NOW,
        expires_at=NOW + LISTENING,
        state=state,
        **fields,
    )


def test_a_device_that_asks_is_answered_by_the_selected_callback() -> None:
    sent = message(ack=True)
    route = a_route(sent, CALLBACK, a=bidir(), b=bidir(downlinkHook=True), c=get())

    assert route.downlink == a_downlink(sent, DownlinkState.ASKED)
    assert [(d.callback.callback, d.asks) for d in route.deliveries] == [("a", False), ("b", True), ("c", False)]


def test_a_batch_line_can_ask() -> None:
    selected = bidir(channel="batch-url", url="http://a.example/?l={batch}", linePattern="{device}", downlinkHook=True)

    assert [d.asks for d in a_route(message(ack=True), CALLBACK, log=selected).deliveries] == [True]


@pytest.mark.parametrize(
    "callbacks",
    [
        {},
        {"unselected": bidir()},
        {"disabled": bidir(downlinkHook=True, enabled=False)},
        {"mail": {"type": "data/bidir", "channel": "email", "recipient": "a@example.com", "subject": "{device}"}},
    ],
    ids=["none", "unselected", "disabled", "mail"],
)
def test_a_device_that_asks_where_nobody_is_selected_gets_an_error(callbacks: dict[str, Content]) -> None:
    sent = message(ack=True)
    route = a_route(sent, CALLBACK, **callbacks)

    assert route.downlink == a_downlink(sent, DownlinkState.ENDED, code=InfoCode.INVALID_CONFIGURATION)
    assert not any(d.asks for d in route.deliveries)


def test_in_mode_direct_the_answer_is_known_at_once() -> None:
    sent = message(ack=True, rssi=-135)
    route = a_route(sent, DIRECT, hook=bidir(downlinkHook=True))

    data = (1471594359).to_bytes(4, "big") + bytes(2) + (-135).to_bytes(2, "big", signed=True)
    assert route.downlink == a_downlink(sent, DownlinkState.READY, data=data)
    assert [d.asks for d in route.deliveries] == [False]


@pytest.mark.parametrize("mode", ["none", "managed"])
def test_other_modes_answer_nobody(mode: str) -> None:
    route = a_route(message(ack=True), {"downlink": {"mode": mode}}, hook=bidir(downlinkHook=True))

    assert route.downlink is None
    assert [d.asks for d in route.deliveries] == [False]


@pytest.mark.parametrize("ack", [None, False])
@pytest.mark.parametrize("device_type", [CALLBACK, DIRECT], ids=["callback", "direct"])
def test_a_device_that_does_not_ask_makes_no_request(device_type: Content, ack: bool | None) -> None:
    route = a_route(message(ack=ack), device_type, hook=bidir(downlinkHook=True))

    assert route.downlink is None
    assert [d.asks for d in route.deliveries] == [False]


def test_only_data_asks() -> None:
    for kind in OTHERS:
        assert a_route(message(kind), DIRECT, **ONE_OF_EACH).downlink is None


@pytest.mark.parametrize("code", [code for code in InfoCode if code is not InfoCode.PENDING])
@pytest.mark.parametrize("device_type", ["tracker", "stranger"])
@pytest.mark.parametrize("callbacks", [{}, ONE_OF_EACH], ids=["none", "all"])
def test_an_acknowledge_reports_its_result(code: InfoCode, device_type: str, callbacks: dict[str, Content]) -> None:
    sent = message("acknowledge", infoCode=int(code), deviceType=device_type)

    assert a_route(sent, **callbacks).reported is code


@pytest.mark.parametrize("code", [None, int(InfoCode.PENDING), 9, -1, "0", 0.5])
def test_a_result_that_is_none_reports_nothing(code: Any) -> None:
    sent = message("acknowledge")
    strange = Message(
        id=sent.id,
        type=sent.type,
        device=sent.device,
        device_type=sent.device_type,
        time=sent.time,
        sequence_number=None,
        data=b"",
        received_at=NOW,
        metadata={} if code is None else {"infoCode": code},
    )

    assert a_route(strange).reported is None


def test_only_an_acknowledge_reports() -> None:
    assert {kind for kind in FIRED if a_route(message(kind), **ONE_OF_EACH).reported is not None} == {"acknowledge"}


# Alarms

ADVANCED = get(type="service/data-advanced")


def gathered(sent: Message) -> Alarm:
    return Alarm(AlarmKind.GATHERED, sent.event, "1C178", "tracker", NOW + GATHERING)


def silent(after: timedelta) -> Alarm:
    return Alarm(AlarmKind.SILENCE, "1C178", "1C178", "tracker", NOW + after)


def test_receptions_are_gathered_for_data_advanced() -> None:
    route = a_route(message(), advanced=ADVANCED)

    assert (route.deliveries, route.alarms) == ((), (gathered(message()),))


@pytest.mark.parametrize("kind", OTHERS)
def test_only_those_of_data_are_gathered(kind: str) -> None:
    assert a_route(message(kind), advanced=ADVANCED).alarms == ()


def test_nothing_is_gathered_for_a_disabled_callback_nor_for_who_gathers_himself() -> None:
    assert a_route(message(), advanced=get(type="service/data-advanced", enabled=False)).alarms == ()
    router = Router.compile(revision(advanced=ADVANCED))
    assert router.route(message(), now=NOW, gather=False).alarms == ()


@pytest.mark.parametrize("kind", FIRED)
@pytest.mark.parametrize("gather", [True, False])
def test_what_a_device_transmits_itself_begins_its_silence(kind: str, gather: bool) -> None:
    route = Router.compile(revision({"keepAlive": 7200})).route(message(kind), now=NOW, gather=gather)

    assert route.alarms == ((silent(timedelta(hours=2)),) if kind in {"data", "status", "repeater"} else ())


def test_a_message_may_set_several_alarms() -> None:
    route = a_route(message(), {"keepAlive": 1800}, advanced=ADVANCED)

    assert route.alarms == (gathered(message()), silent(timedelta(minutes=30)))


# Revisions


def test_a_new_router_delivers_by_the_new_definitions_and_the_old_one_by_the_old() -> None:
    first = revision(same=get(), hook=get(url="http://a.example/old"))
    old = Router.compile(first)
    changed = {"same": get(), "hook": get(url="http://a.example/new")}
    definitions = [define(Key("tracker", name), each) for name, each in changed.items()]
    second = a_revision([define(Key("tracker"), {}), *definitions], after=first)
    new = Router.compile(second, known=old)

    def sent(router: Router) -> list[tuple[int, object]]:
        made = router.route(message(), now=NOW).deliveries
        return list(zip([d.revision for d in made], targets(made), strict=True))

    assert sent(old) == [(1, "/old"), (1, "/")]
    assert sent(new) == [(2, "/new"), (2, "/")]


def test_what_a_router_takes_over_makes_no_difference() -> None:
    before = Router.compile(revision(CALLBACK, a=bidir(downlinkHook=True), b=get(), gone=get()))
    for changed in (
        revision(CALLBACK, a=bidir(downlinkHook=True), b=get(), gone=get()),
        revision(DIRECT, a=bidir(downlinkHook=True), b=get()),
        revision({"keepAlive": 1800}, b=get(enabled=False), new=ADVANCED),
        EMPTY,
    ):
        sent = message(ack=True)
        afresh, taken_over = Router.compile(changed), Router.compile(changed, known=before)
        assert taken_over.route(sent, now=NOW) == afresh.route(sent, now=NOW)
        assert taken_over.explain(sent) == afresh.explain(sent)
        assert taken_over.device_type("tracker") == afresh.device_type("tracker")


def test_device_types_are_known_by_name() -> None:
    router = Router.compile(revision({"keepAlive": 7200, "description": "Pallets"}))
    found = router.device_type("tracker")

    assert found is not None
    assert (found.key, found.keep_alive, found.description) == (Key("tracker"), timedelta(hours=2), "Pallets")
    assert router.device_type("stranger") is None


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (revision(hook=content(url="nowhere")), "tracker/hook, as stored, breaks a rule"),
        (revision({"keepAlive": 5}), "tracker, as stored, breaks a rule"),
        # Not the warning that comes first: a field beyond any uplink
        (revision(hook=content(url="nowhere", payload="v:40:uint:8")), "breaks a rule: .*http:// or https://"),
    ],
)
def test_a_definition_that_was_broken_in_the_store_is_named(broken: Revision, named: str) -> None:
    with pytest.raises(StoreError, match=named):
        Router.compile(broken)


# Explanations


def explained(sent: Message, *, again: bool = False, **callbacks: Content) -> list[tuple[str, bool, str, list[int]]]:
    explanation = Router.compile(revision(**callbacks)).explain(sent, again=again)
    assert explanation.device_type_known
    assert explanation.revision == 1
    assert {each.message for match in explanation.matches for each in match.deliveries} <= {sent.id}
    return [(m.callback.callback, m.matched, m.reason, [d.ordinal for d in m.deliveries]) for m in explanation.matches]


MAIL: Content = {"type": "data/uplink", "channel": "email", "recipient": "a@example.com,b@example.com", "subject": "x"}


def test_an_explanation_says_of_each_callback_why_it_fired_or_not() -> None:
    assert explained(
        message(), bidir=bidir(), mail=MAIL, off=get(enabled=False), other=get(type="service/status"), plain=get()
    ) == [
        ("bidir", True, "It fires on data/bidir, was enabled, and belongs to the device type.", [0]),
        ("mail", True, "It fires on data/uplink, was enabled, and belongs to the device type.", [1, 2]),
        ("off", False, "It was disabled in revision 1.", []),
        ("other", False, "It fires on service/status, and this is a message of type data.", []),
        ("plain", True, "It fires on data/uplink, was enabled, and belongs to the device type.", [3]),
    ]


def test_an_explanation_of_a_further_reception_says_who_wanted_it() -> None:
    assert explained(
        message(),
        again=True,
        alone=get(),
        every=get(sendDuplicates=True),
        other=get(type="error", sendDuplicates=True),
    ) == [
        (
            "alone",
            False,
            "This is a further reception of a message that was known before, and the callback does not ask for those "
            "(sendDuplicates).",
            [],
        ),
        ("every", True, "It fires on data/uplink, was enabled, and asks for every reception (sendDuplicates).", [0]),
        ("other", False, "It fires on error, and this is a message of type data.", []),
    ]


def test_an_explanation_decodes_the_payload_for_what_fired() -> None:
    router = Router.compile(revision(off=get(payload="b::uint:8", enabled=False), on=get(payload="a::uint:8")))
    off, on = router.explain(message()).matches

    assert off.decoded is None
    assert on.decoded is not None
    assert dict(on.decoded.values) == {"a": 30}


def test_an_unknown_device_type_is_all_that_there_is_to_explain() -> None:
    explanation = Router.compile(revision(hook=get())).explain(message(deviceType="stranger"))

    assert (explanation.device_type_known, explanation.matches) == (False, ())
