"""A simulated company for planting leaks, and the pipeline that must not use them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from data import simulator
from data.config import settings
from data.ingest import table_loader
from features import subscription_timeline
from features.activity.daily_tables import Activity
from features.panel import builder
from tests.tables import build_log, read_company
from training import labels
from training.data_quality.report import check_data_quality
from training.evaluation import splits
from training.model import propensity

END = datetime(2026, 6, 1, tzinfo=UTC)  # end of the data, "today"
LOADED = END - timedelta(hours=1)  # last night's job
LAST = END - timedelta(days=90)  # the newest as-of with a complete window of 60 days
AS_OFS = [LAST - timedelta(days=60 * back) for back in range(7)]
CUTOFF = AS_OFS[2]
LEARNER = settings.ModelConfig(
    horizons_days=(60,), ensemble_size=3, n_estimators=60, learning_rate=0.05, min_child_samples=40
)


@dataclass(frozen=True)
class PipelineOutput:
    """Output of the pipeline: snapshots, and the labels known at the cutoff and today."""

    snapshots: pl.DataFrame
    at_cutoff: pl.DataFrame
    today: pl.DataFrame
    quarantine: dict[str, int]


@dataclass(frozen=True)
class Company:
    """The company's tables as stored today, and the time of each sale."""

    events: tuple[pl.DataFrame, ...]
    subscriptions: pl.DataFrame
    accounts: pl.DataFrame
    users: pl.DataFrame
    sales: pl.DataFrame  # account_id, sold_at
    settings: settings.Settings
    folder: Path

    def with_events(self, rows: pl.DataFrame) -> "Company":
        """Add a file to the log."""
        schema = self.events[0].schema
        missing = [pl.lit(None, kind).alias(n) for n, kind in schema.items() if n not in rows]
        added = rows.with_columns(missing).select(pl.col(n).cast(k) for n, k in schema.items())
        return replace(self, events=(*self.events, added))

    def with_contracts(self, rows: pl.DataFrame) -> "Company":
        added = rows.select(self.subscriptions.columns)
        return replace(self, subscriptions=pl.concat([self.subscriptions, added]))

    def with_users(self, rows: pl.DataFrame) -> "Company":
        return replace(self, users=pl.concat([self.users, rows], how="diagonal"))

    def with_time_invariant(self, *attributes: str) -> "Company":
        tables = self.settings.tables.model_copy(update={"time_invariant_attributes": attributes})
        return replace(self, settings=self.settings.model_copy(update={"tables": tables}))

    def sales_between(self, start: datetime, end: datetime = END) -> pl.DataFrame:
        """Return the sales in [start, end)."""
        return self.sales.filter(pl.col("sold_at").is_between(start, end, closed="left"))

    def accounts_sold_since(self, start: datetime) -> pl.Expr:
        return pl.col("account_id").is_in(self.sales_between(start)["account_id"].implode())

    def tables(self) -> table_loader.Tables:
        return table_loader.tables_from_frames(
            list(self.events),
            self.subscriptions,
            self.accounts,
            self.users,
            tables=self.settings.tables,
            now=END,
        )

    def log(self, tables: table_loader.Tables) -> Activity:
        return build_log(tables, self.folder, self.settings)

    def terms(self, tables: table_loader.Tables) -> pl.DataFrame:
        return subscription_timeline.build_timeline(
            tables.subscriptions.rows, plans=self.settings.outcome.plans
        )

    def run_pipeline(self, as_ofs: Sequence[datetime] = AS_OFS) -> PipelineOutput:
        tables = self.tables()
        log, terms, rules = self.log(tables), self.terms(tables), self.settings.outcome
        snapshots = builder.build_panel(log, tables, as_ofs, self.settings).snapshots
        at_cutoff = splits.build_training_set(snapshots, terms, CUTOFF, rules).outcomes
        today = labels.build_outcomes(snapshots, terms, cutoff=END, rules=rules)
        return PipelineOutput(snapshots, at_cutoff, today, dict(log.quarantine))

    def leaky_columns(self) -> set[str]:
        """Return the columns that `expansion check` reports as leaky."""
        tables = self.tables()
        report = check_data_quality(tables, self.log(tables), END, self.settings)
        return {f"{found['table']}.{found['column']}" for found in report.leakage}


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Return a company without leaks: a quarter of its log is enough here."""
    folder = tmp_path_factory.mktemp("leaks")
    simulator.write_company(folder, accounts=250, months=24, seed=1)

    tables = read_company(folder)
    quarter = pl.col("event_id").str.slice(1).cast(pl.Int64) % 4 == 0
    log = pl.concat(month.filter(quarter) for month in tables.pop("events"))
    drivers = pl.read_parquet(folder / "drivers.parquet")
    evening = pl.col("date").cast(subscription_timeline.UTC_DATETIME) + pl.duration(hours=20)
    company = Company(
        events=(log,),
        **tables,
        sales=drivers.select("account_id", sold_at=evening),
        settings=settings.load_settings(folder / "expansion.toml"),
        folder=folder / "kept",
    )
    # The simulator never changes a department; planted leaks do, without declaring it.
    return company.with_time_invariant()


@pytest.fixture(scope="session")
def clean(company: Company) -> PipelineOutput:
    """Return the pipeline's output for the company without leaks."""
    return company.run_pipeline()


@pytest.fixture(scope="session")
def expanded_labels(clean: PipelineOutput) -> pl.DataFrame:
    """Return which snapshots expanded, as known today."""
    expanded = labels.expansion_label(60).alias("expanded")
    return clean.today.select("account_id", "as_of", expanded).drop_nulls()


@pytest.fixture(scope="session")
def clean_auroc(clean: PipelineOutput, expanded_labels: pl.DataFrame) -> float:
    return model_auroc(clean, expanded_labels)


def model_auroc(seen: PipelineOutput, expanded_labels: pl.DataFrame) -> float:
    """Return the AUROC after the cutoff of a small learner trained on data known at it."""
    before = pl.col("as_of") < CUTOFF.date()
    training_set = splits.TrainingSet(seen.snapshots.filter(before), seen.at_cutoff)
    fitted = propensity.fit_propensity(training_set, LEARNER, horizon_days=60)
    test_rows = seen.snapshots.filter(~before).join(expanded_labels, on=["account_id", "as_of"])
    return float(roc_auc_score(test_rows["expanded"], fitted.predict(test_rows).margin))


@pytest.fixture(scope="session")
def gain(clean_auroc: float, expanded_labels: pl.DataFrame) -> Callable[[PipelineOutput], float]:
    """Return the minimum AUROC gain over the learner on the company without leaks."""
    return lambda seen: model_auroc(seen, expanded_labels) - clean_auroc
