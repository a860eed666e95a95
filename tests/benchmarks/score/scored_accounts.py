"""Many accounts with real features: each snapshot of simulated companies becomes an account.

Snapshots of one account in different months get different account ids, and all are scored at one
as-of. No row is a copy of another, so caching across rows helps no more than with real accounts.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from data import simulator
from data.config import settings
from data.config.settings import Settings
from data.errors import ModelError
from data.ingest import table_loader
from features.activity.load import load_data
from features.catalogue import FEATURE_NAMES
from training import labels
from training.evaluation import splits
from training.model import expansion_size, propensity
from training.pipeline import training_run
from training.registry import serialization

__all__ = ["AS_OF", "BenchSize", "build_accounts", "load_accounts"]

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
_ACCOUNTS_PER_CSM = 100
_TRAINING_SNAPSHOTS = 20_000  # snapshots


@dataclass(frozen=True)
class BenchSize:
    """Number of accounts, simulated company and model size."""

    rows: int
    accounts: int
    months: int
    ensemble_size: int
    n_estimators: int


def build_accounts(folder: Path, size: BenchSize) -> dict[str, int]:
    """Build the accounts and the models, unless stored ones match the present code."""
    if _is_current(folder):
        return {
            "rows": pl.scan_parquet(folder / "accounts.parquet").select(pl.len()).collect().item()
        }
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts: list[pl.DataFrame] = []
    while sum(part.height for part in parts) < size.rows:
        parts.append(_build_snapshots(folder, size, seed=len(parts) + 1))
    rows = pl.concat(parts).head(size.rows)
    number = pl.int_range(pl.len()).cast(pl.String).str.zfill(7)
    rows = rows.with_columns(account_id=pl.format("acc_{}", number), as_of=pl.lit(AS_OF.date()))
    rows.write_parquet(folder / "accounts.parquet")
    return {"rows": rows.height}


def _is_current(folder: Path) -> bool:
    """Check that the stored accounts have today's features, and the model today's format."""
    file = folder / "accounts.parquet"
    if not file.exists() or not set(FEATURE_NAMES) <= set(pl.read_parquet_schema(file)):
        return False
    try:
        serialization.load_model(folder / "model", (folder / "digest").read_text())
    except (ModelError, OSError):
        return False
    return True


def load_accounts(folder: Path) -> tuple[pl.DataFrame, table_loader.Tables, Settings]:
    """Load the snapshots, and the small tables of the same accounts."""
    rows = pl.read_parquet(folder / "accounts.parquet")
    config = Settings(state=str(folder / "state"))
    number = pl.int_range(rows.height)
    accounts = rows.select(
        "account_id",
        created_date=pl.lit(AS_OF - timedelta(days=900)),
        name=pl.format("Company {}", number),
        csm=pl.format("csm {}", number // _ACCOUNTS_PER_CSM),
    )
    contracts = rows.select(
        "account_id",
        "licensed_seats",
        "mrr",
        effective_date=pl.lit(AS_OF - timedelta(days=400)),
        plan=pl.lit("team"),
    )
    events = accounts.head(1).select(
        "account_id",
        user_id=pl.lit("one"),
        timestamp=pl.lit(AS_OF - timedelta(days=1)),
        event=pl.lit("view"),
    )
    return (
        rows,
        table_loader.tables_from_frames(events, contracts, accounts, tables=config.tables),
        config,
    )


def _build_snapshots(folder: Path, size: BenchSize, seed: int) -> pl.DataFrame:
    """Build one company's snapshots of every as-of; the first company also trains the models."""
    company_folder = folder / f"company-{seed}"
    simulator.write_company(company_folder, accounts=size.accounts, months=size.months, seed=seed)
    config = settings.load_settings(company_folder / "expansion.toml")
    tables, log = load_data(config, now=AS_OF + timedelta(days=1))
    history = training_run.build_history(config, tables, log, AS_OF)
    if seed == 1:
        _train_models(folder, size, history.panel.snapshots, history.contracts, config)
    shutil.rmtree(company_folder)
    return history.panel.snapshots


def _train_models(
    folder: Path,
    size: BenchSize,
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    config: Settings,
) -> None:
    """Fit both models with a user's settings, without walk-forward validation."""
    rules = config.model.model_copy(
        update={"ensemble_size": size.ensemble_size, "n_estimators": size.n_estimators}
    )
    training_set = splits.build_training_set(
        snapshots.tail(_TRAINING_SNAPSHOTS), contracts, AS_OF, config.outcome
    )
    horizon = config.outcome.horizon_days
    fitted = propensity.fit_propensity(training_set, rules, horizon_days=horizon)
    churn_settings = rules.model_copy(update={"horizons_days": (horizon,), "monotone_features": ()})
    churn_model = propensity.fit_propensity(
        training_set,
        churn_settings,
        horizon_days=horizon,
        build_label=labels.churn_label,
    )
    model_folder = folder / "model"
    model_folder.mkdir()
    digest = serialization.save_model(
        fitted,
        model_folder,
        {"increase_by_type": expansion_size.estimate_increase_by_type(training_set.outcomes)},
        churn_model=churn_model,
    )
    (folder / "digest").write_text(digest)
