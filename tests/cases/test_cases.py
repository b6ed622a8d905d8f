"""Every story in this folder tells the truth."""

from pathlib import Path

import pytest

from tests.cases.stories import Story, as_text, stories

PAGES = sorted(Path(__file__).parent.glob("*.md"))
STORIES = [(page, story) for page in PAGES for story in stories(page.read_text())]


@pytest.mark.parametrize(("page", "story"), STORIES, ids=[f"{page.stem}: {story.title}" for page, story in STORIES])
def test_story(
    page: Path, story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    found = as_text(story.found(tmp_path))
    if request.config.getoption("--update-cases") and found != story.expected:
        _rewrite(page, story, found)
        return
    assert found == story.expected


def _rewrite(page: Path, story: Story, found: str) -> None:
    """Places of an earlier reading of the page are moved by what was rewritten since; so it is read anew."""
    text = page.read_text()
    current = next(each for each in stories(text) if each.title == story.title)
    page.write_text(text[: current.start] + found + text[current.end :])
