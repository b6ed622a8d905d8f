"""Every story about plans tells the truth."""

from pathlib import Path

import pytest

from tests.cases.plan_stories import PlanStory, plan_stories, rewritten

PAGES = sorted((Path(__file__).parent / "plans").glob("*.md"))
STORIES = [(page, story) for page in PAGES for story in plan_stories(page.read_text())]


@pytest.mark.parametrize(("page", "story"), STORIES, ids=[f"{page.stem}: {story.title}" for page, story in STORIES])
def test_plan_story(
    page: Path, story: PlanStory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    found = story.found(tmp_path)
    if request.config.getoption("--update-cases") and found != story.expected:
        page.write_text(rewritten(page.read_text(), story, found))
        return
    assert found == story.expected
