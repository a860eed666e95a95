"""The whole replay of a small simulated company, through its public door."""

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data import simulator
from data.config import settings
from data.errors import HistoryError
from data.ingest import table_loader
from training import backtest
from training.backtest import BacktestResult, StrategyResult, replay
from training.backtest import inputs as rests
from training.backtest.inputs import BacktestInputs
from training.pipeline import training_run

pytestmark = pytest.mark.long

NOW = datetime(2026, 6, 2, tzinfo=UTC)
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
REVIEWS = ["manual review, weekly", "manual review, monthly"]
MODELS = ["model's weekly list", "weekly list and events"]
WAYS = [*REVIEWS, "CRM rule", "event rule", "tiered stack", "health score", "login volume", *MODELS]
CHANGES = {
    "eligibility": settings.Eligibility(burn_in_days=90),
    "model": settings.ModelConfig(
        horizons_days=(60,),
        ensemble_size=2,
        n_estimators=20,
        learning_rate=0.1,
        min_child_samples=20,
    ),
    "evaluation": settings.EvaluationConfig(
        first_as_of=date(2026, 1, 30), refit_months=2, n_bootstrap=20
    ),
    "backtest": settings.BacktestConfig(detection_window_days=40),
}


@dataclass(frozen=True)
class Company:
    """The tables of a company in memory, and its settings."""

    events: Sequence[pl.DataFrame]
    subscriptions: pl.DataFrame
    accounts: pl.DataFrame
    users: pl.DataFrame
    config: settings.Settings

    def past(self, folder: Path) -> training_run.TrainingHistory:
        config = self.config.model_copy(update={"state": str(folder), "base": Path()})
        tables = table_loader.tables_from_frames(
            list(self.events),
            self.subscriptions,
            self.accounts,
            self.users,
            tables=config.tables,
            now=NOW,
        )
        return training_run.build_history(
            config, tables, training_run.build_activity(config, tables), AS_OF
        )

    def known_before(self, day: date) -> "Company":
        """The tables without what became known on a day or later."""
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        heard = pl.max_horizontal("timestamp", "known_at") < moment
        booked = pl.coalesce("known_at", "effective_date") < moment
        months = [month.filter(heard) for month in self.events]
        return replace(
            self,
            events=[month for month in months if month.height],
            subscriptions=self.subscriptions.filter(booked),
            users=self.users.filter(pl.max_horizontal("created_at", "known_at") < moment),
        )


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    folder = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=50, months=12, seed=4, corruption=0.0)
    subscriptions, accounts, users = (
        pl.read_parquet(folder / f"{name}.parquet")
        for name in ("subscriptions", "accounts", "users")
    )
    months = [pl.read_parquet(file) for file in sorted((folder / "events").glob("*.parquet"))]
    config = settings.load_settings(folder / "expansion.toml").model_copy(update=CHANGES)
    return Company(months, _busier(subscriptions), accounts, users, config)


def _busier(subscriptions: pl.DataFrame) -> pl.DataFrame:
    """More seats every few weeks, for those whose terms have long been the same.

    The first of them expands every month.
    """
    last = subscriptions.sort("effective_date").group_by("account_id", maintain_order=True).last()
    calm = last.filter(
        pl.col("status") == "paid",
        pl.col("licensed_seats") > 0,
        pl.col("effective_date") < datetime(2025, 11, 1, tzinfo=UTC),
    ).with_row_index("number")
    rises = [
        calm.with_columns(
            licensed_seats=pl.col("licensed_seats") + 2 * (step + 1),
            effective_date=datetime(2025, 11, 3, tzinfo=UTC)
            + pl.duration(days=step * (30 + 7 * (pl.col("number") % 9)) + 2 * pl.col("number")),
            change=pl.lit("organic"),
            known_at=pl.lit(None, pl.Datetime("us", "UTC")),
        )
        for step in range(7)
    ]
    added = pl.concat(rises).filter(pl.col("effective_date") < AS_OF)
    return pl.concat([subscriptions, added.select(subscriptions.columns)])


