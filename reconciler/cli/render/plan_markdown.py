"""Plans → Markdown for a comment on a pull request, which always fits.

1. At most 65,536 (what GitHub takes in a comment), counted in bytes of UTF-8 with two for each line break, so that it
   holds however a service counts: in characters, in UTF-16, or after a form has made CR LF of LF.
2. Counts are complete whatever the size. Changes come by risk, the gravest first (`plan_risk`), in full as long as
   there is room; then by name; then by number. Nothing is cut within a table, a block of code or an element.
3. Text of others stands in code alone, spans or fences whose delimiter is longer than any run of backticks in it. There
   it can be no link, image, mention, table or HTML; escaping would not keep GitHub from seeing `@name` in it.
4. The first line is a comment that names the environment, so that a bot finds what it wrote before and replaces it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias, TypeVar
from urllib.parse import quote

from reconciler.cli.render.diagnostics import diagnostics_as_text
from reconciler.cli.render.plan_lines import Line, copied, lines_of, lines_of_drift
from reconciler.cli.render.plan_mask import masked
from reconciler.cli.render.plan_risk import TITLES, Risk, by_risk
from reconciler.cli.render.plan_words import (
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
from reconciler.cli.render.text import Paint, plural, visible
from reconciler.diagnostics import Diagnostic
from reconciler.model.plan import Change, Collision, Drift, Plan, Rename, Resecret
from reconciler.model.resource import Key

__all__ = ["LIMIT", "marker", "plan_as_markdown", "size"]

T = TypeVar("T")
Groups: TypeAlias = Sequence[tuple[Risk, Sequence[Change]]]

LIMIT: Final = 65_536

# What a section may take while others need room too; what they leave goes to the changes first.
_REFUSALS: Final = 10_000
_CHANGES: Final = 20_000
_DRIFT: Final = 8_000
_RENAMES: Final = 5_000
_LEFT: Final = 3_000
_COLLISIONS: Final = 3_000
_CLAIMS: Final = (1, 0, 2, 3, 4, 5)

# One change must not take the room of many: above this, what is left of it is counted in lines.
_BLOCK: Final = 4_000
_LINE: Final = 1_000
# “**resecret**, without details: 1,234,567 more.”, with what stands around it.
_REMARK: Final = 64
_NAME: Final = 200
_COMMAND: Final = 2_000
_PLAIN = Paint(coloured=False)
_BACKTICKS = re.compile("`+")


def plan_as_markdown(plan: Plan, *, refused_by: Sequence[Diagnostic] = (), commands: Commands) -> str:
    """The comment; `refused_by` is what stands against applying the plan."""
    plan = masked(plan)
    groups = by_risk(plan.changes)
    head, foot = _head(plan, groups, refused_by), _foot(plan, refused_by, commands)
    left = frozenset(plan.left)
    sections: list[tuple[Callable[[int], str], int]] = [
        (lambda room: _refusals(refused_by, room), _REFUSALS),
        (lambda room: _changes(groups, room), _CHANGES),
        (lambda room: _drift(plan.drift, left, room), _DRIFT),
        (lambda room: _renames(plan.renames, room), _RENAMES),
        (lambda room: _collisions(plan.collisions, room), _COLLISIONS),
        (lambda room: _left(plan, room), _LEFT),
    ]
    room = LIMIT - size(head) - size(foot)
    texts = [write(least) for write, least in sections]
    for index in _CLAIMS:
        write, _ = sections[index]
        others = sum(size(text) for place, text in enumerate(texts) if place != index)
        texts[index] = write(room - others)
    return "".join([head, *texts, foot])


def marker(environment: str) -> str:
    """The line by which a bot finds the comment about an environment."""
    name = quote(environment.encode("utf-8", "surrogatepass"), safe="")[:_NAME]
    return f"<!-- reconciler plan: {re.sub('-(?=-)|-$', '%2D', name)} -->"


def size(text: str) -> int:
    """How much of the limit a text takes."""
    return len(text.encode()) + text.count("\n")


# What is always there


def _head(plan: Plan, groups: Groups, refused_by: Sequence[Diagnostic]) -> str:
    where = f"{_code(plan.environment)} ({_code(plan.target)}, revision {plan.base.revision:,})"
    lines = [marker(plan.environment), f"### Plan for {_code(plan.environment)}", ""]
    if refused_by:
        lines += [f"**Refused**: {plural(len(refused_by), 'finding')} against it, see below.", ""]
    if plan.is_empty:
        subject = "Nothing that this project may change" if plan.collisions else "Nothing to change"
        lines += [f"**{subject}**: {where}{'' if plan.collisions else ' is as declared'}.", ""]
    else:
        lines += [f"**{counts_line(plan)}** in {where}, for the project {_code(plan.owner)}.", ""]
        lines += ["| What it does, the gravest first | Changes |", "|:--|--:|"]
        lines += [f"| {TITLES[risk]} | {len(changes):,} |" for risk, changes in groups]
        lines.append("")
    beside = [
        plural(count, *nouns)
        for count, nouns in (
            (len(plan.drift), ("definition changed behind the files", "definitions changed behind the files")),
            (len(plan.renames), ("likely rename",)),
            (len(plan.collisions), ("definition held by others", "definitions held by others")),
            (len(plan.left), ("definition left alone", "definitions left alone")),
        )
        if count
    ]
    if beside:
        lines += [f"Beside that: {', '.join(beside)}.", ""]
    return _joined(lines)


def _foot(plan: Plan, refused_by: Sequence[Diagnostic], commands: Commands) -> str:
    lines: list[str] = []
    if refused_by and commands.override:
        lines += ["When all of this is meant, exactly this plan, and no other, can be applied by:", ""]
        lines += _copied(commands.override)
    elif not refused_by and not plan.is_empty:
        lines += ["To apply it:", "", *_copied(commands.apply)]
    return _joined([*lines, f"Digest {_code(plan.digest)}"])


def _copied(command: str) -> list[str]:
    shown = visible(command)
    if shown != command or size(shown) > _COMMAND:
        return ["(The command can not be shown: the name of the file is too long, or holds control characters.)", ""]
    return [*_fence([shown], "sh"), ""]


# Refusals


def _refusals(refused_by: Sequence[Diagnostic], room: int) -> str:
    def in_full(each: Diagnostic) -> str:
        return _joined([*_fence(diagnostics_as_text([each], paint=_PLAIN).splitlines(), "text"), ""])

    return _section("#### Refused", refused_by, room, in_full=in_full, brief=lambda each: f"{_code(each.summary)}\n\n")


# Changes


def _changes(groups: Groups, room: int) -> str:
    whole = _all_of(groups, room)
    if whole is not None:
        return whole
    for risk, group in groups:
        room -= size(_frame(risk, len(group), "")) + len({change.kind for change in group}) * _REMARK
    wanted = sum(len(name) + 4 for _, group in groups for change in group for name in names_of(change))
    for_details = room - min(wanted, room // 3)
    details, taken = _as_many(groups, for_details)
    left = room - taken
    texts: list[str] = []
    for (risk, group), blocks in zip(groups, details, strict=True):
        named, used = _named(group[len(blocks) :], left)
        left -= used
        texts.append(_frame(risk, len(group), "".join([*blocks, named])))
    return "".join(texts)


def _all_of(groups: Groups, room: int) -> str | None:
    """Every change in full; None when there is no room for that."""
    texts: list[str] = []
    for risk, group in groups:
        blocks: list[str] = []
        room -= size(_frame(risk, len(group), ""))
        for change in group:
            blocks.append(_change(change, None))
            room -= size(blocks[-1])
            if room < 0:
                return None
        texts.append(_frame(risk, len(group), "".join(blocks)))
    return "".join(texts) if room >= 0 else None


def _as_many(groups: Groups, room: int) -> tuple[list[list[str]], int]:
    """The first changes, each of bounded size, and what they take; after one that does not fit come none."""
    details: list[list[str]] = [[] for _ in groups]
    taken = 0
    for blocks, (_, group) in zip(details, groups, strict=True):
        for change in group:
            block = _change(change, _BLOCK)
            if taken + size(block) > room:
                return details, taken
            blocks.append(block)
            taken += size(block)
    return details, taken


def _frame(risk: Risk, count: int, text: str) -> str:
    """A group under its heading; what is not grave can be unfolded."""
    title = f"{TITLES[risk]} ({count:,})"
    if risk.is_grave:
        return f"#### {title}\n\n{text}"
    return f"<details>\n<summary>{title}</summary>\n\n{text}</details>\n\n"


def _change(change: Change, most: int | None) -> str:
    names = " → ".join(_code(name) for name in names_of(change))
    origin = origin_of(change)
    parts = [f"**{change.kind}** {names}", "" if origin is None else _code(place_of(origin)), reason_of(change, _code)]
    if isinstance(change, Resecret):
        parts.append(users_of(change, _code))
    return _block(" · ".join(part for part in parts if part), lines_of(change), most)


def _block(heading: str, lines: Iterable[Line], most: int | None) -> str:
    """A heading and the lines below it; as many as there is room for, and how many there are beyond."""
    texts = [f"{mark} {text}" for mark, text in lines]
    block = _joined([heading, "", *([*_fence(texts, "diff"), ""] if texts else [])])
    if most is None or size(block) <= most:
        return block
    texts = [_cut(text) for text in texts]
    left = most - size(heading) - 100
    kept = 0
    while kept < len(texts) and (left := left - size(texts[kept]) - 2) > 0:
        kept += 1
    shown = [*_fence(texts[:kept], "diff"), ""] if kept else []
    beyond = [f"{plural(len(texts) - kept, 'line')} more.", ""] if kept < len(texts) else []
    return _joined([heading, "", *shown, *beyond])


def _cut(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[:_LINE]}… (and {len(text) - _LINE:,} more characters)"


def _named(changes: Sequence[Change], room: int) -> tuple[str, int]:
    """Changes without details: by kind, as many names as fit, then how many there are beyond."""
    by_kind: dict[str, list[Change]] = {}
    for change in changes:
        by_kind.setdefault(change.kind, []).append(change)
    lines: list[str] = []
    used = 0
    for kind, group in by_kind.items():
        names: list[str] = []
        for change in group:
            name = " → ".join(_code(each) for each in names_of(change))
            if used + size(name) + 2 > room:
                break
            names.append(name)
            used += size(name) + 2
        beyond = f"{len(group) - len(names):,} more" if names else f"{len(group):,}"
        shown = ", ".join([*names, beyond] if len(names) < len(group) else names)
        lines += [f"**{kind}**, without details: {shown}.", ""]
    return _joined(lines), used


# Beside the changes


def _drift(drift: Sequence[Drift], left: frozenset[Key], room: int) -> str:
    def heading(each: Drift) -> str:
        parts = (f"**{each.kind}** {_code(str(each.key))}", blame_of(each.blame, _code), fate_of(each, left))
        return " · ".join(part for part in parts if part)

    def in_full(each: Drift) -> str:
        return _block(heading(each), lines_of_drift(each), _BLOCK)

    title = "#### Changed at the target behind the files"
    return _section(title, drift, room, in_full=in_full, brief=lambda each: f"{heading(each)}\n\n")


def _renames(renames: Sequence[Rename], room: int) -> str:
    def heading(each: Rename) -> str:
        return f"{_code(str(each.before))} → {_code(str(each.after))}, in {_code(each.file)}"

    def in_full(each: Rename) -> str:
        return _joined([f"{heading(each)}:", "", *_fence(copied(each.lines), "yaml"), ""])

    title = "#### Renamed? These lines move what is there instead of deleting it"
    return _section(title, renames, room, in_full=in_full, brief=lambda each: f"{heading(each)}\n\n")


def _collisions(collisions: Sequence[Collision], room: int) -> str:
    def item(each: Collision) -> str:
        return f"- {_code(str(each.key))} · {holder_of(each, _code)}\n"

    return _section("#### Claimed by the files and held by others", collisions, room, in_full=item)


def _left(plan: Plan, room: int) -> str:
    def item(row: tuple[str, str]) -> str:
        name, what = row
        return f"- {_code(name)} {what}".rstrip() + "\n"

    title = "#### Left alone, since the files do not mention it\n\nListed under `removed`, it would be deleted."
    return _section(title, left_alone(plan), room, in_full=item)


def _section(
    heading: str,
    told: Sequence[T],
    room: int,
    *,
    in_full: Callable[[T], str],
    brief: Callable[[T], str] | None = None,
) -> str:
    """As much in full as there is room for, what comes next in brief, and how much there is beyond."""
    if not told:
        return ""
    room -= size(heading) + _REMARK
    texts: list[str] = []
    for write in (in_full, brief or in_full):
        for each in told[len(texts) :]:
            text = write(each)
            if size(text) > room:
                break
            room -= size(text)
            texts.append(text)
    beyond = len(told) - len(texts)
    more = f"And {beyond:,} more.\n\n" if beyond else ""
    end = "\n" if texts and not texts[-1].endswith("\n\n") else ""
    return f"{heading}\n\n{''.join(texts)}{end}{more}"


# Markdown


def _code(text: str) -> str:
    """A code span (CommonMark 6.1): its delimiter is longer than any run of backticks in it."""
    shown = visible(text)
    if len(shown) > _NAME:
        shown = f"{shown[: _NAME - 1]}…"
    if not shown:
        return "(empty)"
    delimiter = "`" * (_longest_run([shown]) + 1)
    # A blank at both ends is taken away once, and keeps backticks of the text off the delimiter.
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{delimiter}{pad}{shown}{pad}{delimiter}"


def _fence(lines: Sequence[str], language: str) -> list[str]:
    """A block of code (CommonMark 4.5) that no line in it can close."""
    fence = "`" * max(_longest_run(lines) + 1, 3)
    return [f"{fence}{language}", *lines, fence]


def _longest_run(lines: Iterable[str]) -> int:
    return max((len(run) for line in lines if "`" in line for run in _BACKTICKS.findall(line)), default=0)


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n" if lines else ""
