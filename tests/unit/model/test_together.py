"""What a device type and its callbacks have to agree on, as tables: contents → findings."""

from typing import Any

import pytest

from reconciler.diagnostics import Severity
from reconciler.model.definition import Content, check_together
from reconciler.model.resource import CallbackType, Key

TRACKER = Key("tracker")
CALLBACK_MODE: Content = {"downlink": {"mode": "callback"}}


def bidir(**fields: Any) -> Content:
    return {"type": "data/bidir", "channel": "url", "url": "https://example.com/", **fields}


SELECTED, OTHER = bidir(downlinkHook=True), bidir()
ALARM: Content = {"type": "error", "channel": "url", "url": "https://example.com/"}


def found(device_type: Content, **callbacks: Content) -> list[tuple[str, str, tuple[str, ...]]]:
    contents = {TRACKER: device_type, **{Key("tracker", name): content for name, content in callbacks.items()}}
    return [(each.finding.code, each.key.callback, each.finding.path) for each in check_together(TRACKER, contents)]


NONE_SELECTED = ("downlink-callback-missing", "", ("downlink", "mode"))


class TestWhoAnswers:
    @pytest.mark.parametrize("content", [SELECTED, bidir(downlinkHook=True, channel="batch-url")])
    def test_one_that_is_selected_is_what_mode_callback_needs(self, content: Content) -> None:
        assert found(CALLBACK_MODE, a=content, b=OTHER) == []

    @pytest.mark.parametrize(
        "callbacks",
        [
            {},
            {"a": OTHER, "b": OTHER},
            {"a": bidir(downlinkHook=True, enabled=False), "b": OTHER},
            {"a": {"type": "data/uplink", "channel": "url"}},
            {"a": bidir(channel="email")},
        ],
    )
    def test_mode_callback_without_one_that_is_enabled_and_selected_is_a_warning(
        self, callbacks: dict[str, Content]
    ) -> None:
        assert found(CALLBACK_MODE, **callbacks) == [NONE_SELECTED]

    def test_every_further_selection_is_an_error_whether_enabled_or_not(self) -> None:
        off = bidir(downlinkHook=True, enabled=False)
        assert found(CALLBACK_MODE, a=off, b=SELECTED, c=off, d=OTHER) == [
            ("downlink-hook-twice", "b", ("downlinkHook",)),
            ("downlink-hook-twice", "c", ("downlinkHook",)),
        ]

    @pytest.mark.parametrize("content", [{**ALARM, "downlinkHook": True}, bidir(downlinkHook=True, channel="email")])
    def test_a_selection_that_has_an_error_of_its_own_says_what_was_meant(self, content: Content) -> None:
        device_type = {**CALLBACK_MODE, "keepAlive": 7200}
        assert found(device_type, a=content) == []
        assert found(device_type, a=content, b=SELECTED) == []

    @pytest.mark.parametrize(
        "downlink", [None, {"mode": "none"}, {"mode": "direct", "data": "00"}, {"mode": "managed"}]
    )
    def test_a_selection_in_another_mode_is_a_warning_unless_disabled(self, downlink: Any) -> None:
        device_type = {} if downlink is None else {"downlink": downlink}
        assert found(device_type, a=SELECTED, b=OTHER) == [("downlink-hook-unused", "a", ("downlinkHook",))]
        assert found(device_type, a=bidir(downlinkHook=True, enabled=False), b=OTHER) == []


class TestSilence:
    def test_error_callbacks_need_a_keep_alive(self) -> None:
        warning = ("error-without-keep-alive", "a", ("type",))
        assert found({}, a=ALARM, b={**ALARM, "enabled": False}) == [warning]
        assert found({"keepAlive": 0}, a=ALARM) == [warning]
        assert found({"keepAlive": 1800}, a=ALARM) == []

    @pytest.mark.parametrize("callback_type", [each for each in CallbackType if each is not CallbackType.ERROR])
    def test_others_do_not(self, callback_type: CallbackType) -> None:
        assert found({}, a={**ALARM, "type": str(callback_type)}) == []


def test_only_two_answers_are_an_error() -> None:
    contents = {TRACKER: {}, Key("tracker", "a"): SELECTED, Key("tracker", "b"): SELECTED, Key("tracker", "c"): ALARM}
    severities = {each.finding.code: each.finding.severity for each in check_together(TRACKER, contents)}
    assert severities == {
        "downlink-hook-twice": Severity.ERROR,
        "downlink-hook-unused": Severity.WARNING,
        "error-without-keep-alive": Severity.WARNING,
    }


def test_other_device_types_have_no_part_in_it() -> None:
    contents = {TRACKER: CALLBACK_MODE, Key("tracker", "a"): SELECTED, Key("meter", "a"): SELECTED}
    assert [*check_together(TRACKER, contents)] == []


def test_the_other_definition_is_named() -> None:
    contents = {TRACKER: CALLBACK_MODE, Key("tracker", "a"): SELECTED, Key("tracker", "b"): SELECTED}
    (twice,) = check_together(TRACKER, contents)
    (other,) = twice.others
    assert (twice.key.callback, other.key.callback, other.path) == ("b", "a", ("downlinkHook",))
    (nobody,) = check_together(
        TRACKER, {TRACKER: CALLBACK_MODE, Key("tracker", "a"): OTHER, Key("tracker", "b"): OTHER}
    )
    assert [place.key.callback for place in nobody.others] == ["a", "b"]


def test_what_to_do_depends_on_what_is_there() -> None:
    def help(**callbacks: Content) -> str:
        contents = {TRACKER: CALLBACK_MODE, **{Key("tracker", name): each for name, each in callbacks.items()}}
        (joint,) = check_together(TRACKER, contents)
        return joint.finding.help

    assert help().startswith("Add a callback of type data/bidir")
    assert help(a=OTHER).startswith("Select a:")
    assert help(a=OTHER, b=OTHER).startswith("Select one of them, for example a:")
    assert help(a=OTHER, b=bidir(downlinkHook=True, enabled=False)) == "Enable b, or choose another mode."
