"""Data in which there is nothing to find: the gate should say so."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.config import settings
from training.evaluation import evaluate
from training.pipeline import training_run
from training.promotion import gate

__all__ = ["ravenstack", "shuffled"]

ROOT = Path(__file__).resolve().parents[3]
_NOW = datetime(2026, 6, 2, tzinfo=UTC)


def ravenstack(folder: Path) -> dict[str, Any]:
    """Rule on the upgrades of a synthetic company that hardly depend on use."""
    config = settings.load_settings(ROOT / "data/examples/ravenstack.toml")
    config = config.model_copy(update={"state": str(folder / "ravenstack")})
    tables, log = training_run.load_data(config, now=_NOW)
    past = training_run.build_history(config, tables, log, datetime(2024, 12, 31, tzinfo=UTC))
    return gate.evaluate_gate(
        training_run.evaluate_history(past, config).predictions, config
    ).to_dict()


def shuffled(folder: Path, number: int) -> dict[str, Any]:
    """Rule on the OpenStack log with outcomes of other accounts, dealt as ``bench-model`` does."""
    sys.path.insert(0, str(ROOT / "tests/bench/model"))
    import panels  # noqa: PLC0415 - of the other bench
    import shuffled as other  # noqa: PLC0415

    panels.make("openstack", folder, (0,))
    past = panels.load("openstack", folder, smoke=False)
    contracts = other.dealt(past, number)
    config = other.fewer(past.settings)
    found = evaluate.evaluate_walk_forward(past.snapshots, contracts, config, end=past.end)
    return gate.evaluate_gate(found.predictions, config).to_dict()
