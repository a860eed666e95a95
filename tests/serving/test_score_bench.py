"""The bench of scoring runs, and its clocks count every second once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench/score"


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


def test_seconds_of_what_is_called_are_not_counted_again() -> None:
    import clock  # noqa: PLC0415 - beside the bench

    watch, started = clock.Clock(), time.perf_counter()
    with watch.running("outer"):
        time.sleep(0.05)
        with watch.running("inner"):
            time.sleep(0.1)
    whole = time.perf_counter() - started

    told = {label: step["seconds"] for label, step in watch.told().items()}
    assert told["inner"] >= 0.1
    assert told["outer"] >= 0.05
    assert sum(told.values()) == pytest.approx(whole, abs=0.02)


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