@pytest.fixture(scope="module")
def past(
    company: Company, tmp_path_factory: pytest.TempPathFactory
) -> training_run.TrainingHistory:
    return company.past(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def made(company: Company, past: training_run.TrainingHistory) -> BacktestInputs:
    return rests.prepare_inputs(past, company.config)


@pytest.fixture(scope="module")
def found(company: Company, made: BacktestInputs) -> BacktestResult:
    return replay.replay_history(made, company.config)


def test_every_way_competes_on_the_same_days_and_hours(found: BacktestResult) -> None:
    assert [way.name for way in found.ways] == WAYS
    assert not found.absent
    assert found.expansions > 20
    limit = found.minutes_per_month * (1 + (found.end - found.start).days / 30)
    assert all(way.minutes_looking + way.minutes_working <= limit for way in found.ways)


def test_anyone_can_compute_the_figures_from_the_two_tables(found: BacktestResult) -> None:
    for way in found.ways:
        flags = found.flags.filter(way=way.name)
        lead = [
            (row["day"] - row[way.name]).days
            for row in found.expanded.iter_rows(named=True)
            if row[way.name] is not None
        ]
        right = flags["expanded"].drop_nulls()
        assert way.flags == flags.height
        assert (way.caught, way.caught_30d) == (len(lead), sum(days >= 30 for days in lead))
        _is(way, "share_flagged", len(lead) / found.expansions)
        _is(way, "precision", right.mean() if len(right) else None)
        _is(way, "lead_days", statistics.median(lead) if lead else None)


def _is(way: StrategyResult, name: str, value: Any) -> None:
    told = way.figures[name].value
    assert told == (None if value is None else pytest.approx(value)), (way.name, name)


def test_an_expansion_is_caught_by_the_first_flag_of_the_days_before_it(
    found: BacktestResult,
) -> None:
    for way in found.ways:
        flags = found.flags.filter(way=way.name)
        for row in found.expanded.iter_rows(named=True):
            near = [
                day
                for day in sorted(flags.filter(account_id=row["account_id"])["day"])
                if 0 <= (row["day"] - day).days < found.caught_within_days
            ]
            assert row[way.name] == (near[0] if near else None)


def test_rows_known_after_a_week_change_no_decision_of_that_week(
    company: Company, made: BacktestInputs, found: BacktestResult, tmp_path: Path
) -> None:
    week = found.start + timedelta(days=10 * 7)

    without = backtest.run_backtest(company.known_before(week).past(tmp_path), company.config)

    kept, again = (
        told.flags.filter(pl.col("day") <= week).select("way", "account_id", "day")
        for told in (found, without)
    )
    assert kept.equals(again)
    assert kept["way"].unique(maintain_order=True).to_list() == WAYS
    assert made.models is not None
    assert len([step for step in made.models.folds if step.cutoff.date() <= week]) > 1
    assert without.expansions < found.expansions


def test_the_answer_is_json_and_names_every_figure(found: BacktestResult) -> None:
    told = json.loads(json.dumps(found.to_dict()))

    assert told["start"] == str(found.start)
    for way in told["ways"]:
        assert set(way["figures"]) <= set(told["definitions"])
        assert set(way["figures"]["share_flagged"]) == {"value", "low", "high"}
    assert told["notes"][0].startswith("No capacity is set: 20 accounts per 30 days")
    enough = r"the hours are enough for 40 accounts, and \d\d are eligible"
    assert re.search(enough, " ".join(told["notes"]))
    assert len(told["hindsight"]) > 3
    assert "model's weekly list caught" in told["verdict"]


def test_an_account_that_expands_every_month_is_counted_and_said(found: BacktestResult) -> None:
    days = found.expanded.group_by("account_id").agg(pl.col("day").sort())
    close = sum(
        (later - sooner).days < found.caught_within_days
        for some in days["day"]
        for sooner, later in pairwise(some)
    )

    assert days["day"].list.len().max() >= 3  # type: ignore[operator]
    assert found.repeated >= close > 0
    assert any(note.startswith(f"{found.repeated} of {found.expansions}") for note in found.notes)


def test_without_seats_and_limits_the_other_ways_still_run(
    company: Company, made: BacktestInputs
) -> None:
    none = pl.lit(None, pl.Float64)
    bare = made.history.contracts.with_columns(seats=none, usage_limit=none)

    found = replay.replay_history(
        replace(made, past=replace(made.history, contracts=bare)), company.config
    )

    assert list(found.absent) == [*REVIEWS, "CRM rule", "event rule", "weekly list and events"]
    assert all("seats nor usage limits" in why for why in found.absent.values())
    assert "No account has licensed seats" not in " ".join(found.notes)


def test_without_limits_that_is_said_and_the_seats_speak(
    company: Company, made: BacktestInputs
) -> None:
    bare = made.history.contracts.with_columns(usage_limit=pl.lit(None, pl.Float64))

    found = replay.replay_history(
        replace(made, past=replace(made.history, contracts=bare)), company.config
    )

    assert [way.name for way in found.ways] == WAYS
    assert "No account has a usage limit: use is that of the seats." in found.notes


def test_a_history_too_short_for_a_model_lets_the_others_run(
    company: Company, past: training_run.TrainingHistory
) -> None:
    lately = pl.col("as_of") >= date(2026, 3, 15)
    shorter = replace(
        past.panel,
        snapshots=past.panel.snapshots.filter(lately),
        excluded=past.panel.excluded.filter(lately),
    )

    found = backtest.run_backtest(replace(past, panel=shorter), company.config)

    assert list(found.absent) == MODELS
    assert all("too short for a walk forward" in why for why in found.absent.values())
    assert [way.name for way in found.ways] == WAYS[:-2]
    assert found.verdict.startswith("No model could be replayed; of the other ways")


def test_a_history_without_a_day_that_counts_is_refused(
    company: Company, past: training_run.TrainingHistory
) -> None:
    last = pl.col("as_of") >= date(2026, 4, 25)
    shorter = replace(
        past.panel,
        snapshots=past.panel.snapshots.filter(last),
        excluded=past.panel.excluded.filter(last),
    )

    with pytest.raises(HistoryError, match=r"no day is left\. Let evaluation\.first_as_of"):
        backtest.run_backtest(replace(past, panel=shorter), company.config)


def test_hours_and_csms_are_those_of_the_settings(company: Company, made: BacktestInputs) -> None:
    team = settings.Team(csms=2, hours_per_month=6, minutes_per_account=45)
    rules = settings.BacktestConfig(
        cooldown_days=30, rule_utilization=0.9, detection_window_days=30
    )
    own = company.config.model_copy(update={"team": team, "backtest": rules})

    found = replay.replay_history(made, own)

    assert (found.csms, found.minutes_per_month, found.minutes_per_account) == (2, 720, 45)
    assert found.notes[0].startswith("16 accounts per 30 days: 2 CSMs with 6 hours each")
    # 16 of 37 accounts in the days that one rests: a list has to choose.
    assert "the hours are enough" not in " ".join(found.notes)
    assert "90% of seats" in next(way.rule for way in found.ways if way.name == "CRM rule")
