"""Stories about plans: Markdown with the files of a project, what a target holds, and the plan that comes of it.

A story is a section. Fenced blocks named like files hold them, in one of four pictures:

    ```yaml device-types/tracker.yaml      what the files say
    ```applied device-types/tracker.yaml   what they said when they were applied last; without any, nothing was applied
    ```target device-types/tracker.yaml    what is at the target now; without any, what was applied
    ```theirs device-types/fridge.yaml     what another project, cold-store, has there

What a story says of `reconciler.yaml` is added to a project file that works. The block `plan` says what is planned and
what refuses it. Everything that drifted was done by bob.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reconciler.cli.project import limits_of
from reconciler.codec.canonical import set_digest
from reconciler.config.load import Loaded, load
from reconciler.diagnostics import Diagnostic
from reconciler.model.definition import JsonValue
from reconciler.model.plan import Change, Create, Delete, Drift, FieldChange, Move, Plan, Resecret
from reconciler.model.snapshot import Applied, Blame, Desired, Fingerprint, Observed
from reconciler.plan.limits import refusals
from reconciler.plan.planner import make_plan
from tests.cases.stories import as_text

PROJECT = """\
apiVersion: reconciler/v1
kind: Project
name: {name}
sources: [device-types/*.yaml]
environments:
  dev:
    target: {{engine: "http://127.0.0.1:8460", token: {{env: TOKEN}}}}
"""
PICTURES = {"yaml": "", "applied": "applied", "target": "target", "theirs": "theirs"}
BOB = Blame("bob", 6, datetime(2026, 11, 23, 14, tzinfo=UTC))

_BLOCK = re.compile(r"^```(?P<language>[a-z]+) *(?P<name>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class PlanStory:
    """One section of a page; `expected` is the text of its plan, from `start` to `end` in the page."""

    title: str
    pictures: Mapping[str, Mapping[str, str]]
    expected: str
    start: int
    end: int

    def found(self, root: Path) -> str:
        """Write the files below `root`, which has to be the current directory, and plan."""
        loaded = self._loaded(root, "yaml", owner="cold-chain")
        desired = _desired(loaded)
        applied = _desired(self._loaded(root, "applied", owner="cold-chain")) if "applied" in self.pictures else None
        held = _desired(self._loaded(root, "target", owner="cold-chain")) if "target" in self.pictures else applied
        theirs = _desired(self._loaded(root, "theirs", owner="cold-store")) if "theirs" in self.pictures else None
        observed = _observed(held, applied, theirs)
        plan = make_plan(desired, observed, environment="dev", target="http://127.0.0.1:8460")
        lines = [*_told(plan), *_refused(refusals(plan, observed, limits_of(loaded)))]
        return "".join(f"{line.rstrip()}\n" for line in lines).replace(plan.digest, "DIGEST")

    def _loaded(self, root: Path, picture: str, *, owner: str) -> Loaded:
        folder = root / PICTURES[picture]
        files = dict(self.pictures.get(picture, {}))
        files["reconciler.yaml"] = PROJECT.format(name=owner) + files.get("reconciler.yaml", "")
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return load(Path(PICTURES[picture]), environ={}, environment="dev")


def _desired(loaded: Loaded) -> Desired:
    assert loaded.desired is not None, as_text(loaded.diagnostics)
    return loaded.desired


def _observed(held: Desired | None, applied: Desired | None, theirs: Desired | None) -> Observed:
    definitions = {} if held is None else held.definitions
    digests = {key: definition.digest for key, definition in definitions.items()}
    last = None
    if applied is not None:
        last = Applied(5, {key: d.digest for key, d in applied.definitions.items()}, applied.definitions)
    drifted = (
        {} if last is None else {k for k in digests.keys() | last.digests if digests.get(k) != last.digests.get(k)}
    )
    return Observed(
        digests=digests,
        definitions=definitions,
        foreign={} if theirs is None else dict.fromkeys(theirs.definitions, theirs.owner),
        fingerprint=Fingerprint(6, set_digest(digests)),
        applied=last,
        blame=dict.fromkeys(drifted, BOB),
    )


def plan_stories(page: str) -> Iterator[PlanStory]:
    """The sections of a page that hold a plan."""
    headings = [*_HEADING.finditer(page)]
    ends = [heading.start() for heading in headings[1:]] + [len(page)]
    for heading, section_end in zip(headings, ends, strict=True):
        pictures: dict[str, dict[str, str]] = {}
        for block in _BLOCK.finditer(page, heading.end(), section_end):
            if block["language"] == "plan":
                yield PlanStory(heading["title"], pictures, block["text"], *block.span("text"))
            elif block["language"] in PICTURES:
                pictures.setdefault(block["language"], {})[block["name"]] = block["text"]


# A plan in words


def _told(plan: Plan) -> Iterator[str]:
    for change in plan.changes:
        yield from _change(change)
    for drift in plan.drift:
        yield from _drift(drift)
    for key in plan.left:
        yield f"left alone: {key}"
    for rename in plan.renames:
        yield f"renamed? {rename.before} to {rename.after}; in {rename.file}:"
        yield from (f"    {line}" for line in rename.lines.splitlines())
    if plan.is_empty:
        yield "nothing to change"


def _refused(found: tuple[Diagnostic, ...]) -> Iterator[str]:
    for each in found:
        yield ""
        yield from as_text((each,)).removeprefix("None ").splitlines()  # without a place


def _change(change: Change) -> Iterator[str]:
    what = f"{change.before.key} to {change.key}" if isinstance(change, Move) else f"{change.key}"
    origin = None if isinstance(change, Delete | Resecret) else change.origin
    place = "" if origin is None else f"  {origin.file}:{origin.line}"
    yield f"{change.kind} {what} ({change.reason}){place}"
    if not isinstance(change, Create | Delete | Resecret):
        yield from _fields(change.fields)


def _drift(drift: Drift) -> Iterator[str]:
    by = "" if drift.blame is None else f" by {drift.blame.by} in revision {drift.blame.revision}"
    yield f"drift: {drift.key} {drift.kind}{by}{', undone' if drift.undone else ''}"
    yield from _fields(drift.fields)


def _fields(fields: tuple[FieldChange, ...]) -> Iterator[str]:
    for field in fields:
        before, after = _side(field.before, field.added), _side(field.after, field.removed)
        yield f"    {'.'.join(field.path)}: {before} → {after}"


def _side(value: JsonValue, absent: bool) -> str:
    return "absent" if absent else f"{value}"


def rewritten(page: str, story: PlanStory, found: str) -> str:
    """The page with another plan in a story; places of an earlier reading may have moved since."""
    current = next(each for each in plan_stories(page) if each.title == story.title)
    return page[: current.start] + found + page[current.end :]
