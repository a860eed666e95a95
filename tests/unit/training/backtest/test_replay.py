"""End-to-end replay of a small simulated company through the public API."""

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
from features.activity import load
from tests.tables import read_company
from training import backtest
from training.backtest import BacktestResult, StrategyResult, replay
from training.backtest import inputs as backtest_inputs
from training.backtest.inputs import BacktestInputs
from training.pipeline import training_run

pytestmark = pytest.mark.long

NOW = datetime(2026, 6, 2, tzinfo=UTC)
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
REVIEWS = ["manual review, weekly", "manual review, monthly"]
MODELS = ["model's weekly list", "weekly list and events"]
STRATEGIES = [
    *REVIEWS,
    "CRM rule",
    "event rule",
    "tier rules",
    "health score",
    "login volume",
    *MODELS,
]
CHANGES = {
    "eligibility": settings.EligibilityConfig(burn_in_days=90),
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

    def build_history(self, folder: Path) -> training_run.TrainingHistory:
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
            config, tables, load.build_activity(config, tables), AS_OF
        )

    def known_before(self, day: date) -> "Company":
        """Return the tables without rows known on that day or later."""
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        is_known = pl.max_horizontal("timestamp", "known_at") < moment
        is_booked = pl.coalesce("known_at", "effective_date") < moment
        event_parts = [part.filter(is_known) for part in self.events]
        return replace(
            self,
            events=[part for part in event_parts if part.height],
            subscriptions=self.subscriptions.filter(is_booked),
            users=self.users.filter(pl.max_horizontal("created_at", "known_at") < moment),
        )


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    folder = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=50, months=12, seed=4, corruption=0.0)
    tables = read_company(folder)
    tables["subscriptions"] = add_expansions(tables["subscriptions"])
    config = settings.load_settings(folder / "expansion.toml").model_copy(update=CHANGES)
    return Company(**tables, config=config)


def add_expansions(subscriptions: pl.DataFrame) -> pl.DataFrame:
    """Add expansions every few weeks to accounts whose terms have long been unchanged.

    The first of them expands every month.
    """
    latest = subscriptions.sort("effective_date").group_by("account_id", maintain_order=True).last()
    unchanged = latest.filter(
        pl.col("status") == "paid",
        pl.col("licensed_seats") > 0,
        pl.col("effective_date") < datetime(2025, 11, 1, tzinfo=UTC),
    ).with_row_index("number")
    added_rows = [
        unchanged.with_columns(
            licensed_seats=pl.col("licensed_seats") + 2 * (fold + 1),
            effective_date=datetime(2025, 11, 3, tzinfo=UTC)
            + pl.duration(days=fold * (30 + 7 * (pl.col("number") % 9)) + 2 * pl.col("number")),
            change=pl.lit("organic"),
            known_at=pl.lit(None, pl.Datetime("us", "UTC")),
        )
        for fold in range(7)
    ]
    added = pl.concat(added_rows).filter(pl.col("effective_date") < AS_OF)
    return pl.concat([subscriptions, added.select(subscriptions.columns)])


