"""Throughput against latency, as SVG. The only module that needs matplotlib."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

__all__ = ["plot", "why_not"]

COLOURS: Final = {"engine": "tab:blue", "bare pipeline": "tab:gray"}


def why_not() -> str | None:
    """Why nothing can be drawn, and what to do; None when it can."""
    if find_spec("matplotlib"):
        return None
    return "No plot: matplotlib is missing. Get it with: pip install -e '.[bench]'"


def plot(lines: Mapping[tuple[str, str], Sequence[tuple[float, float]]], file: Path) -> None:
    """Draw (messages/s, ms) by system and quantile."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "reconciler"  # the same figures are the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    for (system, quantile), points in lines.items():
        style = "-" if quantile == "p50" else "--"
        axes.plot(*zip(*points, strict=True), style, marker="o", color=COLOURS[system], label=f"{system}, {quantile}")
    axes.set(
        xscale="log", yscale="log", xlabel="messages delivered a second", ylabel="from when a post was due, ms",
        title="From post to arrival at the sink: single posts, every one on disk before its answer",
    )  # fmt: skip
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(file, format="svg", metadata={"Date": None})
    pyplot.close(figure)
