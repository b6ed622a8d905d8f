"""Conditions of policies: what fits them, what can never be meant, and that no text makes them slow."""

import pytest

from reconciler.config.condition import LONGEST_PATTERN, LONGEST_TEXT, Condition, Mistake, condition, glob
from reconciler.config.field import Field, field_named
from reconciler.config.place import Plain
from reconciler.model.definition import JsonValue


def field(name: str) -> Field:
    found = field_named(name)
    assert found is not None
    return found


def made(given: Plain, name: str) -> Condition:
    found = condition(given, field(name))
    assert isinstance(found, Condition), found
    return found


def mistakes(given: Plain, name: str) -> tuple[Mistake, ...]:
    found = condition(given, field(name))
    assert not isinstance(found, Condition)
    return found


@pytest.mark.parametrize(
    ("name", "given", "fitting", "others"),
    [
        ("url", "https://a/", ["https://a/"], ["https://A/", "https://a/b", "", None]),
        ("url", "https://*", ["https://", "https://a/b?c"], ["http://a", " https://a", None]),
        ("url", "*/{device}?t=?", ["a/{device}?t=1", "/{device}xt=?"], ["/{device}?t=", "/{devices}?t=1"]),
        ("body", "*a*", ["a", "\na\n", "bab"], ["", "b", "A"]),
        ("body", "a?c", ["abc", "a\nc", "aéc"], ["ac", "abbc"]),
        ("body", "a.c", ["a.c"], ["abc"]),
        ("body", "", [""], ["a", None]),
        (
            "host",
            "*.Example.com",
            ["a.example.com", "a.b.example.com", ".example.com"],
            ["example.com", "xexample.com"],
        ),
        ("host", "[::1]", ["[::1]"], [":", "1"]),
        ("enabled", True, [True], [False, None, 1]),
        ("protect", False, [False], [True, None, 0]),
        ("port", 443, [443], [80, None]),
        ("port", {"in": [443, 8443]}, [443, 8443], [80, None]),
        ("port", {"min": 1024}, [1024, 65535], [1023, None]),
        ("port", {"max": 1023.5}, [1023], [1024, None]),
        ("port", {"min": 2, "max": 3}, [2, 3], [1, 4]),
        ("keepAlive", "2h", [7200], [7199, 0]),
        ("keepAlive", 0, [0], [1800]),
        ("keepAlive", {"min": "30m", "max": "1d"}, [1800, 86_400], [0, 1799, 86_401]),
        ("keepAlive", {"in": [0, "1h"]}, [0, 3600], [60]),
        ("keepAlive", {"present": True}, [1800], [0, None]),
        ("url", {"regex": "^https://"}, ["https://a"], ["http://a", " https://a", None]),
        ("url", {"regex": "[0-9]{3}"}, ["a123b"], ["a12b"]),
        ("url", {"regex": "^a$"}, ["a"], ["a\n", "b\na"]),
        ("channel", {"in": ["url", "batch-*"]}, ["url", "batch-url"], ["email", None]),
        ("host", {"in": ["A.example.com", "*.b.example.com"]}, ["a.example.com", "x.b.example.com"], ["b.example.com"]),
        ("headers.X", {"present": True}, ["a"], ["", None]),
        ("headers.X", {"present": False}, ["", None], ["a"]),
        ("headers", {"present": True}, [{"A": "1"}], [{}, None]),
        ("recipient", "*@example.com", ["ops@example.com"], ["ops@example.org"]),
        ("body", {"regex": "a", "present": True}, ["a"], ["b", ""]),
        ("type", {"regex": "^data/", "in": ["data/uplink", "error"]}, ["data/uplink"], ["error", "data/bidir"]),
    ],
)
def test_what_fits(name: str, given: Plain, fitting: list[JsonValue], others: list[JsonValue]) -> None:
    fits = made(given, name).fits
    assert [value for value in fitting if fits(value) is not True] == []
    assert [value for value in others if fits(value) is not False] == []


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("url", "https://*", "fit “https://*”"),
        ("channel", "url", "be “url”"),
        ("body", "", "be empty"),
        ("enabled", True, "be true"),
        ("port", {"min": 1, "max": 2}, "be at least 1 and be at most 2"),
        ("channel", {"in": ["url", "email"]}, "be one of “url” or “email”"),
        ("body", {"present": False}, "be left out"),
        ("url", {"regex": "^a", "present": True}, "match the regular expression ^a and be there"),
    ],
)
def test_how_it_is_told(name: str, given: Plain, words: str) -> None:
    assert made(given, name).words == words


