"""The pages of `explain`: one Markdown file for each code, shipped in the package."""

from functools import cache
from importlib import resources

__all__ = ["codes", "page"]


@cache
def codes() -> tuple[str, ...]:
    """Every code that has a page, sorted."""
    names = (each.name for each in resources.files("reconciler").joinpath("explain").iterdir())
    return tuple(sorted(name.removesuffix(".md") for name in names if name.endswith(".md")))


def page(code: str) -> str | None:
    """The page of a code, None when there is none."""
    if code not in codes():
        return None
    return resources.files("reconciler").joinpath("explain", f"{code}.md").read_text(encoding="utf-8")
