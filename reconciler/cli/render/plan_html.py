"""Plans → one HTML file that shows everything, for a browser, a build's artifacts, a printer.

1. It needs nothing else: no script, no font, no image, no address. Its policy (`Content-Security-Policy`) forbids all
   of them and allows the one style sheet by its hash, so that it can be served from anywhere.
2. Every text of others is escaped, in elements and in attributes alike, after control characters were made visible.
3. Changes come by risk, the gravest first (`plan_risk`); each has an address of its own (`#update:tracker/telemetry`).
   A group can be folded; what is not grave is folded from the start when it is long. A printer gets everything.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from html import escape
from typing import Final
from urllib.parse import quote

from reconciler.cli.render.diagnostics import diagnostics_as_text
from reconciler.cli.render.plan_lines import Line, copied, lines_of, lines_of_drift
from reconciler.cli.render.plan_mask import masked
from reconciler.cli.render.plan_risk import TITLES, Risk, by_risk
from reconciler.cli.render.plan_words import (
    SIGNS,
    Commands,
    blame_of,
    counts_line,
    fate_of,
    holder_of,
    left_alone,
    names_of,
    origin_of,
    place_of,
    reason_of,
    users_of,
)
from reconciler.cli.render.text import Paint, visible
from reconciler.diagnostics import Diagnostic
from reconciler.model.plan import Change, Plan, Resecret

__all__ = ["plan_as_html"]

# A group of more changes than this that are not grave is folded when the page opens.
_LONG: Final = 100

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --add: #1a7f37; --del: #cf222e; --mod: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --add: #3fb950; --del: #ff7b72; --mod: #d29922; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin: 0; display: inline; }
code, pre { font: 0.9em/1.45 ui-monospace, monospace; unicode-bidi: isolate; }
code { overflow-wrap: anywhere; }
pre { margin: 0.4rem 0; padding: 0.5rem; overflow-x: auto; background: var(--soft); border-radius: 4px; }
pre span { display: block; white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; } td, th { padding: 0.15rem 0.8rem 0.15rem 0; text-align: left; }
td:last-child, th:last-child { text-align: right; font-variant-numeric: tabular-nums; }
details, section { margin: 1rem 0; border-top: 1px solid var(--line); padding-top: 0.6rem; }
summary { cursor: pointer; }
article { margin: 0.8rem 0 0.8rem 1rem; } article:target { outline: 2px solid var(--mod); outline-offset: 4px; }
article p { margin: 0.1rem 0; } a { color: inherit; } .faint { opacity: 0.7; }
.add { color: var(--add); } .del { color: var(--del); } .mod { color: var(--mod); }
.refused { border: 2px solid var(--del); border-radius: 4px; padding: 0 0.8rem; }
@media print {
  body { max-width: none; padding: 0; } article, pre { break-inside: avoid; }
  details::details-content { content-visibility: visible; display: block; }
}
"""

_COLOURS: Final = {"create": "add", "enable": "add", "appeared": "add"} | dict.fromkeys(
    ("delete", "disable", "replace", "vanished"), "del"
)
_MARKS: Final = {"+": "add", "-": "del", " ": "same", "\\": "faint"}


def plan_as_html(plan: Plan, *, refused_by: Sequence[Diagnostic] = (), commands: Commands) -> str:
    """The whole page; `refused_by` is what stands against applying the plan."""
    return "\n".join(_page(masked(plan), refused_by, commands)) + "\n"


def _page(plan: Plan, refused_by: Sequence[Diagnostic], commands: Commands) -> Iterator[str]:
    hashed = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
    yield "<!DOCTYPE html>"
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Plan for {_text(plan.environment)}</title>"
    yield f"<style>{_STYLE}</style>"
    yield "</head>"
    yield "<body>"
    yield from _head(plan)
    yield from _refusals(refused_by, commands)
    groups = by_risk(plan.changes)
    yield from _overview(groups)
    anchors = _Anchors()
    for risk, changes in groups:
        yield from _group(risk, changes, anchors)
    yield from _drift(plan)
    yield from _renames(plan)
    yield from _collisions(plan)
    yield from _left(plan)
    yield from _foot(plan, refused_by, commands)
    yield "</body>"
    yield "</html>"


def _head(plan: Plan) -> Iterator[str]:
    where = f"{_code(plan.environment)} ({_code(plan.target)}, revision {plan.base.revision:,})"
    yield f"<h1>Plan for {_code(plan.environment)}</h1>"
    if not plan.is_empty:
        yield f"<p><strong>{counts_line(plan)}</strong> in {where}, for the project {_code(plan.owner)}.</p>"
    elif plan.collisions:
        yield f"<p><strong>Nothing that this project may change</strong>: {where}.</p>"
    else:
        yield f"<p><strong>Nothing to change</strong>: {where} is as declared.</p>"


def _refusals(refused_by: Sequence[Diagnostic], commands: Commands) -> Iterator[str]:
    if not refused_by:
        return
    yield '<section class="refused" id="refused">'
    yield "<h2>Refused</h2>"
    for each in refused_by:
        yield _lines((" ", line) for line in diagnostics_as_text([each], paint=_PLAIN).splitlines())
    if commands.override:
        yield "<p>When all of this is meant, exactly this plan, and no other, can be applied by:</p>"
        yield f"<pre>{_text(commands.override)}</pre>"
    yield "</section>"


_PLAIN = Paint(coloured=False)