@pytest.fixture(scope="module")
def history(
    company: Company, tmp_path_factory: pytest.TempPathFactory
) -> training_run.TrainingHistory:
    return company.build_history(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def inputs(company: Company, history: training_run.TrainingHistory) -> BacktestInputs:
    return backtest_inputs.prepare_inputs(history, company.config)


@pytest.fixture(scope="module")
def result(company: Company, inputs: BacktestInputs) -> BacktestResult:
    return replay.replay_history(inputs, company.config)


def test_every_strategy_has_the_same_days_and_capacity(result: BacktestResult) -> None:
    assert [strategy.name for strategy in result.strategies] == STRATEGIES
    assert not result.unavailable
    assert result.expansions > 20
    limit = result.minutes_per_month * (1 + (result.end - result.start).days / 30)
    assert all(
        strategy.review_minutes + strategy.contact_minutes <= limit
        for strategy in result.strategies
    )


def test_metrics_can_be_recomputed_from_the_two_tables(result: BacktestResult) -> None:
    for strategy in result.strategies:
        flags = result.flags.filter(strategy=strategy.name)
        lead = [
            (row["day"] - row[strategy.name]).days
            for row in result.expanded.iter_rows(named=True)
            if row[strategy.name] is not None
        ]
        expanded = flags["expanded"].drop_nulls()
        assert strategy.flags == flags.height
        assert (strategy.detected, strategy.detected_30d) == (
            len(lead),
            sum(days >= 30 for days in lead),
        )
        assert_metric(strategy, "detection_rate", len(lead) / result.expansions)
        assert_metric(strategy, "precision", expanded.mean() if len(expanded) else None)
        assert_metric(strategy, "lead_days", statistics.median(lead) if lead else None)


def assert_metric(strategy: StrategyResult, name: str, value: Any) -> None:
    results = strategy.metrics[name].value
    assert results == (None if value is None else pytest.approx(value)), (strategy.name, name)


def test_an_expansion_is_detected_by_the_first_flag_in_the_window(
    result: BacktestResult,
) -> None:
    for strategy in result.strategies:
        flags = result.flags.filter(strategy=strategy.name)
        for row in result.expanded.iter_rows(named=True):
            window_days = [
                day
                for day in sorted(flags.filter(account_id=row["account_id"])["day"])
                if 0 <= (row["day"] - day).days < result.detection_window_days
            ]
            assert row[strategy.name] == (window_days[0] if window_days else None)


def test_rows_known_later_change_no_earlier_flag(
    company: Company, inputs: BacktestInputs, result: BacktestResult, tmp_path: Path
) -> None:
    week = result.start + timedelta(days=10 * 7)

    without = backtest.run_backtest(
        company.known_before(week).build_history(tmp_path), company.config
    )

    original, replayed = (
        results.flags.filter(pl.col("day") <= week).select("strategy", "account_id", "day")
        for results in (result, without)
    )
    assert original.equals(replayed)
    assert original["strategy"].unique(maintain_order=True).to_list() == STRATEGIES
    assert len([fold for fold in inputs.folds if fold.cutoff.date() <= week]) > 1
    assert without.expansions < result.expansions


def test_the_result_is_json_and_defines_every_metric(result: BacktestResult) -> None:
    payload = json.loads(json.dumps(result.to_dict()))

    assert payload["start"] == str(result.start)
    for strategy in payload["strategies"]:
        assert set(strategy["metrics"]) <= set(payload["definitions"])
        assert set(strategy["metrics"]["detection_rate"]) == {"value", "low", "high"}
    assert payload["notes"][0].startswith("No capacity is set: 20 accounts per 30 days")
    ample = r"the team can contact 40 accounts, and \d\d are eligible"
    assert re.search(ample, " ".join(payload["notes"]))
    assert len(payload["limitations"]) > 3
    assert "model's weekly list detected" in payload["verdict"]


def test_close_repeated_expansions_are_counted_and_noted(result: BacktestResult) -> None:
    days = result.expanded.group_by("account_id").agg(pl.col("day").sort())
    close_pairs = sum(
        (later - sooner).days < result.detection_window_days
        for days in days["day"]
        for sooner, later in pairwise(days)
    )

    assert days["day"].list.len().max() >= 3  # type: ignore[operator]
    assert result.closely_repeated >= close_pairs > 0
    assert any(
        note.startswith(f"{result.closely_repeated} of {result.expansions}")
        for note in result.notes
    )


def clear_columns(inputs: BacktestInputs, *columns: str) -> BacktestInputs:
    """Remove the values of some columns of the contracts."""
    contracts = inputs.history.contracts.with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in columns
    )
    return replace(inputs, history=replace(inputs.history, contracts=contracts))


def test_without_limits_and_seats_the_other_strategies_still_run(
    company: Company, inputs: BacktestInputs
) -> None:
    result = replay.replay_history(clear_columns(inputs, "seats", "usage_limit"), company.config)

    assert list(result.unavailable) == [
        *REVIEWS,
        "CRM rule",
        "event rule",
        "weekly list and events",
    ]
    assert all(
        "no account has licensed seats or a usage limit" in reason
        for reason in result.unavailable.values()
    )
    assert "No account has licensed seats" not in " ".join(result.notes)


def test_without_usage_limits_utilization_is_that_of_the_seats(
    company: Company, inputs: BacktestInputs
) -> None:
    result = replay.replay_history(clear_columns(inputs, "usage_limit"), company.config)

    assert [strategy.name for strategy in result.strategies] == STRATEGIES
    assert "No account has a usage limit: utilization is that of the seats." in result.notes


def shorten(history: training_run.TrainingHistory, first: date) -> training_run.TrainingHistory:
    """Keep the as-ofs from a day on."""
    is_recent = pl.col("as_of") >= first
    panel = replace(
        history.panel,
        snapshots=history.panel.snapshots.filter(is_recent),
        excluded=history.panel.excluded.filter(is_recent),
    )
    return replace(history, panel=panel)


def test_without_a_model_the_other_strategies_still_run(
    company: Company, history: training_run.TrainingHistory
) -> None:
    result = backtest.run_backtest(shorten(history, date(2026, 3, 15)), company.config)

    assert list(result.unavailable) == MODELS
    assert all(
        "too short for walk-forward validation" in reason for reason in result.unavailable.values()
    )
    assert [strategy.name for strategy in result.strategies] == STRATEGIES[:-2]
    assert result.verdict.startswith("No model could be replayed; of the other strategies")


def test_a_history_without_a_counted_day_is_rejected(
    company: Company, history: training_run.TrainingHistory
) -> None:
    with pytest.raises(
        HistoryError, match=r"no day is left\. Set an earlier evaluation\.first_as_of"
    ):
        backtest.run_backtest(shorten(history, date(2026, 4, 25)), company.config)


def test_capacity_and_csms_come_from_the_settings(company: Company, inputs: BacktestInputs) -> None:
    team = settings.TeamConfig(csms=2, hours_per_month=6, minutes_per_account=45)
    rules = settings.BacktestConfig(
        cooldown_days=30, rule_utilization=0.9, detection_window_days=30
    )
    config = company.config.model_copy(update={"team": team, "backtest": rules})

    result = replay.replay_history(inputs, config)

    assert (result.csms, result.minutes_per_month, result.minutes_per_account) == (2, 720, 45)
    assert result.notes[0].startswith("16 accounts per 30 days: 2 CSMs with 6 hours each")
    # 16 of 37 accounts during one cool-down, so the order of a list matters.
    assert "the team can contact" not in " ".join(result.notes)
    assert "90% of seats" in next(
        strategy.rule for strategy in result.strategies if strategy.name == "CRM rule"
    )
