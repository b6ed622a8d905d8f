"""What the texts of a definition may hold: templates with the variables that the type offers, and payload configs.

1. A template may name only what its type offers and its payload config declares (`callbacks.md` section 2); anything
   else would be `null` for ever. Every place of a wrong name is reported.
2. `{batch}` is no variable of a message: it stands for the lines in the URL of a batch, and nowhere else (section 4.2).
3. An object variable is ready JSON (section 2.6). Within the quotes of a JSON body, or in the line of a batch, it is
   text that happens to be JSON: allowed, and worth a warning.
4. Parsed texts are kept in a small cache, since callbacks of one device type share most of theirs; but for URLs, which
   they do not share.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias, TypeVar, cast

from reconciler.diagnostics import Severity
from reconciler.errors import GrammarError
from reconciler.grammar.batch_url import BATCH, BatchUrl
from reconciler.grammar.escape import Context
from reconciler.grammar.payload import PayloadConfig
from reconciler.grammar.payload import problems as payload_problems
from reconciler.grammar.template import CUSTOM_DATA, Placeholder, Template
from reconciler.grammar.template import Variable as UsedVariable
from reconciler.grammar.url import UrlTemplate
from reconciler.model.content import Content, JsonValue
from reconciler.model.finding import Finding, finding
from reconciler.model.resource import CallbackType
from reconciler.model.variables import ALL_NAMES, Form, describe, offered, offering, takes_payload

__all__ = ["Scope", "did_you_mean", "parsed", "parsed_payload", "template"]

# callbacks.md section 2.1.
_UPLINK_BYTES: Final = 12

# The object variables of each type, which most have none of.
_OBJECTS: Final[Mapping[CallbackType, frozenset[str]]] = {
    each: frozenset(name for name, variable in offered(each).items() if variable.form is Form.JSON)
    for each in CallbackType
}

# What callbacks differ in.
_OF_ITS_OWN: Final = ("url",)

_Parsed: TypeAlias = Template | UrlTemplate | BatchUrl
_T = TypeVar("_T", Template, UrlTemplate, BatchUrl)
_V = TypeVar("_V", Template, UrlTemplate)


class Scope(NamedTuple):
    """What the templates of a callback may refer to; `broken` when its payload config is not known for its faults."""

    type: CallbackType
    payload: PayloadConfig | None
    broken: bool


def did_you_mean(word: str, known: Sequence[str], *, shape: str = "{}", otherwise: str = "") -> str:
    """The question that proposes the nearest known word, or `otherwise`."""
    near = get_close_matches(word, known, n=1) or [each for each in known if each.lower() == word.lower()]
    return f"Did you mean {shape.format(near[0])}?" if near else otherwise


# Payload configs


def parsed_payload(content: Content) -> tuple[PayloadConfig | None, tuple[Finding, ...]]:
    """The payload config of a content, and what is wrong with it; None for a faulty one and for none."""
    text = content.get("payload")
    return _parsed_payload(text) if isinstance(text, str) else (None, ())


@lru_cache(maxsize=1024)
def _parsed_payload(text: str) -> tuple[PayloadConfig | None, tuple[Finding, ...]]:
    errors = payload_problems(text)
    if errors:
        return None, tuple(_broken_grammar(("payload",), error) for error in errors)
    config = PayloadConfig.parse(text)
    return config, tuple(_beyond_uplink(config))


def _beyond_uplink(config: PayloadConfig) -> Iterator[Finding]:
    for name in config.decode(bytes(_UPLINK_BYTES)).missing:
        place = re.search(rf"(?<!\S){re.escape(name)}:\S*", config.text)
        detail = f"An uplink carries at most {_UPLINK_BYTES} bytes; {name} reads beyond them and will always be null."
        yield finding(
            "payload-beyond-uplink",
            ("payload",),
            detail,
            help="Check its index and its length.",
            severity=Severity.WARNING,
            offset=place.start() if place else None,
            length=place.end() - place.start() if place else 1,
        )


# Templates


def parsed(
    parse: Callable[[str], _T],
    text: JsonValue,
    path: tuple[str, ...],
    found: list[Finding],
    *,
    help: Callable[[GrammarError], str] = lambda error: "",
) -> _T | None:
    """A text that parsed; None, and a finding, when it does not. `help` says what to do about an error."""
    ask = _result if path == _OF_ITS_OWN else _parsed
    result = cast("_T | GrammarError", ask(parse, cast("str", text)))
    if isinstance(result, GrammarError):
        found.append(_broken_grammar(path, result, help=help(result)))
        return None
    return result


def template(
    parse: Callable[[str], _V], text: JsonValue, path: tuple[str, ...], scope: Scope, found: list[Finding]
) -> _V | None:
    """A text that parsed, its variables checked."""
    result = parsed(parse, text, path, found)
    if result is None:
        return None
    known = offered(scope.type)
    if not result.names <= known.keys():
        for used in result.variables:
            if used.name not in known:
                found += _variable_findings(used, path, scope)
    objects = _OBJECTS[scope.type]
    if objects and isinstance(result, Template):
        found += _object_findings(result, path, objects)
    return result


def _broken_grammar(path: tuple[str, ...], error: GrammarError, *, help: str = "") -> Finding:
    if error.code == "template-control-character" and error.text[error.offset :] == "\n":
        help = "In YAML, a text behind | or > ends with a line break; behind |- or >- it does not."
    return finding(error.code, path, error.reason, help=help, offset=error.offset, length=error.length)


def _result(parse: Callable[[str], _Parsed], text: str) -> _Parsed | GrammarError:
    try:
        return parse(text)
    except GrammarError as error:
        # Kept without its traceback, which would keep the frames of whoever asked first.
        return error.with_traceback(None)


_parsed = lru_cache(maxsize=4096)(_result)


def _variable_findings(used: UsedVariable, path: tuple[str, ...], scope: Scope) -> Iterator[Finding]:
    """What is wrong with a variable that the type does not offer, once for each place where it stands."""
    if used.name.startswith(CUSTOM_DATA):
        name = used.name.removeprefix(CUSTOM_DATA)
        if scope.broken or (scope.payload is not None and name in scope.payload.names):
            return
        code, detail, help = _undeclared(used.name, name, scope)
    elif used.name in ALL_NAMES:
        code = "variable-not-offered"
        types = " and ".join(offering(used.name))
        detail = f"{{{used.name}}} is offered by {types}; this callback is {scope.type}, and it would always be null."
        help = f"{scope.type} offers {describe(scope.type)}."
    elif used.name == BATCH:
        code = "unknown-variable"
        detail = (
            f"{{{BATCH}}} stands for the lines of a batch, and only in the url of a callback of channel batch-url; "
            "here it would always be null."
        )
        help = (
            "Take it away: a line pattern makes a single line, and the url says where the lines go."
            if path == ("linePattern",)
            else "Take it away, or choose channel: batch-url, with a linePattern for the lines."
        )
    else:
        code = "unknown-variable"
        detail = f"No callback has a variable {{{used.name}}}; it would always be null."
        help = _nearest(used.name, scope)
    for offset in used.offsets:
        yield finding(code, path, detail, help=help, offset=offset, length=used.length)


def _undeclared(variable: str, name: str, scope: Scope) -> tuple[str, str, str]:
    """Code, detail and help for a field that no payload config declares."""
    if not takes_payload(scope.type):
        detail = f"A {scope.type} callback carries no payload, so that there is no {{{variable}}}."
        return "variable-not-offered", detail, f"{scope.type} offers {describe(scope.type)}."
    if scope.payload is None:
        detail = f"{{{variable}}} is a field of the payload, and no payload config says what those are."
        help = f"Declare it, at the callback or at its device type: payload: {name}::uint:8"
        return "custom-data-without-payload", detail, help
    declared = scope.payload.names
    detail = f"The payload config declares {', '.join(declared)}; {name} would always be null."
    otherwise = "Declare it in the payload config."
    help = did_you_mean(name, declared, shape=f"{{{{{CUSTOM_DATA}{{}}}}}}", otherwise=otherwise)
    return "undeclared-custom-data", detail, help


def _nearest(name: str, scope: Scope) -> str:
    """What may have been meant by a name that no type offers."""
    known = list(offered(scope.type))
    if "#" in name:  # only fields of a payload are written so
        known = [CUSTOM_DATA + name.partition("#")[2]]
    elif scope.payload is not None and name in scope.payload.names:
        return f"Did you mean {{{CUSTOM_DATA}{name}}}?"
    return did_you_mean(name, known, shape="{{{}}}", otherwise=f"It can be {describe(scope.type)}.")


def _object_findings(parsed: Template, path: tuple[str, ...], objects: frozenset[str]) -> Iterator[Finding]:
    """Object variables in places that make texts of them."""
    for segment in parsed.segments:
        if not isinstance(segment, Placeholder) or segment.name not in objects:
            continue
        name = f"{{{segment.name}}}"
        match segment.context:
            case Context.JSON_STRING:
                code = "object-variable-quoted"
                detail = f"{name} is a JSON value of its own; within quotes it arrives as a text that holds JSON."
                help = f"Write it without quotes: {name}"
            case Context.LINE:
                code = "object-variable-in-line"
                detail = (
                    f"{name} is a whole JSON value, commas and all; in a line it is hard to tell from what stands "
                    "beside it."
                )
                help = "Send it by a callback of channel url, in a JSON body."
            case _:
                continue
        yield finding(code, path, detail, help=help, severity=Severity.WARNING, offset=segment.offset, length=len(name))
