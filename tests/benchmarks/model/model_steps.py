"""Steps of the model benchmark that run in their own process, by name."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.model import (
    date_baselines,
    fit_speed,
    oracle_dates,
    oracle_features,
    oracle_labels,
    oracle_probability,
    panels,
    permuted_labels,
    small_companies,
    stability,
    walk_forward,
)

__all__ = ["main"]

Step = Callable[[list[str], Path, bool], dict[str, Any]]

_STEPS: dict[str, Step] = {
    "panels": lambda arguments, folder, _: panels.build_panels(
        arguments[0], folder, tuple(map(int, arguments[1:]))
    ),
    "walk": lambda arguments, folder, smoke: walk_forward.run_company_walk(
        arguments[0], folder, smoke=smoke, explained=arguments[1:] == ["explained"]
    ),
    "metrics": lambda arguments, folder, _: walk_forward.load_metrics(arguments[0], folder),
    "oracle probability": lambda arguments, folder, _: oracle_probability.evaluate_probability(
        arguments[0], folder
    ),
    "oracle features": lambda arguments, folder, smoke: oracle_features.evaluate_oracle_features(
        arguments[0], folder, smoke=smoke
    ),
    "oracle labels": lambda arguments, folder, smoke: oracle_labels.evaluate_oracle_labels(
        arguments[0], folder, smoke=smoke
    ),
    "drivers": lambda arguments, folder, _: oracle_probability.evaluate_drivers(
        arguments[0], folder
    ),
    "dates": lambda arguments, folder, _: date_baselines.evaluate_date_baselines(
        arguments[0], folder
    ),
    "oracle dates": lambda arguments, folder, _: oracle_dates.evaluate_oracle_dates(
        arguments[0], folder
    ),
    "additivity": lambda arguments, folder, _: walk_forward.check_additivity(arguments[0], folder),
    "stability": lambda arguments, folder, smoke: stability.measure_stability(
        arguments[0], folder, smoke=smoke
    ),
    "served": lambda arguments, folder, _: small_companies.evaluate_served_lists(arguments, folder),
    "permuted": lambda arguments, folder, smoke: permuted_labels.evaluate_permuted_labels(
        arguments[0], folder, int(arguments[1]), smoke=smoke
    ),
    "our fit": lambda arguments, _, smoke: fit_speed.measure_model_fit(
        int(arguments[0]), smoke=smoke
    ),
    "LightGBM's train": lambda arguments, _, smoke: fit_speed.measure_lightgbm_train(
        int(arguments[0]), smoke=smoke
    ),
    "code": lambda *_: {"panels": panels.hash_panel_code()},
}


def main(name: str, arguments: list[str], folder: Path, *, smoke: bool) -> None:
    """Run one step and print its result as one line of JSON."""
    sys.stdout.write(json.dumps(_STEPS[name](arguments, folder, smoke)) + "\n")
