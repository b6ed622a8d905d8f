"""Laws of what is shown of a plan, whatever stands in it.

Texts of others are made of what each form would read as its own: backticks and pipes, brackets and angles, mentions,
line breaks, escape sequences, bidirectional controls. Every one of them holds a section sign, which no word of ours
does: where it is found, a text of others was found.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html.parser import HTMLParser

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from reconciler.cli.render.plan_github import plan_as_github
from reconciler.cli.render.plan_html import plan_as_html
from reconciler.cli.render.plan_markdown import LIMIT, plan_as_markdown, size
from reconciler.cli.render.plan_text import plan_as_text
from reconciler.cli.render.plan_words import Commands, counts_line
from reconciler.cli.render.text import Paint, cells, visible
from reconciler.codec.canonical import define
from reconciler.diagnostics import Diagnostic, Span
from reconciler.model.definition import JsonValue
from reconciler.model.plan import (
    Adopt,
    Change,
    Collision,
    Create,
    Delete,
    Drift,
    FieldChange,
    Move,
    Plan,
    Reason,
    Rename,
    Resecret,
    Update,
)
from reconciler.model.resource import Key
from reconciler.model.snapshot import Blame, Fingerprint

SIGN = "§"
CANARY = "hunter22hunter22"
PLAIN = Paint(coloured=False)

_NASTY = "`|<>@[]()!*_#~&\\\"'/:=;{}$%+- \t\r\n\x00\x1b\x85\u200b\u202e\u2066\u2028\ufeffäё日🙂aA1."
_SNIPPETS = (
    "```",
    "\n```\n",
    "\n````\n# x",
    "</details>",
    "<script>alert(1)</script>",
    "<!--",
    "-->",
    "]]>",
    "@octocat",
    "#12",
    "[x](http://e/)",
    "![x](http://e/)",
    "<http://e/>",
    "http://e/",
    "| a |\n|--|",
    "\n---\n",
    "\n> q",
    "&lt;",
    "' onclick='x",
    '" onclick="x',
    "\x1b[31m",
    "::error::x",
    "%0A",
)
_words = st.one_of(st.text(_NASTY, max_size=12), st.sampled_from(_SNIPPETS))
_texts = st.lists(_words, min_size=2, max_size=4).map(SIGN.join)
_clear = _texts.map(lambda text: f"http://login:{CANARY}@h/{text}")
_keys = st.builds(Key, _texts, st.one_of(st.just(""), _texts))
_spans = st.one_of(st.none(), st.builds(lambda file, line: Span(file, line, 1, 2, SIGN), _texts, st.integers(1, 999)))
_values: st.SearchStrategy[JsonValue] = st.one_of(
    _texts, _clear, st.booleans(), st.integers(-9, 9999), st.none(), st.lists(_texts, max_size=2)
)
_contents = st.dictionaries(
    st.one_of(st.sampled_from(["url", "body", "headers", "enabled", "description"]), _texts),
    st.one_of(_values, st.dictionaries(_texts, _values, max_size=2)),
    max_size=4,
)
_definitions = st.builds(define, _keys, _contents)
_fields = st.lists(
    st.builds(
        FieldChange,
        st.lists(
            st.one_of(_texts, st.sampled_from(["url", "headers", "protect", "enabled"])), min_size=1, max_size=2
        ).map(tuple),
        _values,
        _values,
        st.booleans(),
    ),
    max_size=3,
).map(tuple)
_reasons = st.sampled_from(Reason)
_fingerprints = st.one_of(st.none(), st.just("0123456789abcdef"))
_changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Create, _keys, _definitions, _spans, _reasons),
    st.builds(
        Update,
        _keys,
        _definitions,
        _definitions,
        _fields,
        _spans,
        _reasons,
        st.sampled_from(["update", "enable", "disable", "replace"]),
    ),
    st.builds(Delete, _keys, _definitions, _reasons),
    st.builds(Move, _keys, _definitions, _definitions, _fields, _spans),
    st.builds(Adopt, _keys, _definitions, _definitions, st.one_of(st.just(""), _texts), _fields, _spans),
    st.builds(Resecret, _keys, _texts, _fingerprints, _fingerprints, st.lists(_keys, max_size=3).map(tuple)),
)
_blames = st.builds(
    Blame, _texts, st.integers(1, 99), st.one_of(st.none(), st.just(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))
)
_drifts = st.builds(
    Drift,
    _keys,
    st.one_of(st.none(), _definitions),
    st.one_of(st.none(), _definitions),
    _fields,
    st.booleans(),
    st.one_of(st.none(), _blames),
    st.sampled_from(["changed", "vanished", "appeared"]),
)


def _few(each: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(each, max_size=2).map(tuple)


_plans = st.builds(
    Plan,
    environment=_texts,
    target=st.one_of(_texts, _clear),
    owner=_texts,
    base=st.builds(Fingerprint, st.integers(0, 9999), _texts),
    stages=st.lists(st.lists(_changes, max_size=4).map(tuple), max_size=2).map(tuple),
    digest=_texts,
    collisions=_few(st.builds(Collision, _keys, st.one_of(st.just(""), _texts), _spans, st.one_of(st.none(), _keys))),
    drift=_few(_drifts),
    left=_few(_keys),
    renames=_few(st.builds(Rename, _keys, _keys, _texts, _texts)),
)
_refusals = st.lists(
    st.builds(Diagnostic, st.just("too-many-changes"), _texts, _texts, _texts, span=_spans), max_size=2
)
_commands = st.builds(Commands, _texts.map(lambda text: f"reconciler apply {text}"), st.one_of(st.none(), _texts))


@dataclass(frozen=True)
class Factors:
    """How a small plan becomes a large one: so many copies of everything, and texts so much longer."""

    changes: int
    rest: int
    refusals: int
    texts: int

    def of(self, plan: Plan) -> Plan:
        return replace(
            plan,
            environment=plan.environment * self.texts,
            target=plan.target * self.texts,
            owner=plan.owner * self.texts,
            digest=plan.digest * self.texts,
            stages=tuple(tuple(self._longer(change) for change in stage) * self.changes for stage in plan.stages),
            collisions=plan.collisions * self.rest,
            drift=plan.drift * self.rest,
            left=tuple(Key(key.device_type + str(i), key.callback) for key in plan.left for i in range(self.rest)),
            renames=tuple(replace(each, lines=each.lines * self.texts) for each in plan.renames) * self.rest,
        )

    def _longer(self, change: Change) -> Change:
        match change:
            case Create():
                long = {name: v * self.texts if isinstance(v, str) else v for name, v in change.after.content.items()}
                return replace(change, after=define(change.after.key, long))
            case Resecret():
                return replace(change, name=change.name * self.texts, callbacks=change.callbacks * self.rest)
            case Adopt():
                return replace(change, taken_from=change.taken_from * self.texts, fields=change.fields * self.texts)
            case Delete():
                return replace(change, key=Key(change.key.device_type * self.texts, change.key.callback))
            case _:
                return change


_factors = st.builds(
    Factors,
    changes=st.sampled_from([1, 30, 700]),
    rest=st.sampled_from([1, 40, 900]),
    refusals=st.sampled_from([1, 300]),
    texts=st.sampled_from([1, 1, 50, 4_000]),
)

# Markdown

_ELEMENTS = {
    *("heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "text", "softbreak"),
    *("strong_open", "strong_close", "code_inline", "fence", "html_block"),
    *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
    *("table_open", "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close"),
    *("tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close"),
}
_HTML = re.compile(
    r"<!-- reconciler plan: [A-Za-z0-9_.~%-]+ -->|<details>|<summary>[A-Za-z ]+ \([0-9,]+\)</summary>|</details>"
)
# What would be a link, a mention, an emphasis or an entity to some reader of Markdown.
_MEANINGFUL = set("@<>[]*_`\\~&!#§") | {"://", "www."}
_PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def tokens_of(text: str) -> list[Token]:
    return [inner for token in _PARSER.parse(text) for inner in (token, *(token.children or ()))]


def is_ours(tokens: Sequence[Token]) -> bool:
    """Whether a parser sees nothing but the elements that we mean, and texts of others in code alone."""
    for token in tokens:
        if token.type not in _ELEMENTS:
            return False
        if token.type == "html_block" and not all(_HTML.fullmatch(line) for line in token.content.splitlines()):
            return False
        if token.type == "text" and any(part in token.content for part in _MEANINGFUL):
            return False
        if token.type == "fence" and token.info not in ("diff", "text", "yaml", "sh"):
            return False
    html = "".join(token.content for token in tokens if token.type == "html_block")
    return html.count("<details>") == html.count("</details>")


@given(_plans, _refusals, _commands)
def test_no_text_can_be_more_than_code_in_a_comment(
    plan: Plan, refused_by: list[Diagnostic], commands: Commands
) -> None:
    shown = plan_as_markdown(plan, refused_by=refused_by, commands=commands)
    tokens = tokens_of(shown)
    assert is_ours(tokens)
    assert "\r" not in shown
    code = "\n".join(token.content for token in tokens if token.type in ("code_inline", "fence"))
    for change in plan.changes:
        name = visible(change.name if isinstance(change, Resecret) else str(change.key))
        assert name[:199] in code or not name.strip()


@settings(max_examples=60)
@given(_plans, _refusals, _commands, _factors)
def test_a_comment_fits_whatever_the_size_of_the_plan_and_counts_all_of_it(
    plan: Plan, refused_by: list[Diagnostic], commands: Commands, factors: Factors
) -> None:
    large = factors.of(plan)
    shown = plan_as_markdown(large, refused_by=refused_by * factors.refusals, commands=commands)
    assert size(shown) <= LIMIT
    assert max(len(shown), len(shown.encode("utf-16-le")) // 2, len(shown.encode())) <= LIMIT
    assert is_ours(tokens_of(shown))
    if not large.is_empty:
        assert f"**{counts_line(large)}**" in shown
        rows = re.findall(r"^\| [A-Za-z ]+ \| ([0-9,]+) \|$", shown, re.MULTILINE)
        assert sum(int(row.replace(",", "")) for row in rows) == len(large.changes)


# HTML


class Browser(HTMLParser):
    """Every element, attribute and text of a page; an element that is not closed in order is a mistake."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: set[tuple[str, str]] = set()
        self.inside: list[str] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.other: list[str] = []
        self.feed(text)
        self.close()
        assert self.inside == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen |= {(tag, name) for name, _ in attrs} or {(tag, "")}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links |= {value or "" for name, value in attrs if name == "href"}
        if tag not in self.VOID:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)

    def unknown_decl(self, data: str) -> None:
        self.other.append(data)


