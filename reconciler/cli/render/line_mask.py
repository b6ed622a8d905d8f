"""Lines of a user's files as they can be shown to anybody: with a `*` for each character of a password in clear.

1. In `scheme://login:password@` that is the password, and a login alone, since that is how API keys are sent.
2. Of a header named Authorization it is what comes after the scheme. A line is all that is known of a file, most times;
   so a word behind `Bearer` or `Basic` counts wherever it stands, if it is long and has a digit.
3. References stay, and variables, for which a plan has their values: they tell nothing. So does every column.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["CREDENTIALS", "USERINFO", "is_clear", "masked_in_place", "masked_lines"]

# As `grammar.url` reads it: all up to the last @ in front of the path. A quote ends it, for the sake of JSON bodies.
USERINFO: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?P<userinfo>[^/?#\s\"<>]+)@")
CREDENTIALS: Final = re.compile(r"(?P<scheme>\s*(?:[A-Za-z][A-Za-z0-9-]*\s+)?)(?P<rest>.*)", re.DOTALL)

_REFERENCE = re.compile(r"\$\{secret\.[A-Za-z_][A-Za-z0-9_]*\}|\{[A-Za-z][A-Za-z0-9_]*(?:#[^{}\s]*)?\}")
_VARIABLE = re.compile(r"\$\{[^{}]*\}")

_KEY: Final = r"(?<![A-Za-z0-9-])(?P<key>[\"']?authorization[\"']?\s*:)"
# In a flow mapping a plain value ends at the next comma or brace; elsewhere at the end of its line, comment and all.
_HEADER: Final = re.compile(
    _KEY + r"(?P<space>\s*)(?:"
    r"\"(?P<double>(?:\\.|[^\"\\])*)(?:\"|\Z)|'(?P<single>(?:''|[^'])*)(?:'|\Z)"
    r"|(?P<plain>(?:\$?\{[^{}]*\}|[^,{}])*)(?P<rest>.*))",
    re.IGNORECASE,
)
_BLOCK: Final = re.compile(r"\s*(?:[|>][0-9+-]{0,2}|[&!]\S+)?\s*(?:#.*)?\Z")
_TOKEN: Final = re.compile(
    r"\b(?P<scheme>(?:bearer|basic)\s+)(?P<token>(?=\S*[0-9])[A-Za-z0-9._~+/-]{8,}=*)", re.IGNORECASE
)


def is_clear(text: str) -> bool:
    """Whether something is left when references and variables are taken away."""
    return bool(_REFERENCE.sub("", text).strip())


def masked_in_place(line: str) -> str:
    """One line, whatever it is a line of."""
    if "://" in line and "@" in line:
        line = USERINFO.sub(_starred_userinfo, line)
    lower = line.lower()
    if "authorization" in lower:
        line = _HEADER.sub(_starred_header, line)
    if "bearer" in lower or "basic" in lower:
        line = _TOKEN.sub(lambda found: found["scheme"] + "*" * len(found["token"]), line)
    return line


def masked_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a whole file: the value of a header may stand on lines of its own, below its key."""
    above: int | None = None  # how far the key of such a value is indented
    for line in lines:
        indented = len(line) - len(line.lstrip())
        if above is not None and (indented > above or not line.strip()):
            yield line[:indented] + _starred_credentials(line[indented:])
            continue
        above = None
        key = re.search(_KEY, line, re.IGNORECASE)
        if key is not None and _BLOCK.match(line, key.end()):
            above = key.start()
        yield masked_in_place(line)


def _starred_userinfo(found: re.Match[str]) -> str:
    login, colon, password = found["userinfo"].partition(":")
    if _is_clear_in_file(password):
        return f"{found['scheme']}{login}:{'*' * len(password)}@"
    if not password and _is_clear_in_file(login):
        return f"{found['scheme']}{'*' * len(login)}{colon}@"
    return found[0]


def _starred_header(found: re.Match[str]) -> str:
    for quoted in ("double", "single"):
        if found[quoted] is not None:
            before, after = found.span(quoted)
            start, end = found.span()
            return found.string[start:before] + _starred_credentials(found[quoted]) + found.string[after:end]
    in_flow = "{" in _VARIABLE.sub("", found.string[: found.start()])
    plain, rest = (found["plain"], found["rest"]) if in_flow else (found["plain"] + found["rest"], "")
    if not plain or plain[0] in "|>&!#":
        return found[0]
    return found["key"] + found["space"] + _starred_credentials(plain) + rest


def _starred_credentials(text: str) -> str:
    found = CREDENTIALS.fullmatch(text)
    assert found is not None, "both parts may be empty"
    return found["scheme"] + "*" * len(found["rest"]) if _is_clear_in_file(found["rest"]) else text


def _is_clear_in_file(text: str) -> bool:
    return is_clear(_VARIABLE.sub("", text))
