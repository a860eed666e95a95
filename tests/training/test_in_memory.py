"""What a data scientist does in Jupyter: frames in memory, objects that tell what they are."""

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
    simulator.write_company(folder, accounts=40, months=12, seed=3, corruption=0.01)
    return settings.load_settings(folder / "expansion.toml")


@pytest.fixture(scope="module")
def past(config: settings.Settings) -> training_run.TrainingHistory:
    tables, log = training_run.load_data(config, now=NOW)
    return training_run.build_history(config, tables, log, datetime(2026, 6, 1, tzinfo=UTC))


def _frames(folder: Path) -> dict[str, Any]:
    names = ("subscriptions", "accounts", "users")
    small = {name: pl.read_parquet(folder / f"{name}.parquet") for name in names}
    months = [pl.read_parquet(file) for file in sorted((folder / "events").glob("*.parquet"))]
    return {"events": months, **small}


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_frames_in_memory_give_the_snapshots_that_files_give(
    library: str, config: settings.Settings, past: training_run.TrainingHistory, tmp_path: Path
) -> None:
    frames = _frames(config.base)
    if library == "pandas":
        months = [month.to_pandas() for month in frames.pop("events")]
        frames = {"events": months} | {name: frame.to_pandas() for name, frame in frames.items()}
    rules = settings.TablesConfig(time_invariant_attributes=config.tables.time_invariant_attributes)
    own = settings.Settings(state=str(tmp_path), tables=rules, outcome=config.outcome)

    tables = table_loader.tables_from_frames(**frames, now=NOW)
    log = training_run.build_activity(own, tables)
    found = training_run.build_history(own, tables, log, past.as_of)

    assert_frame_equal(found.panel.snapshots, past.panel.snapshots)
    assert_frame_equal(found.panel.excluded, past.panel.excluded)


def test_an_event_that_is_booked_years_later_makes_no_earlier_snapshot(
    config: settings.Settings, past: training_run.TrainingHistory, tmp_path: Path
) -> None:
    frames = _frames(config.base)
    late = frames["events"][0].head(1)
    stamps = {"timestamp": past.as_of - timedelta(days=2000), "known_at": past.as_of}
    frames["events"].append(
        late.with_columns(
            pl.lit("late").alias("event_id"), **{n: pl.lit(s) for n, s in stamps.items()}
        )
    )
    own = settings.Settings(
        state=str(tmp_path),
        tables=settings.TablesConfig(
            time_invariant_attributes=config.tables.time_invariant_attributes
        ),
        outcome=config.outcome,
    )

    tables = table_loader.tables_from_frames(**frames, now=NOW)
    log = training_run.build_activity(own, tables)
    found = training_run.build_history(own, tables, log, past.as_of)

    assert log.first_day < past.activity.first_day
    assert_frame_equal(found.panel.snapshots, past.panel.snapshots)


def test_an_as_of_in_the_future_is_refused_but_not_what_is_tomorrow_here(
    config: settings.Settings, past: training_run.TrainingHistory
) -> None:
    asked = partial(training_run.resolve_as_of, config, past.activity, now=NOW)

    assert asked(requested=NOW + timedelta(days=1)) == NOW + timedelta(days=1)
    with pytest.raises(HistoryError, match=r"2026-06-04 lies in the future.*today is 2026-06-02"):
        asked(requested=NOW + timedelta(days=2))


def test_weekly_anchors_pool_grids_that_lie_a_week_apart(
    config: settings.Settings, past: training_run.TrainingHistory
) -> None:
    rules = config.model.model_copy(update={"weekly_anchors": 4})
    pooled = config.model_copy(update={"model": rules})

    found = training_run.build_history(pooled, past.tables, past.activity, past.as_of)

    usual = set(past.panel.snapshots["as_of"])
    days = sorted(set(found.panel.snapshots["as_of"]))
    weeks = {day - timedelta(weeks=back) for day in usual for back in range(4)}
    assert usual < set(days) <= weeks
    assert len(days) >= 4 * len(usual) - 3  # of the first month some lie in the burn-in
    same = found.panel.snapshots.filter(pl.col("as_of").is_in(list(usual)))
    assert_frame_equal(same, past.panel.snapshots)


def test_a_model_reads_pandas_as_it_reads_polars(
    fitted: propensity.Propensity, history: Any
) -> None:
    rows = history.snapshots.head(50)
    explained = attributions.explain_predictions(fitted, rows.to_pandas())

    np.testing.assert_array_equal(
        fitted.predict_cumulative_incidence(rows.to_pandas()),
        fitted.predict_cumulative_incidence(rows),
    )
    assert explained.reasons == attributions.explain_predictions(fitted, rows).reasons


def test_a_history_tells_in_a_line_what_it_holds(past: training_run.TrainingHistory) -> None:
    told = repr(past)

    assert told.startswith("History(as of 2026-06-01: Panel(")
    assert f"{past.activity.events:,} events" in told
    assert f"{past.contracts.height:,} contract rows" in told


def test_no_object_prints_its_frames(
    past: training_run.TrainingHistory, fitted: propensity.Propensity, history: Any
) -> None:
    rows = history.snapshots.head(50)
    estimate = fitted.predict(rows)
    objects = (
        past,
        past.tables,
        *past.tables.events,
        past.tables.accounts,
        past.activity,
        past.panel,
        estimate,
        event_date.estimate_event_dates(
            fitted.predict_cumulative_incidence(rows), fitted.horizons_days
        ),
        attributions.explain_predictions(fitted, rows),
        history.known(),
        splits.TimeSplit(
            history.end, (history.end.date(), history.end.date() + timedelta(days=30))
        ),
        churn.ChurnModel(None, "No churn probability: too few ends."),
        summary.MetricEstimate(0.8, 0.7, 0.9),
    )

    for thing in objects:
        assert repr(thing).startswith(f"{type(thing).__name__}(")
        assert "\n" not in repr(thing)
        assert len(repr(thing)) < 400


def test_nothing_tells_of_itself_too() -> None:
    none = np.array([])

    assert repr(Prediction(*[none] * 6)) == "Estimate(of no snapshot)"
    assert repr(event_date.EventDateEstimate(*[none] * 4)) == "Dates(of no snapshot)"
    assert (
        repr(attributions.Explanation(none, (), none, [], [], []))
        == "Explanation(of 0 snapshots by 0 signals)"
    )


def test_settings_tell_what_is_set_and_no_password() -> None:
    own = settings.Settings(
        model=settings.ModelConfig(ensemble_size=3),
        crm=settings.CrmConfig(url="postgresql://crm:hunter2@host/db"),
        registry=settings.RegistryConfig(tracking_uri="https://host/?password=hunter2&x=1"),
    )

    assert repr(settings.Settings()) == "Settings()"
    assert "model.ensemble_size=3" in repr(own)
    assert "host" in repr(own)
    assert "hunter2" not in f"{own!r} {own}"
