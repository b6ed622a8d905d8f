"""Laws of the formatter: the meaning stays, no comment is lost, once is enough, and every file of ours is canonical."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reconciler.config.format import formatted, same
from reconciler.config.layout import comments
from reconciler.config.source import nodes, parse

ROOT = Path(__file__).parents[2]

# Texts that are laid out in every way that YAML has: each part is drawn as the lines it takes.

_WORDS = st.sampled_from(
    ["x", "a b", "tracker", "0", "true", "~", "é😀", "it's", 'say "x"', "a\\b", "http://h:1/{device}", "# no"]
)
_TEXTS = _WORDS | st.text("ab \n:#'\"{é", max_size=12)
_COMMENTS = st.sampled_from(["# c", "#c: d", "#", "# 'quoted", '# - "x": [', "# trailing  ", "#\tt", "# é"])
_KEYS = ["name", "url", "type", "body", "headers", "tests", "callbacks", "environments", "given", "expect", "k 1", "é"]


@st.composite
def gaps(draw: st.DrawFn, *, column: int = 0) -> list[str]:
    """Comments and blank lines as they may stand between two lines."""
    indents = st.sampled_from([column, column, 0, column + 1, column + 2, column + 5])
    return draw(
        st.lists(
            st.sampled_from(["", "", "  "]) | st.builds(lambda by, text: " " * by + text, indents, _COMMENTS),
            max_size=3,
        )
        if draw(st.booleans())
        else st.just([])
    )


@st.composite
def scalars(draw: st.DrawFn, column: int) -> list[str]:
    """A scalar whose key stands at a column: what follows on the line of the key, and further lines."""
    text = draw(_TEXTS)
    pad = " " * (column + draw(st.integers(1, 5)))
    comment = draw(st.just("") | _COMMENTS.map(lambda each: f"  {each}"))
    match draw(
        st.sampled_from(["plain", "plain", "single", "double", "lines", "literal", "folded", "null", "below", "long"])
    ):
        case "plain":
            return [
                draw(st.sampled_from(["x", "data/uplink", "1", "yes", "a: b".replace(": ", ":"), "1.10", "x#y"]))
                + comment
            ]
        case "single" if "\n" not in text:
            return ["'" + text.replace("'", "''") + "'" + comment]
        case "double":
            return [json.dumps(text, ensure_ascii=draw(st.booleans())) + comment]
        case "lines":
            return ['"one', f"{pad}two", "", f'{pad}three"{comment}']
        case "long":
            return ["one", f"{pad}two", "", f"{pad}three{comment}"]
        case ("literal" | "folded") as style:
            chomp = draw(st.sampled_from(["", "-", "+"]))
            first, *rest = [line.strip(" ") for line in text.split("\n")]
            lines = ["z" + first, *(draw(st.sampled_from(["", " ", "   "])) + line for line in rest)]
            header = ("|" if style == "literal" else ">") + chomp + comment
            return [header, *(pad + line if line else draw(st.sampled_from(["", " "])) for line in lines)]
        case "below":
            return [comment, f"{pad}{json.dumps(text)}"]
        case _:
            return [comment]


@st.composite
def flows(draw: st.DrawFn, column: int) -> list[str]:
    """A mapping or list in braces or brackets, perhaps over several lines."""
    pad = " " * (column + draw(st.integers(1, 4)))
    comment = draw(st.just("") | _COMMENTS.map(lambda each: f" {each}"))
    return draw(
        st.sampled_from(
            [
                ["{}" + comment],
                ["[]" + comment],
                ["{type: 'x',   channel: \"y\"}" + comment],
                ["['a',  b]" + comment],
                ["{" + comment, f"{pad}a: 'b',", f"{pad}# inside", f"{pad}c: [1, 2]", f"{pad}}}" + comment],
            ]
        )
    )


@st.composite
def mappings(draw: st.DrawFn, column: int, depth: int) -> list[str]:
    """The lines of a mapping at a column; the first has its indentation too."""
    keys = draw(st.lists(st.sampled_from(_KEYS), min_size=1, max_size=4, unique=True))
    lines: list[str] = []
    for index, key in enumerate(keys):
        if index:
            lines += draw(gaps(column=column))
        written = draw(st.sampled_from([key, json.dumps(key, ensure_ascii=False), f"'{key}'"]))
        first, *rest = draw(values(column, depth))
        blank = draw(st.sampled_from([" ", "   "])) if first else ""
        lines += [f"{' ' * column}{written}{draw(st.sampled_from(['', ' ']))}:{blank}{first}", *rest]
    return lines


@st.composite
def sequences(draw: st.DrawFn, column: int, depth: int) -> list[str]:
    """The lines of a list at a column."""
    lines: list[str] = []
    for index in range(draw(st.integers(1, 3))):
        if index:
            lines += draw(gaps(column=column))
        dash = " " * column + "-"
        if depth and draw(st.booleans()):
            by = draw(st.integers(1, 3))
            first, *rest = draw(st.one_of(mappings(column + 1 + by, depth - 1), sequences(column + 1 + by, depth - 1)))
            lines += [dash + first[column + 1 :], *rest]
        else:
            first, *rest = draw(values(column, depth))
            lines += [f"{dash} {first}" if first else dash, *rest]
    return lines


def values(column: int, depth: int) -> st.SearchStrategy[list[str]]:
    """What follows a key or dash that stands at a column."""
    leaves = st.one_of(scalars(column), flows(column))
    return st.one_of(leaves, blocks(column, depth)) if depth else leaves


@st.composite
def blocks(draw: st.DrawFn, column: int, depth: int) -> list[str]:
    """A block below a key or dash that stands at a column."""
    inner = column + draw(st.integers(1, 4))
    comment = draw(st.just("") | _COMMENTS.map(lambda each: f"  {each}"))
    body = draw(st.one_of(mappings(inner, depth - 1), sequences(inner, depth - 1)))
    return [comment, *draw(gaps(column=inner)), *body, *draw(gaps(column=inner))]


@st.composite
def documents(draw: st.DrawFn) -> str:
    """One or two documents of ours."""
    lines: list[str] = []
    for index in range(draw(st.integers(1, 2))):
        lines += draw(gaps())
        if index or draw(st.booleans()):
            lines += ["---", *draw(gaps())]
        head = [f"kind: {draw(st.sampled_from(['Project', 'DeviceType']))}", "apiVersion: reconciler/v1"]
        keys = draw(mappings(0, 3))
        lines += draw(st.sampled_from([[*head, *keys], [*keys, *head]]))
        lines += draw(gaps())
        if draw(st.booleans()):
            lines.append("...")
    text = "\n".join(lines) + draw(st.sampled_from(["\n", "", "\n\n"]))
    return text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n"])))


def values_of(text: str) -> list[Any]:
    source = parse(text, name="file")
    assert source.diagnostics == ()
    return [document.value for document in source.documents]


def comments_of(text: str) -> Counter[str]:
    return Counter(comments(text, nodes(text)))


@settings(max_examples=400)
@given(documents())
def test_formatting_keeps_meaning_and_comments_and_is_done_once(text: str) -> None:
    assume(not parse(text, name="file").diagnostics)
    result = formatted(text, name="file")
    assert result.diagnostics == ()
    before, after = values_of(text), values_of(result.text)
    assert len(before) == len(after)
    assert all(map(same, before, after))
    assert comments_of(result.text) == comments_of(text)
    assert formatted(result.text, name="file").text == result.text
