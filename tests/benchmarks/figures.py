"""What benchmarks measure, and the table that shows it beside what is promised."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["HEADINGS", "Figure", "print_figures", "row"]

WIDTHS: Final = (64, 10, 23, 12)


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, in all runs. Where something is promised, the median must keep it: `most` or `least`."""

    what: str
    unit: str
    values: Sequence[float]
    most: float | None = None
    least: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether it keeps its limit; None when it has none."""
        if self.most is not None:
            return self.median <= self.most
        return None if self.least is None else self.median >= self.least


def number(value: float) -> str:
    """As many places as say something."""
    size = abs(value)
    places = 0 if size >= 100 or value == 0 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return f"{value:,.{places}f}"


def row(figure: Figure) -> str:
    """A line of the table."""
    values = figure.values
    spread = f"{number(min(values))} - {number(max(values))}" if len(values) > 1 else ""
    limit = "" if figure.most is None else f"≤ {number(figure.most)}"
    limit = limit if figure.least is None else f"≥ {number(figure.least)}"
    verdict = {None: "", True: "met", False: "MISSED"}[figure.met]
    cells = (f"{figure.what}, {figure.unit}", number(figure.median), spread, limit)
    return f"{aligned(cells)}  {verdict}".rstrip()


def aligned(cells: Sequence[str]) -> str:
    (first, *rest), (width, *widths) = cells, WIDTHS
    return f"{first:<{width}}" + "".join(f"{cell:>{width}}" for cell, width in zip(rest, widths, strict=True))


HEADINGS: Final = aligned(("", "median", "all runs", "limit"))


def print_figures(figures: Iterable[Figure]) -> list[Figure]:
    """Print the table, each line as soon as it is known; what was printed."""
    print(HEADINGS, flush=True)
    printed = []
    for figure in figures:
        print(row(figure), flush=True)
        printed.append(figure)
    return printed
