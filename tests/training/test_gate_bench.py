"""The bench of the gate runs, and its made-up histories are what it says they are."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data.config.settings import Settings

BENCH = Path(__file__).parents[1] / "bench/gate"


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


def test_made_up_scores_have_the_auroc_that_is_said() -> None:
    import drawn  # noqa: PLC0415 - beside the bench

    told = drawn._history(drawn.Case(accounts=4_000), np.random.default_rng(1))

    for name, auroc in {"probability": 0.80, "simple_score": 0.72}.items():
        assert roc_auc_score(told["expanded"], told[name]) == pytest.approx(auroc, abs=0.01)
    assert told["expanded"].mean() == pytest.approx(0.07, abs=0.015)
    assert told["probability"].mean() == pytest.approx(told["expanded"].mean(), abs=0.01)


def test_a_company_of_noise_keeps_the_rules_and_the_outcomes_of_the_simulator() -> None:
    import companies  # noqa: PLC0415 - beside the bench

    company = companies.made(200, 3, Settings(), columns=5)

    rows = company.snapshots
    assert rows["seat_utilization"].null_count() == 0
    assert 0.4 < rows["seat_utilization"].mean() < 1.0  # type: ignore[operator]
    assert rows.select("account_id", "as_of").is_duplicated().sum() == 0
    assert not set(company.inputs) & {"seat_utilization", "active_users_30d", "usage_ratio"}
    noise = rows[company.inputs[0]].to_numpy()
    assert noise.std() == pytest.approx(1.0, abs=0.15)


@pytest.mark.long
def test_the_bench_can_be_tried(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "run.py"), "--small", "--only", "nulls,real"]

    done = subprocess.run(
        [*command, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )

    assert "| null models, simulated companies | promoted in at most 5% |" in done.stdout
    assert (tmp_path / "GATE.md").read_text() == done.stdout
