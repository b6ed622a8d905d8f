"""The directory in which an engine keeps its data."""

from pathlib import Path

__all__ = ["make_data_directory"]


def make_data_directory(path: Path) -> None:
    """Make it if it is missing: for its owner alone, and left alone by git, wherever it is.

    Raises:
        OSError: it can not be made.
    """
    if not path.exists():
        path.mkdir(mode=0o700, parents=True)
        (path / ".gitignore").write_text("*\n", encoding="ascii")
