"""The scoring benchmark runs, and its stopwatch counts every second once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.benchmarks import stopwatch


def test_seconds_of_a_nested_step_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(0.0, 0.0), (1.0, 0.5), (5.0, 3.5), (11.0, 4.5)])
    monkeypatch.setattr(stopwatch, "read_clocks", lambda: next(times))
    watch = stopwatch.Stopwatch()
    with watch.measure("outer"), watch.measure("inner"):
        pass

    seconds = {
        label: (step["seconds"], step["cpu_seconds"]) for label, step in watch.to_dict().items()
    }
    assert seconds == {"inner": (4.0, 3.0), "outer": (7.0, 1.5)}


@pytest.mark.long
def test_the_benchmark_runs_on_a_small_company(tmp_path: Path) -> None:
    completed = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.benchmarks.score.bench_score",
            "--small",
            "--folder",
            str(tmp_path / "bench"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )

    assert "| peak memory | at most 2 GB |" in completed.stdout
    assert (tmp_path / "bench/scoring-speed.md").read_text() == completed.stdout
