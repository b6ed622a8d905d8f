"""What is committed in `schemas/` is what the documents say."""

from pathlib import Path

import pytest

import reconciler
from reconciler.config.published import published

SCHEMAS = Path(reconciler.__file__).parents[1] / "schemas"


@pytest.mark.parametrize("name", published())
def test_the_committed_file_is_the_generated_one(name: str) -> None:
    # After a change of config/document.py: reconciler schema --write
    assert (SCHEMAS / name).read_text() == published()[name]


def test_nothing_else_is_committed() -> None:
    assert {path.name for path in SCHEMAS.iterdir()} == set(published())


def test_every_field_is_described() -> None:
    rows = [line for line in published()["README.md"].splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if row.endswith("|  |")] == []
