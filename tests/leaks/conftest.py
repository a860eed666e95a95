"""A simulated company into whose tables a leak can be planted, and the door it has to pass."""

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
from features.activity import daily_tables
from features.panel import builder
from training import labels
from training.data_quality.report import check_data_quality
from training.evaluation import splits
from training.model import propensity

END = datetime(2026, 6, 1, tzinfo=UTC)  # of the data: "today"
LOADED = END - timedelta(hours=1)  # last night's job
LAST = END - timedelta(days=90)  # the newest as-of with a complete window of 60 days
AS_OFS = [LAST - timedelta(days=60 * back) for back in range(7)]
CUT = AS_OFS[2]
LEARNER = settings.ModelConfig(
    horizons_days=(60,), ensemble_size=3, n_estimators=60, learning_rate=0.05, min_child_samples=40
)


@dataclass(frozen=True)
class Seen:
    """What came through the door: snapshots, and the outcomes known at the cut and today."""

    snapshots: pl.DataFrame
    at_cut: pl.DataFrame
    today: pl.DataFrame
    quarantine: dict[str, int]


@dataclass(frozen=True)
class Company:
    """The tables of a company as they lie in the warehouse today, and when each sale was made."""

    events: tuple[pl.DataFrame, ...]
    subscriptions: pl.DataFrame
    accounts: pl.DataFrame
    users: pl.DataFrame
    sales: pl.DataFrame  # account_id, sold_at
    settings: settings.Settings
    folder: Path

    def with_events(self, rows: pl.DataFrame) -> "Company":
        """Another file in the folder of the log."""
        schema = self.events[0].schema
        missing = [pl.lit(None, kind).alias(n) for n, kind in schema.items() if n not in rows]
        more = rows.with_columns(missing).select(pl.col(n).cast(k) for n, k in schema.items())
        return replace(self, events=(*self.events, more))

    def with_contracts(self, rows: pl.DataFrame) -> "Company":
        more = rows.select(self.subscriptions.columns)
        return replace(self, subscriptions=pl.concat([self.subscriptions, more]))

    def with_users(self, rows: pl.DataFrame) -> "Company":
        return replace(self, users=pl.concat([self.users, rows], how="diagonal"))

    def stable(self, *attributes: str) -> "Company":
        tables = self.settings.tables.model_copy(update={"time_invariant_attributes": attributes})
        return replace(self, settings=self.settings.model_copy(update={"tables": tables}))

    def sold(self, start: datetime, end: datetime = END) -> pl.DataFrame:
        """The sales from one moment up to another."""
        return self.sales.filter(pl.col("sold_at").is_between(start, end, closed="left"))

    def bought_since(self, start: datetime) -> pl.Expr:
        return pl.col("account_id").is_in(self.sold(start)["account_id"].implode())

    def tables(self) -> table_loader.Tables:
        return table_loader.tables_from_frames(
            list(self.events),
            self.subscriptions,
            self.accounts,
            self.users,
            tables=self.settings.tables,
            now=END,
        )

    def log(self, tables: table_loader.Tables) -> daily_tables.Activity:
        return daily_tables.build_activity(
            tables.events,
            folder=self.folder,
            roles=self.settings.roles,
            seats=self.settings.seats,
        )

    def terms(self, tables: table_loader.Tables) -> pl.DataFrame:
        return subscription_timeline.build_timeline(
            tables.subscriptions.rows, plans=self.settings.outcome.plans
        )

    def through_the_door(self, as_ofs: Sequence[datetime] = AS_OFS) -> Seen:
        tables = self.tables()
        log, terms, rules = self.log(tables), self.terms(tables), self.settings.outcome
        snapshots = builder.build_panel(log, tables, as_ofs, self.settings).snapshots
        at_cut = splits.build_training_set(snapshots, terms, CUT, rules).outcomes
        today = labels.build_outcomes(snapshots, terms, cutoff=END, rules=rules)
        return Seen(snapshots, at_cut, today, dict(log.quarantine))

    def suspicious(self) -> set[str]:
        """The columns that `expansion check` warns of."""
        tables = self.tables()
        report = check_data_quality(tables, self.log(tables), END, self.settings)
        return {f"{found['table']}.{found['column']}" for found in report.suspicious}


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """An honest company: a quarter of its log is enough here."""
    folder = tmp_path_factory.mktemp("leaks")
    simulator.write_company(folder, accounts=250, months=24, seed=1)

    def table(name: str) -> pl.DataFrame:
        return pl.read_parquet(folder / f"{name}.parquet")

    quarter = pl.col("event_id").str.slice(1).cast(pl.Int64) % 4 == 0
    log = pl.scan_parquet(folder / "events" / "*.parquet").filter(quarter).collect()
    evening = pl.col("date").cast(subscription_timeline.UTC_DATETIME) + pl.duration(hours=20)
    made = Company(
        events=(log,),
        subscriptions=table("subscriptions"),
        accounts=table("accounts"),
        users=table("users"),
        sales=table("drivers").select("account_id", sold_at=evening),
        settings=settings.load_settings(folder / "expansion.toml"),
        folder=folder / "kept",
    )
    # It is made so that nobody changes department; whoever plants a leak there does not say so.
    return made.stable()


@pytest.fixture(scope="session")
def honest(company: Company) -> Seen:
    """What the honest company shows at the door."""
    return company.through_the_door()


@pytest.fixture(scope="session")
def truth(honest: Seen) -> pl.DataFrame:
    """Which snapshots expanded, as far as that is known today."""
    expanded = labels.expanded_within(60).alias("expanded")
    return honest.today.select("account_id", "as_of", expanded).drop_nulls()


@pytest.fixture(scope="session")
def honest_auroc(honest: Seen, truth: pl.DataFrame) -> float:
    return learnt(honest, truth)


def learnt(seen: Seen, truth: pl.DataFrame) -> float:
    """AUROC after the cut of a small learner that was trained on what was known at it."""
    before = pl.col("as_of") < CUT.date()
    fitted = propensity.fit_propensity(
        seen.snapshots.filter(before), seen.at_cut, LEARNER, horizon_days=60
    )
    judged = seen.snapshots.filter(~before).join(truth, on=["account_id", "as_of"])
    return float(roc_auc_score(judged["expanded"], fitted.predict(judged).margin))


@pytest.fixture(scope="session")
def gain(honest_auroc: float, truth: pl.DataFrame) -> Callable[[Seen], float]:
    """AUROC that the learner gains over what it learns of the honest company."""
    return lambda seen: learnt(seen, truth) - honest_auroc
