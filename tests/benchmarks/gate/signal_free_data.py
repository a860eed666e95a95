"""Data sets without a signal, which the gate should reject."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.config import settings
from features.activity import load
from tests import ROOT
from tests.benchmarks.model import panels, permuted_labels
from training.evaluation import evaluate
from training.pipeline import training_run
from training.promotion import gate

__all__ = ["evaluate_permuted_openstack", "evaluate_ravenstack"]

_NOW = datetime(2026, 6, 2, tzinfo=UTC)


def evaluate_ravenstack(folder: Path) -> dict[str, Any]:
    """Evaluate the gate on a synthetic company whose upgrades hardly depend on use."""
    config = settings.load_settings(ROOT / "data/examples/ravenstack.toml")
    config = config.model_copy(update={"state": str(folder / "ravenstack")})
    tables, log = load.load_data(config, now=_NOW)
    history = training_run.build_history(config, tables, log, datetime(2024, 12, 31, tzinfo=UTC))
    return gate.evaluate_gate(
        training_run.evaluate_history(history, config).predictions, config
    ).to_dict()


def evaluate_permuted_openstack(folder: Path, number: int) -> dict[str, Any]:
    """Evaluate the gate on the OpenStack log with permuted outcomes, as ``bench-model`` does."""
    company = panels.BenchCompany("openstack", folder)
    panels.build_panels(company, "0")
    history = company.load_history()
    contracts = permuted_labels.permute_contracts(history, number)
    config = permuted_labels.reduce_effort(history.settings)
    evaluation = evaluate.evaluate_walk_forward(
        history.snapshots, contracts, config, end=history.end
    )
    return gate.evaluate_gate(evaluation.predictions, config).to_dict()