_ATTRIBUTES = {"html": {"lang"}, "meta": {"charset", "http-equiv", "name", "content"}, "a": {"href"}}
_CLASSES = {tag: {"class", "", "id", "open"} for tag in ("section", "span", "strong", "article", "details")}
_BARE = "head body title style h1 h2 p table thead tbody tr th td summary ul li pre code footer"
_ALLOWED = {tag: {""} for tag in _BARE.split()} | _CLASSES | _ATTRIBUTES


@given(_plans, _refusals, _commands)
def test_no_text_can_be_an_element_or_an_attribute_of_a_page(
    plan: Plan, refused_by: list[Diagnostic], commands: Commands
) -> None:
    page = plan_as_html(plan, refused_by=refused_by, commands=commands)
    browser = Browser(page)
    assert all(name in _ALLOWED[tag] for tag, name in browser.seen)
    assert browser.other == []
    assert len(set(browser.ids)) == len(browser.ids)
    text = "".join(browser.texts)
    for change in plan.changes:
        assert visible(change.name if isinstance(change, Resecret) else str(change.key)) in text
    assert visible(plan.environment) in text
    assert not [
        character for character in page if unicodedata.category(character) in ("Cc", "Cf") and character != "\n"
    ]


# All forms


def every_form(plan: Plan, refused_by: Sequence[Diagnostic] = ()) -> list[str]:
    commands = Commands("reconciler apply -e dev")
    return [
        plan_as_text(plan, paint=PLAIN),
        plan_as_text(plan, paint=PLAIN, width=60),
        plan_as_markdown(plan, refused_by=refused_by, commands=commands),
        plan_as_html(plan, refused_by=refused_by, commands=commands),
        plan_as_github(plan, refused_by=refused_by),
    ]


