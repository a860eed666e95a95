"""Use in Jupyter: frames in memory, and objects with a short repr."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data import simulator
from data.config import settings
from data.errors import HistoryError
from data.ingest import table_loader
from features.activity import load
from tests.tables import read_company
from tests.unit.training.conftest import change_section
from training.evaluation import splits
from training.explain import attributions
from training.metrics import summary
from training.model import event_date, propensity
from training.model.prediction import Prediction
from training.pipeline import churn, training_run

NOW = datetime(2026, 6, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> settings.Settings:
    folder = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=40, months=9, seed=3, corruption=0.01)
    return settings.load_settings(folder / "expansion.toml")


@pytest.fixture(scope="module")
def company_history(config: settings.Settings) -> training_run.TrainingHistory:
    tables, log = load.load_data(config, now=NOW)
    return training_run.build_history(config, tables, log, datetime(2026, 6, 1, tzinfo=UTC))


def _build_from_frames(
    frames: dict[str, Any], config: settings.Settings, as_of: datetime, state: Path
) -> training_run.TrainingHistory:
    """Build the history without files; only what describes the tables is configured."""
    rules = settings.TablesConfig(time_invariant_attributes=config.tables.time_invariant_attributes)
    own_settings = settings.Settings(state=str(state), tables=rules, outcome=config.outcome)
    tables = table_loader.tables_from_frames(**frames, now=NOW)
    log = load.build_activity(own_settings, tables)
    return training_run.build_history(own_settings, tables, log, as_of)


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_frames_in_memory_and_files_give_the_same_snapshots(
    library: str,
    config: settings.Settings,
    company_history: training_run.TrainingHistory,
    tmp_path: Path,
) -> None:
    frames = read_company(config.base)
    if library == "pandas":
        months = [month.to_pandas() for month in frames.pop("events")]
        frames = {"events": months} | {name: frame.to_pandas() for name, frame in frames.items()}

    result = _build_from_frames(frames, config, company_history.as_of, tmp_path)

    assert_frame_equal(result.panel.snapshots, company_history.panel.snapshots)
    assert_frame_equal(result.panel.excluded, company_history.panel.excluded)


def test_an_event_booked_years_later_adds_no_earlier_snapshot(
    config: settings.Settings, company_history: training_run.TrainingHistory, tmp_path: Path
) -> None:
    frames = read_company(config.base)
    late_event = frames["events"][0].head(1)
    stamps = {
        "timestamp": company_history.as_of - timedelta(days=2000),
        "known_at": company_history.as_of,
    }
    frames["events"].append(
        late_event.with_columns(
            pl.lit("late").alias("event_id"), **{n: pl.lit(s) for n, s in stamps.items()}
        )
    )

    result = _build_from_frames(frames, config, company_history.as_of, tmp_path)

    assert result.activity.first_day < company_history.activity.first_day  # type: ignore[operator]
    assert_frame_equal(result.panel.snapshots, company_history.panel.snapshots)


def test_an_as_of_is_rejected_if_it_is_in_the_future_in_every_time_zone(
    config: settings.Settings, company_history: training_run.TrainingHistory
) -> None:
    resolve = partial(training_run.resolve_as_of, config, company_history.activity, now=NOW)

    assert resolve(requested=NOW + timedelta(days=1)) == NOW + timedelta(days=1)
    with pytest.raises(HistoryError, match=r"2026-06-04 lies in the future.*today is 2026-06-02"):
        resolve(requested=NOW + timedelta(days=2))


def test_weekly_anchors_add_grids_one_week_apart(
    config: settings.Settings, company_history: training_run.TrainingHistory
) -> None:
    pooled = change_section(config, "model", weekly_anchors=2)

    result = training_run.build_history(
        pooled, company_history.tables, company_history.activity, company_history.as_of
    )

    monthly = set(company_history.panel.snapshots["as_of"])
    days = sorted(set(result.panel.snapshots["as_of"]))
    weeks = {day - timedelta(weeks=back) for day in monthly for back in range(2)}
    assert monthly < set(days) <= weeks
    assert len(days) >= 2 * len(monthly) - 1  # part of the first month lies in the burn-in
    same = result.panel.snapshots.filter(pl.col("as_of").is_in(list(monthly)))
    assert_frame_equal(same, company_history.panel.snapshots)


def test_pandas_and_polars_input_give_the_same_predictions(
    fitted: propensity.Propensity, history: Any
) -> None:
    rows = history.snapshots.head(50)
    explanation = attributions.explain_predictions(fitted, rows.to_pandas())

    np.testing.assert_array_equal(
        fitted.predict_cumulative_incidence(rows.to_pandas()),
        fitted.predict_cumulative_incidence(rows),
    )
    assert explanation.reasons == attributions.explain_predictions(fitted, rows).reasons


def test_the_repr_of_a_history_is_one_line(company_history: training_run.TrainingHistory) -> None:
    text = repr(company_history)

    assert text.startswith("TrainingHistory(as of 2026-06-01: Panel(")
    assert f"{company_history.activity.events:,} events" in text
    assert f"{company_history.contracts.height:,} contract rows" in text


def test_no_repr_prints_a_frame(
    company_history: training_run.TrainingHistory, fitted: propensity.Propensity, history: Any
) -> None:
    rows = history.snapshots.head(50)
    estimate = fitted.predict(rows)
    items = (
        company_history,
        company_history.tables,
        *company_history.tables.events,
        company_history.tables.accounts,
        company_history.activity,
        company_history.panel,
        estimate,
        event_date.estimate_event_dates(
            fitted.predict_cumulative_incidence(rows), fitted.horizons_days
        ),
        attributions.explain_predictions(fitted, rows),
        history.training_set(),
        splits.TimeSplit(
            history.end, (history.end.date(), history.end.date() + timedelta(days=30))
        ),
        churn.ChurnModel(None, "No churn probability: too few ends."),
        summary.MetricEstimate(0.8, 0.7, 0.9),
    )

    for item in items:
        assert repr(item).startswith(f"{type(item).__name__}(")
        assert "\n" not in repr(item)
        assert len(repr(item)) < 400


def test_empty_results_have_a_repr() -> None:
    empty = np.array([])

    assert repr(Prediction(*[empty] * 6)) == "Prediction(0 snapshots)"
    assert repr(event_date.EventDateEstimate(*[empty] * 4)) == "EventDateEstimate(0 snapshots)"
    assert (
        repr(attributions.Explanation(empty, (), empty, [], [], []))
        == "Explanation(0 snapshots, 0 signal groups)"
    )


def test_the_repr_of_settings_shows_changes_and_hides_passwords() -> None:
    own_settings = settings.Settings(
        model=settings.ModelConfig(ensemble_size=3),
        database=settings.DatabaseConfig(url="postgresql://crm:hunter2@host/db"),
        registry=settings.RegistryConfig(tracking_uri="https://host/?password=hunter2&x=1"),
    )

    assert repr(settings.Settings()) == "Settings()"
    assert "model.ensemble_size=3" in repr(own_settings)
    assert "host" in repr(own_settings)
    assert "hunter2" not in f"{own_settings!r} {own_settings}"
