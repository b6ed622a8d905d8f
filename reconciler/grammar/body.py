"""Request bodies whose template has to keep a shape: JSON and form (`callbacks.md` section 4.1).

1. A JSON body is valid JSON once its variables stand for values. A variable inside a string literal is escaped as part
   of that literal, elsewhere it becomes a JSON value; a value cannot be the key of a member. Duplicate keys are the
   author's business. NaN and infinity, which Python's reader takes, are not JSON.
2. A form body looks like `a={x}&b={y}` or is empty. Values stand behind the equals sign only, so that no message can
   name a field. Characters that a form cannot hold are percent-encoded where the author wrote them.
"""

import json
import re

from reconciler.errors import GrammarError
from reconciler.grammar.escape import CONTROL, Context, literal_in_query
from reconciler.grammar.template import Reference, Template, scan, segments, with_stand_ins

__all__ = ["parse_form_body", "parse_json_body"]

# What decides whether a place (blanked out by a NUL) is inside a string literal, and the words that Python's reader
# takes for numbers, alone among its kind.
_TOKEN = re.compile(r'\\.|"|\x00|NaN|Infinity', re.DOTALL)


def parse_json_body(text: str) -> Template:
    """A body of JSON.

    Raises:
        GrammarError: `template-invalid-json` at the place where reading stopped, or what `scan` raises.
    """
    references = scan(text)
    quoted = _offsets_in_strings(text, references)
    _check_json(text, references, quoted)

    def context(reference: Reference) -> Context:
        return Context.JSON_STRING if reference.start in quoted else Context.JSON_VALUE

    return Template(text, segments(text, references, context=context))


def _offsets_in_strings(text: str, references: tuple[Reference, ...]) -> frozenset[int]:
    """Where the references begin that stand inside a string literal."""
    inside = False
    offsets: set[int] = set()
    for token in _TOKEN.finditer(with_stand_ins(text, references, lambda reference: "\0".ljust(reference.length))):
        match token[0]:
            case '"':
                inside = not inside
            case "\0" if inside:
                offsets.add(token.start())
            case "NaN" | "Infinity" if not inside:
                raise _invalid(text, token.start(), f"{token[0]} is not a JSON number")
            case _:
                pass
    return frozenset(offsets)


def _check_json(text: str, references: tuple[Reference, ...], quoted: frozenset[int]) -> None:
    """Reads the text with stand-ins of the same length, so that offsets stay true.

    Outside of literals the stand-in is an array: unlike a number it cannot merge with the digits beside it, and unlike
    a string it cannot be a key.
    """

    def stand_in(reference: Reference) -> str:
        return "x" * reference.length if reference.start in quoted else "[]".ljust(reference.length)

    try:
        # Numbers stay text: converting a very long one is costly, and Python refuses it.
        json.loads(with_stand_ins(text, references, stand_in), parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        words = re.sub(r" at$", " here", error.msg)
        raise _invalid(text, error.pos, words[:1].lower() + words[1:]) from error
    except RecursionError as error:
        raise _invalid(text, 0, "it is nested too deeply") from error


def _invalid(text: str, offset: int, words: str) -> GrammarError:
    reason = f"The body is not valid JSON once its variables stand for values: {words}."
    return GrammarError("template-invalid-json", text, offset, reason)


def parse_form_body(text: str) -> Template:
    """A body of `application/x-www-form-urlencoded` pairs.

    Raises:
        GrammarError: `template-bad-form-body` or `template-control-character`, or what `scan` raises.
    """
    control = CONTROL.search(text)
    if control:
        reason = "A form body cannot hold line breaks or control characters; a line break is written as %0A."
        raise GrammarError("template-control-character", text, control.start(), reason)
    references = scan(text)
    start = 0
    # Neither '&' nor '=' can occur in the name of a variable or secret, so that the raw text may be cut at them.
    for pair in text.split("&") if text else ():
        _check_pair(text, start, pair)
        start += len(pair) + 1
    return Template(text, segments(text, references, context=Context.FORM, literal=literal_in_query))


def _check_pair(text: str, start: int, pair: str) -> None:
    name, equals, _ = pair.partition("=")
    if not name or not equals:
        reason = "A form body is made of pairs like a={x}&b={y}, each with a name and an equals sign."
        raise GrammarError("template-bad-form-body", text, start, reason, length=len(pair))
    for reference in scan(name):
        reason = "The name in front of an equals sign is fixed; variables and secrets stand behind it."
        offset = start + reference.start
        raise GrammarError("template-bad-form-body", text, offset, reason, length=reference.length)
