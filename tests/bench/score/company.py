"""Many accounts with real features: simulated companies, each snapshot an account of its own.

A snapshot of one account in one month is told apart from that of another month by its account id,
and all are asked about at one as-of. So no row is a copy of another, and what is remembered from
row to row helps no more than it would on as many accounts.
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
from features.catalogue import FEATURE_NAMES
from training import labels
from training.evaluation import splits
from training.model import expansion_size, propensity
from training.pipeline import training_run
from training.registry import serialization

__all__ = ["AS_OF", "Size", "load", "make"]

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
_ACCOUNTS_PER_CSM = 100
_LEARNED_FROM = 20_000  # snapshots


@dataclass(frozen=True)
class Size:
    """How much is made."""

    rows: int
    accounts: int
    months: int
    members: int
    rounds: int


def make(folder: Path, size: Size) -> dict[str, int]:
    """Make the accounts and the models, unless they are kept and of the present code."""
    if _fits(folder):
        return {
            "rows": pl.scan_parquet(folder / "accounts.parquet").select(pl.len()).collect().item()
        }
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts: list[pl.DataFrame] = []
    while sum(part.height for part in parts) < size.rows:
        parts.append(_snapshots(folder, size, seed=len(parts) + 1))
    rows = pl.concat(parts).head(size.rows)
    number = pl.int_range(pl.len()).cast(pl.String).str.zfill(7)
    rows = rows.with_columns(account_id=pl.format("acc_{}", number), as_of=pl.lit(AS_OF.date()))
    rows.write_parquet(folder / "accounts.parquet")
    return {"rows": rows.height}


def _fits(folder: Path) -> bool:
    """Whether what is kept has the features, and its model the format, of today."""
    file = folder / "accounts.parquet"
    if not file.exists() or not set(FEATURE_NAMES) <= set(pl.read_parquet_schema(file)):
        return False
    try:
        serialization.load_model(folder / "model", (folder / "digest").read_text())
    except (ModelError, OSError):
        return False
    return True


def load(folder: Path) -> tuple[pl.DataFrame, table_loader.Tables, Settings]:
    """Give the snapshots, and the small tables of the same accounts."""
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


def _snapshots(folder: Path, size: Size, seed: int) -> pl.DataFrame:
    """One company's, of every as-of; the first company's also train the models."""
    where = folder / f"company-{seed}"
    simulator.write_company(where, accounts=size.accounts, months=size.months, seed=seed)
    config = settings.load_settings(where / "expansion.toml")
    tables, log = training_run.load_data(config, now=AS_OF + timedelta(days=1))
    past = training_run.build_history(config, tables, log, AS_OF)
    if seed == 1:
        _train(folder, size, past.panel.snapshots, past.contracts, config)
    shutil.rmtree(where)
    return past.panel.snapshots


def _train(
    folder: Path, size: Size, snapshots: pl.DataFrame, contracts: pl.DataFrame, config: Settings
) -> None:
    """Fit both models with the settings of a user, without the walks that judge them."""
    rules = config.model.model_copy(
        update={"ensemble_size": size.members, "n_estimators": size.rounds}
    )
    known = splits.build_training_set(
        snapshots.tail(_LEARNED_FROM), contracts, AS_OF, config.outcome
    )
    horizon = config.outcome.horizon_days
    fitted = propensity.fit_propensity(known.snapshots, known.outcomes, rules, horizon_days=horizon)
    plain = rules.model_copy(update={"horizons_days": (horizon,), "monotone_features": ()})
    leaving = propensity.fit_propensity(
        known.snapshots,
        known.outcomes,
        plain,
        horizon_days=horizon,
        label_within=labels.churned_within,
    )
    where = folder / "model"
    where.mkdir()
    digest = serialization.save_model(
        fitted,
        where,
        {"expansion_sizes": expansion_size.estimate_increase_by_type(known.outcomes)},
        churn_model=leaving,
    )
    (folder / "digest").write_text(digest)
