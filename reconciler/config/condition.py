"""What a policy says a value has to be.

A condition is a text with wildcards, a number, true or false, or a comparison: a mapping of `regex`, `in`, `present`,
`min` and `max`, all of which have to hold.

1. In a text `*` stands for any characters, also none, and `?` for one; everything else stands for itself, and a text
   without either has to be equal. Letters count with their case, but not in a host.
2. A policy is judged on texts that others wrote, so its cost must not depend on what they wrote. Patterns are run by
   pydantic's engine, whose time grows with the length of the text and never explodes; therefore no look-around and no
   back references. `re` has both, and takes years for `(a+)+b` and forty letters.
3. A regular expression has at most 500 characters and is tried on at most 8,192. Of a longer text it is not known
   whether it fits: the answer is None, and nobody may escape a policy by it.
4. A condition that cannot hold for any value of its field is a mistake of its author, and reported.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Final, TypeAlias

from pydantic_core import SchemaError, SchemaValidator, core_schema

from reconciler.config.document import COMPARISONS, DURATION_PATTERN, duration
from reconciler.config.field import Field
from reconciler.config.place import Plain, Steps
from reconciler.model.definition import JsonValue

__all__ = ["LONGEST_PATTERN", "LONGEST_TEXT", "Condition", "Mistake", "Test", "condition", "glob"]

LONGEST_PATTERN: Final = 500
LONGEST_TEXT: Final = 8192
"""Characters of a regular expression, and of a text that it is tried on."""

LONGEST_LIST: Final = 50_000
"""Characters of all texts that a value may be one of: more would make a pattern that takes long to prepare."""

Test: TypeAlias = Callable[[JsonValue], bool | None]
"""Whether a value fits; None when that is not known."""

_WILDCARD = re.compile(r"([*?])")
_CARETS = re.compile(r"^ {4}( *)(\^+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Condition:
    """What a value has to be; `words` go on after “has to”: “be https”."""

    words: str
    fits: Test


@dataclass(frozen=True, slots=True)
class Mistake:
    """Why something cannot be a condition.

    `steps` lead to the place within it; `offset` and `length` mark characters of the text there, None for all of it.
    """

    code: str
    detail: str
    help: str = ""
    steps: Steps = ()
    offset: int | None = None
    length: int = 1


def condition(given: Plain, field: Field) -> Condition | tuple[Mistake, ...]:
    """The condition that something stands for, given that it has the right shape; else all that is wrong with it."""
    if not isinstance(given, dict):
        return _simple(given, field)
    parts: list[Condition] = []
    mistakes: list[Mistake] = []
    for name, value in given.items():
        part = _comparison(name, value, field)
        if isinstance(part, Condition):
            parts.append(part)
        else:
            mistakes += (_within(name, each) for each in part)
    if not given:
        names = ", ".join(COMPARISONS)
        mistakes.append(Mistake("bad-policy", f"The comparison with {field.name} is empty. It is made of {names}."))
    if {"min", "max"} <= given.keys() and not mistakes:
        low, high = (_quantity(given[name], field) for name in ("min", "max"))
        if low is not None and high is not None and low > high:
            detail = f"No {field.name} is at least {given['min']} and at most {given['max']}."
            mistakes.append(Mistake("bad-policy", detail, steps=("max",)))
    if mistakes:
        return tuple(mistakes)
    return parts[0] if len(parts) == 1 else Condition(" and ".join(part.words for part in parts), _all_of(parts))


def _within(step: str | int, mistake: Mistake) -> Mistake:
    return Mistake(mistake.code, mistake.detail, mistake.help, (step, *mistake.steps), mistake.offset, mistake.length)


def _all_of(parts: Sequence[Condition]) -> Test:
    tests = [part.fits for part in parts]

    def fits(value: JsonValue) -> bool | None:
        answers = [test(value) for test in tests]
        return False if False in answers else None if None in answers else True

    return fits


# Texts, numbers, true and false


def _simple(given: Plain, field: Field) -> Condition | tuple[Mistake, ...]:
    match field.sort:
        case "text" | "texts" if isinstance(given, str):
            return _text(given, field)
        case "flag" if isinstance(given, bool):
            return Condition(f"be {str(given).lower()}", lambda value: value is given)
        case "number" | "duration":
            wanted = _quantity(given, field)
            if wanted is not None:
                return Condition(f"be {given}", lambda value: value == wanted)
        case _:
            pass
    return (_wrong_sort(given, field),)


def _text(given: str, field: Field) -> Condition | tuple[Mistake, ...]:
    wild = _WILDCARD.search(given) is not None
    if wild and len(given) > LONGEST_PATTERN:
        detail = f"It has {len(given)} characters; a text with wildcards may have {LONGEST_PATTERN}."
        return (Mistake("bad-policy", detail),)
    fits = glob(_spelt(given, field))
    if field.words and not any(map(fits, field.words)):
        near = get_close_matches(given, field.words, n=1)
        help = f"Did you mean {near[0]}?" if near else ""
        return (Mistake("bad-policy", f"No {field.name} is {_quoted(given)}: it is {_or(field.words)}.", help),)
    return Condition(f"{'fit' if wild else 'be'} {_quoted(given)}", fits)


def _spelt(given: str, field: Field) -> str:
    return given.lower() if field.name == "host" else given


def glob(*texts: str) -> Callable[[JsonValue], bool]:
    """What tells whether a value is a text that fits one of these, `*` and `?` standing for other characters."""
    if len(texts) == 1 and not _WILDCARD.search(texts[0]):
        (text,) = texts
        return lambda value: value == text
    wild = {"*": ".*", "?": "."}
    pattern = "|".join("".join(wild.get(piece, re.escape(piece)) for piece in _WILDCARD.split(text)) for text in texts)
    return SchemaValidator(core_schema.str_schema(pattern=rf"(?s)\A(?:{pattern})\z")).isinstance_python


def _quantity(given: Plain, field: Field) -> int | float | None:
    """A number, or the seconds of a duration; None for what is neither."""
    if isinstance(given, bool):
        return None
    if field.sort == "duration":
        if given == 0 or (isinstance(given, str) and re.fullmatch(DURATION_PATTERN, given)):
            return int(duration(given).total_seconds()) if isinstance(given, (str, int)) else None
        return None
    return given if isinstance(given, (int, float)) and isfinite(given) else None


_TAKES: Final[Mapping[str, str]] = {
    "text": "a text, such as one with * for any characters",
    "texts": "a text, such as one with * for any characters",
    "flag": "true or false",
    "number": "a number",
    "duration": "a duration such as 30m, or 0",
    "mapping": "{present: true} or {present: false}",
}


def _wrong_sort(given: object, field: Field) -> Mistake:
    detail = f"{field.name} is compared with {_TAKES[field.sort]}, and not with {_shown(given)}."
    quotable = field.sort in ("text", "texts") and isinstance(given, (bool, int, float))
    help = "Put it in quotes to make it a text." if quotable else ""
    if field.sort == "flag":
        help = "In YAML 1.2 these are written true and false, without quotes."
    if field.sort == "mapping":
        help = f"One of them is named {field.name}.NAME."
    return Mistake("bad-policy", detail, help)


# Comparisons

_COMPARABLE: Final[Mapping[str, frozenset[str]]] = {
    "regex": frozenset({"text", "texts"}),
    "in": frozenset({"text", "texts", "number", "duration"}),
    "present": frozenset({"text", "texts", "duration", "mapping"}),
    "min": frozenset({"number", "duration"}),
    "max": frozenset({"number", "duration"}),
}
"""Which sorts of values a comparison is for."""


def _comparison(name: str, given: Plain, field: Field) -> Condition | tuple[Mistake, ...]:
    if field.sort not in _COMPARABLE[name]:
        detail = f"{name} does not go with {field.name}, which is compared with {_TAKES[field.sort]}."
        return (Mistake("bad-policy", detail),)
    match name, given:
        case "regex", str():
            return _regex(given, field)
        case "in", list():
            return _one_of(given, field)
        case "present", bool():
            return _present(field, wanted=given)
        case _:
            return _bound(name, given, field)


def _regex(pattern: str, field: Field) -> Condition | tuple[Mistake, ...]:
    if len(pattern) > LONGEST_PATTERN:
        detail = f"It has {len(pattern)} characters, and may have {LONGEST_PATTERN}."
        return (Mistake("bad-regular-expression", detail, "Split it into several policies, or use `in`."),)
    try:
        matches = SchemaValidator(core_schema.str_schema(pattern=pattern)).isinstance_python
    except SchemaError as error:
        return (_not_a_pattern(pattern, str(error)),)
    if field.words and not any(map(matches, field.words)):
        return (Mistake("bad-policy", f"It matches no {field.name}: that is {_or(field.words)}."),)

    def fits(value: JsonValue) -> bool | None:
        return None if isinstance(value, str) and len(value) > LONGEST_TEXT else matches(value)

    return Condition(f"match the regular expression {pattern}", fits)


def _not_a_pattern(pattern: str, said: str) -> Mistake:
    reason = said.rpartition("error: ")[2].rpartition("SchemaError: ")[2].strip().rstrip(".")
    carets = _CARETS.search(said) if pattern.isprintable() else None
    offset, length = (len(carets[1]), len(carets[2])) if carets else (None, 1)
    detail = f"It cannot be read: {reason}."
    help = ""
    if "not supported" in reason:
        help = "Say it by two policies, or by require and forbid: their time has to be bounded, whatever the text is."
    return Mistake("bad-regular-expression", detail, help, offset=offset, length=length)


def _one_of(given: Sequence[Plain], field: Field) -> Condition | tuple[Mistake, ...]:
    parts = [_simple(each, field) for each in given]
    mistakes = [_within(index, each) for index, part in enumerate(parts) if isinstance(part, tuple) for each in part]
    if mistakes:
        return tuple(mistakes)
    if sum(len(each) for each in given if isinstance(each, str)) > LONGEST_LIST:
        return (Mistake("bad-policy", f"The texts are longer than {LONGEST_LIST} characters together."),)
    words = f"be one of {_or([_shown(each) for each in given])}"
    if field.sort in ("text", "texts"):
        return Condition(words, glob(*(_spelt(str(each), field) for each in given)))
    quantities = [_quantity(each, field) for each in given]
    return Condition(words, lambda value: value in quantities)


def _present(field: Field, *, wanted: bool) -> Condition:
    # An empty text, list or mapping, and a keep-alive of 0, are what stands for nothing.
    words = "be there" if wanted else "be left out"
    return Condition(words, lambda value: bool(value) is wanted)


def _bound(name: str, given: Plain, field: Field) -> Condition | tuple[Mistake, ...]:
    bound = _quantity(given, field)
    if bound is None:
        return (_wrong_sort(given, field),)
    if name == "min":
        return Condition(f"be at least {given}", lambda value: isinstance(value, (int, float)) and value >= bound)
    return Condition(f"be at most {given}", lambda value: isinstance(value, (int, float)) and value <= bound)


# Words


def _quoted(text: str) -> str:
    return f"“{text}”" if text else "empty"


def _shown(given: object) -> str:
    match given:
        case bool():
            return str(given).lower()
        case str():
            return _quoted(given)
        case int() | float():
            return str(given)
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return "nothing"


def _or(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last
