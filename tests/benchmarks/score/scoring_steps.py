"""Steps of the scoring benchmark that run in their own process: build, scoring, LightGBM."""

import shutil
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl

from features import subscription_timeline
from features.panel.account_aggregates import LOOKBACK_MONTHS
from features.panel.builder import Panel
from serving import store
from serving.delivery import service
from serving.delivery.reconcile import sender
from serving.scoring import score as scoring
from tests.benchmarks.bench_script import peak_memory_bytes
from tests.benchmarks.score import scored_accounts
from tests.benchmarks.score.scored_accounts import AS_OF, BenchSize
from tests.benchmarks.stopwatch import Stopwatch
from training.explain import attributions
from training.model import event_date
from training.model.propensity import Propensity
from training.registry import RegisteredModel, serialization

__all__ = ["run_step"]

_CONTRACT = {
    "plan": pl.String,
    "usage_limit": pl.Float64,
    "mrr": pl.Float64,
    "renewal": pl.Datetime("us", "UTC"),
    "last_increase_known_at": pl.Datetime("us", "UTC"),
}


def run_step(name: str, folder: Path, size: BenchSize) -> dict[str, Any]:
    """Run one step; return its result with the peak memory."""
    return {**_STEPS[name](folder, size), "peak_bytes": peak_memory_bytes()}


def _measure_scoring(folder: Path, _: BenchSize) -> dict[str, Any]:
    """Measure `expansion score` from given features into an empty SQLite database."""
    rows, tables, config = scored_accounts.load_accounts(folder)
    model = _load_registered_model(folder)
    shutil.rmtree(config.state_folder, ignore_errors=True)
    contracts = subscription_timeline.build_timeline(tables.subscriptions.rows)
    clock = _instrument_scoring(rows, contracts)
    log: Any = SimpleNamespace(last_day=AS_OF.date() - timedelta(days=1))
    peak_before, started = peak_memory_bytes(), time.perf_counter()
    with clock.measure("rows, ranks, notes"):
        scored = scoring.score(model, tables, log, AS_OF, config)
    with clock.measure("counts and entitlements"):
        engine = store.open_engine(config.database_url)
        delivery = service.deliver_list(
            engine, scored, tables, AS_OF, config, name="sql", record={}, now=AS_OF
        )
    return {
        "rows": scored.accounts.height,
        "seconds": time.perf_counter() - started,
        "steps": clock.to_dict(),
        "peak_before_bytes": peak_before,
        "reasons": int(scored.accounts["signals"].list.len().sum()),
        "sent": delivery.to_dict()["sent"],
        "database_bytes": sum(file.stat().st_size for file in config.state_folder.glob("*.db*")),
    }


def _measure_lightgbm(folder: Path, _: BenchSize) -> dict[str, Any]:
    """Measure LightGBM's own ``predict``, with and without ``pred_contrib``, on the same rows."""
    rows = pl.read_parquet(folder / "accounts.parquet")
    model = _load_registered_model(folder).model
    matrix = np.ascontiguousarray(rows.select(model.inputs).to_numpy())
    clock = Stopwatch(peak_memory_bytes)
    started = time.perf_counter()
    for booster in _load_boosters(folder):
        with clock.measure("predict"):
            booster.predict(matrix)
        with clock.measure("predict, pred_contrib"):
            booster.predict(matrix, pred_contrib=True)
    return {
        "rows": len(matrix),
        "seconds": time.perf_counter() - started,
        "steps": clock.to_dict(),
        "boosters": len(_load_boosters(folder)),
        "trees": _load_boosters(folder)[0].num_trees(),
        "columns": matrix.shape[1],
    }


def _instrument_scoring(rows: pl.DataFrame, contracts: pl.DataFrame) -> Stopwatch:
    """Wrap the parts of a run with the stopwatch; the features are given, not built."""
    clock = Stopwatch(peak_memory_bytes)
    months = _build_monthly_history(rows)
    panel = Panel(rows, _empty_ineligible(), pl.DataFrame(), months, contracts)
    given = SimpleNamespace(build_panel=lambda *_, **__: panel)
    setattr(scoring, "builder", given)  # noqa: B010
    clock.wrap(Propensity, "predict_all_horizons", "probability and incidence")
    clock.wrap(Propensity, "predict", "churn probability")
    clock.wrap(event_date, "estimate_event_dates", "dates")
    clock.wrap(Propensity, "compute_contributions", "contributions")
    clock.wrap(attributions, "explain_predictions", "reasons")
    clock.wrap(service, "commit_run", "into the database")
    clock.wrap(sender, "send_pending", "to the embedded CRM")
    return clock


def _load_registered_model(folder: Path) -> RegisteredModel:
    model_folder = folder / "model"
    model, card = serialization.load_model(model_folder, (folder / "digest").read_text())
    return RegisteredModel(model, "1", card, serialization.load_churn_model(model_folder, card))


def _load_boosters(folder: Path) -> list[lgb.Booster]:
    files = sorted((folder / "model").glob("booster_*.txt"))
    return [lgb.Booster(model_file=file) for file in files]


def _build_monthly_history(rows: pl.DataFrame) -> pl.DataFrame:
    """Build as many columns as the charts of an account show, every month equal to the last."""
    now = {"active_seats": "active_seats", "seats": "licensed_seats", "api_calls": "api_calls_30d"}
    return rows.select(
        "account_id",
        *(pl.lit(None, kind).alias(name) for name, kind in _CONTRACT.items()),
        *(
            pl.col(column).alias(f"{name}_m{back}")
            for name, column in now.items()
            for back in range(LOOKBACK_MONTHS + 1)
        ),
    )


def _empty_ineligible() -> pl.DataFrame:
    return pl.DataFrame(schema={"account_id": pl.String, "as_of": pl.Date, "reason": pl.String})


_STEPS = {
    "build": scored_accounts.build_accounts,
    "scoring": _measure_scoring,
    "lightgbm": _measure_lightgbm,
}
