"""The pages of `reconciler explain` show what they speak of."""

from pathlib import Path

import pytest

import reconciler
from reconciler.config.codes import codes
from tests.cases.stories import Story, stories

PAGES = Path(reconciler.__file__).parent / "explain"

STORIES = {
    (code, story.title): story
    for code in sorted(codes())
    if (PAGES / f"{code}.md").exists()
    for story in stories((PAGES / f"{code}.md").read_text())
}


def told(title: str) -> list[tuple[str, Story]]:
    return [(code, story) for (code, section), story in STORIES.items() if section == title]


def test_every_code_has_a_page() -> None:
    assert {code for code in codes() if not (PAGES / f"{code}.md").exists()} == set()


@pytest.mark.parametrize("code", sorted(codes()))
def test_a_page_has_the_four_parts_of_a_page(code: str) -> None:
    lines = (PAGES / f"{code}.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("#") and not line.startswith("# all")] == [
        f"# {code}",
        "## Why it matters",
        "## Example",
        "## What to do",
    ]


@pytest.mark.parametrize(("code", "story"), told("Example"))
def test_the_example_has_this_mistake_and_no_other(
    code: str, story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {each.code for each in story.found(tmp_path)} == {code}


@pytest.mark.parametrize(("code", "story"), told("What to do"))
def test_what_is_advised_has_no_mistake(
    code: str, story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert story.found(tmp_path) == ()