def _overview(groups: Sequence[tuple[Risk, Sequence[Change]]]) -> Iterator[str]:
    if not groups:
        return
    yield "<table>"
    yield "<thead><tr><th>What it does, the gravest first</th><th>Changes</th></tr></thead>"
    yield "<tbody>"
    for risk, changes in groups:
        link = f'<a href="#{_group_anchor(risk)}">{TITLES[risk]}</a>'
        yield f"<tr><td>{link}</td><td>{len(changes):,}</td></tr>"
    yield "</tbody>"
    yield "</table>"


# Changes


class _Anchors:
    """Addresses within the page, each given once."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}

    def of(self, change: Change) -> str:
        anchor = quote(f"{change.kind}:{names_of(change)[-1]}".encode("utf-8", "surrogatepass"), safe="/:")
        times = self._times[anchor] = self._times.get(anchor, 0) + 1
        return anchor if times == 1 else f"{anchor}:{times}"


def _group_anchor(risk: Risk) -> str:
    return f"risk-{risk.name.lower()}"


def _group(risk: Risk, changes: Sequence[Change], anchors: _Anchors) -> Iterator[str]:
    unfolded = " open" if risk.is_grave or len(changes) <= _LONG else ""
    yield f'<details id="{_group_anchor(risk)}"{unfolded}>'
    yield f"<summary><h2>{TITLES[risk]} ({len(changes):,})</h2></summary>"
    for change in changes:
        yield from _change(change, anchors.of(change))
    yield "</details>"


def _change(change: Change, anchor: str) -> Iterator[str]:
    colour = _COLOURS.get(change.kind, "mod")
    names = " → ".join(_code(name) for name in names_of(change))
    origin = origin_of(change)
    place = "" if origin is None else f' <span class="faint">{_code(place_of(origin))}</span>'
    yield f'<article id="{escape(anchor)}">'
    yield (
        f'<p><a href="#{escape(quote(anchor, safe="/:"))}"><strong class="{colour}">{escape(SIGNS[change.kind])} '
        f"{change.kind}</strong></a> {names}{place}</p>"
    )
    yield from _sentence(reason_of(change, _code))
    if isinstance(change, Resecret):
        yield from _sentence(users_of(change, _code))
    yield _lines(lines_of(change))
    yield "</article>"


# Beside the changes


def _drift(plan: Plan) -> Iterator[str]:
    if not plan.drift:
        return
    left = frozenset(plan.left)
    yield '<details id="drift" open>'
    yield f"<summary><h2>Changed at the target behind the files ({len(plan.drift):,})</h2></summary>"
    for each in plan.drift:
        colour = _COLOURS.get(each.kind, "mod")
        blame = blame_of(each.blame, _code)
        yield "<article>"
        yield f'<p><strong class="{colour}">{each.kind}</strong> {_code(str(each.key))}{blame and " "}{blame}</p>'
        yield from _sentence(fate_of(each, left))
        yield _lines(lines_of_drift(each))
        yield "</article>"
    yield "</details>"


def _renames(plan: Plan) -> Iterator[str]:
    if not plan.renames:
        return
    yield '<details id="renames" open>'
    yield f"<summary><h2>Renamed? ({len(plan.renames):,})</h2></summary>"
    yield "<p>These lines move what is there instead of deleting it.</p>"
    for each in plan.renames:
        yield f"<p>{_code(str(each.before))} → {_code(str(each.after))}, in {_code(each.file)}:</p>"
        yield _lines((" ", line) for line in copied(each.lines))
    yield "</details>"


def _collisions(plan: Plan) -> Iterator[str]:
    if not plan.collisions:
        return
    yield '<details id="collisions" open>'
    yield f"<summary><h2>Claimed by the files and held by others ({len(plan.collisions):,})</h2></summary>"
    yield "<ul>"
    for each in plan.collisions:
        place = "" if each.origin is None else f", {_code(place_of(each.origin))}"
        yield f"<li>{_code(str(each.key))} {holder_of(each, _code)}{place}</li>"
    yield "</ul>"
    yield "</details>"


def _left(plan: Plan) -> Iterator[str]:
    rows = left_alone(plan)
    if not rows:
        return
    yield '<details id="left" open>'
    yield f"<summary><h2>Left alone, since the files do not mention it ({len(plan.left):,})</h2></summary>"
    yield "<p>Listed under <code>removed</code> in the project file, it would be deleted.</p>"
    yield "<ul>"
    for name, what in rows:
        yield f"<li>{_code(name)}{what and ' '}{what}</li>"
    yield "</ul>"
    yield "</details>"


def _foot(plan: Plan, refused_by: Sequence[Diagnostic], commands: Commands) -> Iterator[str]:
    yield "<footer>"
    if not refused_by and not plan.is_empty:
        yield "<p>To apply it:</p>"
        yield f"<pre>{_text(commands.apply)}</pre>"
    yield f"<p>Digest {_code(plan.digest)}</p>"
    yield "</footer>"


# HTML


def _text(text: str) -> str:
    return escape(visible(text))


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _sentence(html: str) -> Iterator[str]:
    if html:
        yield f"<p>{html}</p>"


def _lines(lines: Iterable[Line]) -> str:
    """A block of marked lines; their texts have no control characters any more."""
    spans = [f'<span class="{_MARKS[mark]}">{mark} {escape(text)}</span>' for mark, text in lines]
    return f"<pre>{''.join(spans)}</pre>" if spans else ""
