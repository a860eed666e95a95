"""Steps of the model benchmark that run in their own process, by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.model import (
    date_baselines,
    fit_speed,
    oracle_dates,
    oracle_models,
    oracle_probability,
    panels,
    permuted_labels,
    small_companies,
    stability,
    walk_forward,
)
from tests.benchmarks.model.panels import BenchCompany

__all__ = ["run_step"]

_COMPANY_STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "panels": panels.build_panels,
    "walk": walk_forward.run_company_walk,
    "metrics": BenchCompany.load_metrics,
    "oracle probability": oracle_probability.evaluate_probability,
    "oracle features": oracle_models.evaluate_oracle_features,
    "oracle labels": oracle_models.evaluate_oracle_labels,
    "drivers": oracle_probability.evaluate_drivers,
    "dates": date_baselines.evaluate_date_baselines,
    "oracle dates": oracle_dates.evaluate_oracle_dates,
    "additivity": walk_forward.check_additivity,
    "stability": stability.measure_stability,
    "served": small_companies.evaluate_served_lists,
    "permuted": permuted_labels.evaluate_permuted_labels,
}
_FIT_STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "our fit": fit_speed.measure_model_fit,
    "LightGBM's train": fit_speed.measure_lightgbm_train,
}


def run_step(name: str, *arguments: str, folder: Path, smoke: bool) -> dict[str, Any]:
    """Run one step: of a company and more, of a number of rows, or of the code alone."""
    if name in _COMPANY_STEPS:
        company, *more = arguments
        return _COMPANY_STEPS[name](BenchCompany(company, folder, smoke), *more)
    if name in _FIT_STEPS:
        return _FIT_STEPS[name](int(arguments[0]), smoke=smoke)
    return {"panels": panels.hash_panel_code()}
