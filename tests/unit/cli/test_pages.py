"""Each code that a person can meet has a page, and each page says what it has to."""

import ast
from pathlib import Path

import pytest

import reconciler
from reconciler.cli import pages
from reconciler.config.codes import codes as codes_of_files
from reconciler.runtime.channels.unreachable import Reason

PACKAGE = Path(reconciler.__file__).parent


def codes_in_the_source() -> set[str]:
    """The codes of every `Diagnostic(…)` and `Refusal(…)` that names one."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id not in ("Diagnostic", "Refusal"):
                    continue
                given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "code")]
                found |= {
                    each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    return found


def test_every_code_has_a_page() -> None:
    assert codes_of_files() | codes_in_the_source() | {reason.value for reason in Reason} <= set(pages.codes())


@pytest.mark.parametrize("code", pages.codes())
def test_a_page_says_what_why_and_what_to_do(code: str) -> None:
    page = pages.page(code)
    assert page is not None
    assert page.startswith(f"# {code}\n\n")
    sections = [line for line in page.splitlines() if line.startswith("## ")]
    assert sections == ["## Why it matters", "## Example", "## What to do"]


def test_an_unknown_code_has_no_page() -> None:
    assert pages.page("no-such-code") is None
    assert pages.page("../errors") is None
