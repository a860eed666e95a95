"""The bench of scoring runs, and its clocks count every second once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench/score"


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


def test_seconds_of_what_is_called_are_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import clock  # noqa: PLC0415 - beside the bench

    times = iter([(0.0, 0.0), (1.0, 0.5), (5.0, 3.5), (11.0, 4.5)])
    monkeypatch.setattr(clock, "_now", lambda: next(times))
    watch = clock.Clock()
    with watch.running("outer"), watch.running("inner"):
        pass

    told = {label: (step["seconds"], step["cpu_seconds"]) for label, step in watch.told().items()}
    assert told == {"inner": (4.0, 3.0), "outer": (7.0, 1.5)}


@pytest.mark.long
def test_the_bench_can_be_tried(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), "--small", "--folder", str(tmp_path / "kept")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )

    assert "| memory at its peak | at most 2 GB |" in done.stdout
    assert (tmp_path / "kept/SPEED.md").read_text() == done.stdout
