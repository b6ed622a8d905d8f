"""What `fmt` did, or would do → names of files, line diffs, JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff

from reconciler.cli.render.diagnostics import diagnostics_as_json
from reconciler.cli.render.line_mask import masked_lines
from reconciler.cli.render.text import Paint, plural, visible
from reconciler.diagnostics import Diagnostic

__all__ = ["Outcome", "diff_as_text", "names_as_text", "outcomes_as_json", "summary_of_formatting"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A file as it is, and in canonical form."""

    name: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether the two differ."""
        return self.before != self.after


def names_as_text(outcomes: Sequence[Outcome]) -> str:
    """A line for each file."""
    return "".join(f"{visible(each.name)}\n" for each in outcomes)


def diff_as_text(outcomes: Sequence[Outcome], *, paint: Paint) -> str:
    """What changes, as `diff -u` shows it; control characters are shown as escapes, passwords not at all."""
    return "".join(f"{line}\n" for each in outcomes for line in _diff(each, paint))


def outcomes_as_json(outcomes: Sequence[Outcome], found: Sequence[Diagnostic], *, written: bool) -> str:
    """One object: every file that could be read, whether it changes, whether that was written, and all findings."""
    document = {
        "files": [{"file": each.name, "changed": each.changed} for each in outcomes],
        "written": written,
        "diagnostics": json.loads(diagnostics_as_json(found))["diagnostics"],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def summary_of_formatting(outcomes: Sequence[Outcome], *, changed: int, written: bool) -> str:
    """How many files change, and how many are as they should be."""
    canonical = sum(not each.changed for each in outcomes)
    kept = f"{plural(canonical, 'file')} {'is' if canonical == 1 else 'are'} in canonical form"
    if not changed:
        return f"{kept}."
    return f"{plural(changed, 'file')} {'formatted' if written else 'would change'}; {kept}."


def _diff(outcome: Outcome, paint: Paint) -> Iterator[str]:
    name = visible(outcome.name)
    before, after = ([*masked_lines(text.removesuffix("\n").split("\n"))] for text in (outcome.before, outcome.after))
    for line in unified_diff(before, after, name, name, lineterm=""):
        shown = visible(line)
        match line[:1]:
            case "+":
                yield paint.good(shown)
            case "-":
                yield paint.bad(shown)
            case "@":
                yield paint.faint(shown)
            case _:
                yield shown
