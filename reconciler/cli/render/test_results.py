"""What came of tests of callbacks → text for people, JSON for programs, JUnit XML for CI systems.

1. Every failure of every test is shown, at the place of what was expected, with what was expected (`-`) and what would
   be sent (`+`).
2. JUnit: a suite for each environment, a test case for each test, its file and line as attributes. Characters that XML
   1.0 cannot hold are written as escapes.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree

from reconciler.cli.render.diagnostics import diagnostics_as_text
from reconciler.cli.render.plan_lines import Line, shown, text_diff
from reconciler.cli.render.text import Paint, cells, plural, visible
from reconciler.model.plan import FieldChange
from reconciler.preview.testing import Failure, Trial

__all__ = ["results_as_json", "results_as_junit", "results_as_text"]

_NO_ENVIRONMENT: Final = "no environment"
_PLAIN: Final = Paint(coloured=False)
# A pointer further to the right would stand below nothing: a terminal has broken the line.
_POINTER_CELLS: Final = 150


def results_as_text(
    trials: Sequence[Trial],
    *,
    environments: Sequence[str | None],
    left_out: Sequence[str],
    paint: Paint,
    with_passed: bool = False,
) -> str:
    """What failed and why, then how many of each there are; with `with_passed` a line for each that passed."""
    blocks = []
    passed = [f"{paint.good('passed')} {_title(each)}\n" for each in trials if each.passed]
    if with_passed and passed:
        blocks.append("".join(passed))
    blocks += [_failed(each, paint) for each in trials if not each.passed]
    return "\n".join([*blocks, _summary(trials, environments, left_out, paint)])


def results_as_json(trials: Sequence[Trial], *, left_out: Sequence[str]) -> str:
    """One object: the tests, how many there are of each kind, and the environments that could not be tested."""
    failed = sum(not each.passed for each in trials)
    document = {
        "tests": [_as_object(each) for each in trials],
        "total": len(trials),
        "passed": len(trials) - failed,
        "failed": failed,
        "environmentsNotTested": list(left_out),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def results_as_junit(trials: Sequence[Trial]) -> str:
    """An XML document."""
    root = _element("testsuites", name="reconciler test", tests=len(trials), failures=_failures(trials), errors=0)
    for environment in dict.fromkeys(each.environment for each in trials):
        own = [each for each in trials if each.environment == environment]
        name = environment or _NO_ENVIRONMENT
        suite = _element("testsuite", name=name, tests=len(own), failures=_failures(own), errors=0, skipped=0)
        suite.extend(_case(each, name) for each in own)
        root.append(suite)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _title(trial: Trial) -> str:
    where = f" ({visible(trial.environment)})" if trial.environment else ""
    return f"{visible(str(trial.callback))}, {visible(trial.name)}{where}"


# Text


def _failed(trial: Trial, paint: Paint) -> str:
    lines = [f"{paint.bad('failed')} {paint.strong(_title(trial))}\n"]
    lines += [_failure(each, paint) for each in trial.failures]
    lines += [f"  {paint.changed('warning')}: {visible(each)}\n" for each in trial.warnings]
    return "".join(lines)


def _failure(failure: Failure, paint: Paint) -> str:
    lines = [diagnostics_as_text([failure.diagnostic], paint=paint)]
    for mark, text in _diff(failure):
        colour = {"-": paint.bad, "+": paint.good}.get(mark, paint.faint)
        lines.append(f"    {colour(f'{mark} {text}')}\n")
    return "".join(lines)


def _diff(failure: Failure) -> Iterator[Line]:
    expected, found = failure.expected, failure.found
    if expected is not None and found is not None:
        several = text_diff(FieldChange((), expected, found))
        if several:
            yield from several
            return
    if expected is not None:
        yield "-", _one_line(expected)
    if found is not None:
        yield "+", _one_line(found)
    if expected and found:
        yield from _pointer(_one_line(expected), _one_line(found))


def _one_line(text: str) -> str:
    """A text as it is, where it shows all of itself."""
    return shown(text) if text != text.strip() or not text.isprintable() or not text else text


def _pointer(expected: str, found: str) -> Iterator[Line]:
    """A caret below the first character that differs, where that is not the first."""
    alike = next((at for at, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(expected), len(found)) if alike is None else alike
    if 0 < cells(found[:at]) < _POINTER_CELLS:
        yield " ", f"{' ' * cells(found[:at])}^"


def _summary(trials: Sequence[Trial], environments: Sequence[str | None], left_out: Sequence[str], paint: Paint) -> str:
    named = [visible(each) for each in environments if each is not None]
    where = f" in {' and '.join(named)}" if named else ""
    failed = _failures(trials)
    if not trials:
        line = f"No tests{where}."
    elif failed:
        line = f"{paint.bad(plural(failed, 'test') + ' failed')}, {len(trials) - failed:,} passed{where}."
    else:
        line = f"{paint.good(plural(len(trials), 'test') + ' passed')}{where}."
    if left_out:
        line += f" {paint.changed('Not tested')}: {', '.join(map(visible, left_out))}."
    return f"{line}\n"


# JSON


def _as_object(trial: Trial) -> dict[str, object]:
    return {
        "callback": str(trial.callback),
        "name": trial.name,
        "environment": trial.environment,
        "file": trial.span.file,
        "line": trial.span.line,
        "passed": trial.passed,
        "failures": [_failure_as_object(each) for each in trial.failures],
        "warnings": list(trial.warnings),
    }


def _failure_as_object(failure: Failure) -> dict[str, object]:
    file, line, column = failure.diagnostic.place
    return {
        "code": failure.diagnostic.code,
        "detail": failure.diagnostic.detail,
        "file": file,
        "line": line,
        "column": column,
        "expected": failure.expected,
        "found": failure.found,
    }


# JUnit


def _failures(trials: Sequence[Trial]) -> int:
    return sum(not each.passed for each in trials)


def _case(trial: Trial, suite: str) -> ElementTree.Element:
    case = _element(
        "testcase",
        name=trial.name,
        classname=f"{suite}.{trial.callback}",
        file=trial.span.file,
        line=trial.span.line,
    )
    for failure in trial.failures:
        found = failure.diagnostic
        element = _element("failure", type=found.code, message=f"{found.summary}: {found.detail}")
        element.text = "\n".join(visible(line) for line in _failure(failure, _PLAIN).splitlines())
        case.append(element)
    if trial.warnings:
        out = _element("system-out")
        out.text = "\n".join(visible(each) for each in trial.warnings)
        case.append(out)
    return case


def _element(tag: str, **attributes: object) -> ElementTree.Element:
    return ElementTree.Element(tag, {name: visible(str(value)) for name, value in attributes.items()})