@given(_plans)
def test_no_form_shows_a_password_or_holds_a_control_character(plan: Plan) -> None:
    for shown in every_form(plan):
        assert CANARY not in shown
        assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs") and c != "\n"]


@given(_plans)
def test_comment_and_page_do_not_depend_on_the_order_of_changes_with_different_keys(plan: Plan) -> None:
    changes = list({change.key: change for change in plan.changes}.values())
    orders = [changes, changes[::-1]]
    one, other = (every_form(replace(plan, stages=(tuple(order),)))[2:] for order in orders)
    assert one == other


@given(_plans)
def test_every_annotation_is_one_command(plan: Plan) -> None:
    lines = plan_as_github(plan).splitlines()
    assert len(lines) == len(plan.changes) + 1
    command = re.compile(r"::(warning|notice) (?:file=[^,:]*,line=\d+,col=1,endColumn=2,)?title=[^,:]*::.*")
    assert all(command.fullmatch(line) for line in lines)


# A key that ends with a blank, changed by nobody knows whom.
_BLANK_AT_THE_END = Plan(
    "dev", "", "", Fingerprint(0, ""), (), "", drift=(Drift(Key("tracker "), None, None, (), False, None, "changed"),)
)


@example(_BLANK_AT_THE_END, 40)
@given(_plans, st.integers(40, 120))
def test_at_a_terminal_what_is_cut_is_not_lost(plan: Plan, width: int) -> None:
    whole, cut = (plan_as_text(plan, paint=PLAIN, width=each) for each in (None, width))
    assert cut.count(SIGN) == whole.count(SIGN)
    coloured = plan_as_text(plan, paint=Paint(coloured=True), width=width)
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == cut
    for line in coloured.splitlines():
        assert cells(line) == cells(re.sub("\x1b\\[[0-9;]*m", "", line))
