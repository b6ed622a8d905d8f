"""The benchmarks run, in one command, and say what they found; how fast anything is, is no business of a test."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import plot
from tests.benchmarks.__main__ import Benchmark
from tests.benchmarks.bare_pipeline import bare_pipeline
from tests.benchmarks.figures import Figure, row
from tests.benchmarks.latency import Point, point
from tests.benchmarks.parts import ROOT
from tests.benchmarks.sink import sink


def test_one_command_prints_a_table_with_the_limits_beside() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--quick", "--only", "matching"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    machine, headings, *lines = ended.stdout.splitlines()
    assert re.match(r"\d+ cores, ", machine)
    assert headings.split() == ["median", "all", "runs", "limit"]
    found = "\n".join(lines)
    assert re.search(r"^matching, 1,000 × 10,000: nothing fires, us/message +[\d.]+ .* ≤ 20\.0  met$", found, re.M)
    assert re.search(r"^\d of 2 limits are met; it took [\d,]+ s\.$", found, re.M)


def figures(*, measured: float) -> dict[str, Benchmark]:
    """Two benchmarks: one with a limit of ten, and one with none."""

    def limited() -> list[Figure]:
        return [Figure("pause", "ms", [measured], most=10)]

    def free() -> list[Figure]:
        return [Figure("wrk", "1/s", [100_000])]

    return {"limited": Benchmark(limited, limited), "free": Benchmark(free, free)}


@pytest.mark.parametrize(
    ("measured", "options", "code", "said"),
    [
        (9, (), 0, "1 of 1 limits are met"),
        (9, ("--strict",), 0, "1 of 1 limits are met"),
        (11, (), 0, "  missed: pause\n"),
        (11, ("--strict",), 1, "  missed: pause\n"),
        (11, ("--strict", "--only", "free"), 0, "0 of 0 limits are met"),
    ],
)
def test_a_missed_limit_is_shown_and_only_strict_fails_for_it(
    measured: float,
    options: tuple[str, ...],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "benchmarks", lambda plot: figures(measured=measured))
    assert command.main(options) == code
    assert said in capsys.readouterr().out


def test_without_matplotlib_the_table_comes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Path | None] = []

    def benchmarks(plot: Path | None) -> dict[str, Benchmark]:
        asked.append(plot)
        return {"sweep": figures(measured=1)["limited"]}

    monkeypatch.setattr(command, "benchmarks", benchmarks)
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    assert command.main(["--plot", str(tmp_path / "plot.svg")]) == 0
    out = capsys.readouterr().out
    assert "matplotlib is missing. Get it with: pip install -e '.[bench]'" in out
    assert "1 of 1 limits are met" in out
    assert set(asked) == {None}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--only", "nothing"), "invalid choice: 'nothing'"),
        (("--only", "disk", "--plot", "plot.svg"), "--plot draws what 'sweep' measures"),
    ],
)
def test_what_can_not_be_asked_for(options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(options)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("figure", "cells"),
    [
        (Figure("rate", "1/s", [12_345.6]), "rate, 1/s 12,346"),
        (Figure("pause", "ms", [3, 1, 20], most=2.5), "pause, ms 3.00 1.00 - 20.0 ≤ 2.50 MISSED"),
        (Figure("pause", "ms", [0.0123, 0], most=0.5), "pause, ms 0.006 0 - 0.012 ≤ 0.50 met"),
        (Figure("share", "x", [0.4], least=0.4), "share, x 0.40 ≥ 0.40 met"),
        (Figure("share", "x", [0.39], least=0.4), "share, x 0.39 ≥ 0.40 MISSED"),
    ],
)
def test_a_row(figure: Figure, cells: str) -> None:
    assert " ".join(row(figure).split()) == cells


def test_the_yardstick_delivers_and_deletes_everything_that_it_took() -> None:
    with sink(record=True) as to, bare_pipeline(to.port) as bare:
        offered = point(bare, to, 1_000, 0.3)
        assert len(offered.latencies) == 300
        assert offered.latencies[0] > 0, "nothing arrives before it was due"
        assert to.count() == 300
        while bare.finished() < 300:
            pass
        assert bare.finished() == 300


def test_a_rate_is_too_high_when_half_comes_late_or_some_is_refused() -> None:
    assert not Point(100, 100.0, 0, [1.0, 99.0, 5_000.0]).saturated
    assert Point(100, 100.0, 0, [1.0, 101.0, 5_000.0]).saturated
    assert Point(100, 100.0, 1, [1.0, 1.0, 1.0]).saturated
