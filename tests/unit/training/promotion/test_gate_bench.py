"""The benchmark of the gate runs, and its simulated histories have the stated properties."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data.config.settings import Settings
from tests import ROOT
from tests.benchmarks.gate import noise_companies, simulated_scores


def test_simulated_scores_have_the_configured_auroc() -> None:
    history = simulated_scores.simulate_history(
        simulated_scores.ScoreCase(accounts=4_000), np.random.default_rng(1)
    )

    for name, auroc in {"probability": 0.80, "baseline_score": 0.72}.items():
        assert roc_auc_score(history["expanded"], history[name]) == pytest.approx(auroc, abs=0.01)
    assert history["expanded"].mean() == pytest.approx(0.07, abs=0.015)
    assert history["probability"].mean() == pytest.approx(history["expanded"].mean(), abs=0.01)


def test_a_noise_company_keeps_the_simulators_rules_and_outcomes() -> None:
    company = noise_companies.generate_company(200, 3, Settings(), columns=5)

    rows = company.snapshots
    assert rows["seat_utilization"].null_count() == 0
    assert 0.4 < rows["seat_utilization"].mean() < 1.0  # type: ignore[operator]
    assert rows.select("account_id", "as_of").is_duplicated().sum() == 0
    assert not set(company.inputs) & {"seat_utilization", "active_users_30d", "usage_ratio"}
    noise = rows[company.inputs[0]].to_numpy()
    assert noise.std() == pytest.approx(1.0, abs=0.15)


@pytest.mark.long
def test_the_bench_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.gate.bench_gate", "--small"]

    completed = subprocess.run(
        [*command, "--only", "nulls,real", "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )

    assert "| null models, simulated companies | promoted in at most 5% |" in completed.stdout
    assert (tmp_path / "gate.md").read_text() == completed.stdout