@pytest.mark.parametrize(
    ("name", "given", "steps"),
    [
        ("channel", "mail", ()),
        ("type", "data/*link*s", ()),
        ("method", {"in": ["POST", "PTU", "DEL*"]}, [("in", 1), ("in", 2)]),
        ("scheme", {"regex": "^ftp$"}, ("regex",)),
        ("url", 5, ()),
        ("url", True, ()),
        ("url", {"min": 1}, ("min",)),
        ("url", {"in": ["a", 1]}, ("in", 1)),
        ("enabled", "yes", ()),
        ("enabled", {"present": True}, ("present",)),
        ("enabled", {"in": ["true"]}, ("in",)),
        ("port", "443", ()),
        ("port", True, ()),
        ("port", float("nan"), ()),
        ("port", {"max": float("inf")}, ("max",)),
        ("port", {"regex": "4"}, ("regex",)),
        ("port", {"min": 2, "max": 1}, ("max",)),
        ("keepAlive", 1800, ()),
        ("keepAlive", "2 hours", ()),
        ("keepAlive", {"min": "1h", "max": "30m"}, ("max",)),
        ("keepAlive", {"in": ["30m", 1800]}, ("in", 1)),
        ("headers", "X-A", ()),
        ("headers", {"regex": "X"}, ("regex",)),
        ("body", {}, ()),
        ("body", "*" * (LONGEST_PATTERN + 1), ()),
        ("body", {"in": ["x" * 30_000, "y" * 30_000]}, ("in",)),
    ],
)
def test_what_can_never_be_meant(name: str, given: Plain, steps: object) -> None:
    found = mistakes(given, name)
    assert {each.code for each in found} == {"bad-policy"}
    assert [each.steps for each in found] == (steps if isinstance(steps, list) else [steps])


@pytest.mark.parametrize(
    ("pattern", "offset"),
    [
        ("(a", 0),
        ("a{2,1}", 1),
        ("[z-a]", 1),
        ("a\\", 1),
        ("*", 0),
        ("(?=a)b", 0),
        ("a(?<!b)", 1),
        ("(a)\\1", 3),
        ("\\w{100000}", None),
        ("a" * (LONGEST_PATTERN + 1), None),
        ("a\n(b", None),
    ],
)
def test_patterns_that_cannot_be_used(pattern: str, offset: int | None) -> None:
    (found,) = mistakes({"regex": pattern}, "url")
    assert (found.code, found.steps, found.offset) == ("bad-regular-expression", ("regex",), offset)
    assert "\n" not in found.detail


def test_all_mistakes_are_told() -> None:
    found = mistakes({"regex": "(", "min": 1, "in": [1, 2]}, "url")
    assert [each.steps for each in found] == [("regex",), ("min",), ("in", 0), ("in", 1)]


def test_of_a_longer_text_it_is_not_known_whether_a_pattern_fits() -> None:
    fits = made({"regex": "^a"}, "body").fits
    assert fits("a" * LONGEST_TEXT) is True
    assert fits("a" * (LONGEST_TEXT + 1)) is None
    both = made({"regex": "^a", "present": True}, "body").fits
    assert both("a" * (LONGEST_TEXT + 1)) is None
    assert made({"regex": "^a", "present": False}, "body").fits("a" * (LONGEST_TEXT + 1)) is False
    assert glob("a*")("a" * 1_000_000)


@pytest.mark.parametrize(
    "given",
    [
        {"regex": "^(a+)+$"},
        {"regex": "^(a|a)*$"},
        {"regex": "^(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)[^a!]$"},
        {"regex": "(?:a?){200}a{200}c"},
        "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
    ],
)
def test_no_text_makes_a_condition_explode(given: Plain) -> None:
    # With a backtracking engine each of these would outlast the machine.
    assert made(given, "body").fits("a" * (LONGEST_TEXT - 1) + "!") is False


@pytest.mark.parametrize(
    "text", ["a.b", "a+", "(a", "[a]", "a|b", "^a$", "a\\", "a{2}", " \t\n#-&~", "\u20ac\U0001f600"]
)
def test_in_a_text_everything_but_wildcards_stands_for_itself(text: str) -> None:
    assert glob(text)(text)
    assert glob(f"{text}*")(f"{text}…")
    assert glob(f"?{text}")(f"…{text}")
    assert not glob(f"{text}?")(text)
