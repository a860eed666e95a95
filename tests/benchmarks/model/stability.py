"""Stability over one week and a retrain: expected dates, readiness dates and reasons."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.panel import subscription_terms
from features.point_in_time import known_before
from serving.scoring import playbook, readiness_date
from tests.benchmarks.model import bootstrap_intervals
from tests.benchmarks.model.panels import BenchCompany, CompanyHistory
from training import predict
from training.evaluation import splits
from training.explain import attributions, templates
from training.metrics import dates
from training.model import event_date, propensity
from training.model.calibration import Calibration
from training.model.propensity import Propensity
from training.registry import RegisteredModel

__all__ = ["measure_stability"]

_WEEK_DAYS = timedelta(weeks=1).days


def measure_stability(company: BenchCompany) -> dict[str, Any]:
    """Train at the end and a week before it, and compare the two lists.

    Every as-of of the later panel is a week after one of the earlier, as in weekly runs. Both
    models use the blend weight and the calibration of the walk-forward run at the end.
    """
    before = company.load_history(week=1)
    now = company.load_history()
    old_model, new_model = (_fit_model(history, company) for history in (before, now))
    lists = {
        "last week": _build_list(old_model, before),
        "today, not retrained": _build_list(old_model, now),
        "today": _build_list(new_model, now),
    }
    return {
        "accounts": lists["today"].height,
        "same_snapshots": _estimate_agreement(lists["today, not retrained"], lists["today"]),
        "as_listed": _estimate_agreement(lists["last week"], lists["today"]),
        "date_change": _estimate_date_change(lists["last week"], lists["today"]),
        "date_change_not_retrained": _estimate_date_change(
            lists["last week"], lists["today, not retrained"]
        ),
        "receded_more_than_a_week": _estimate_receded_share(lists["last week"], lists["today"]),
        "readiness_date": _compare_readiness_dates(lists["last week"], lists["today"], now),
    }


def _fit_model(history: CompanyHistory, company: BenchCompany) -> Propensity:
    training_set = splits.build_training_set(
        history.snapshots, history.contracts, history.end, history.settings.outcome
    )
    metrics = company.load_metrics()
    fitted = propensity.fit_propensity(
        training_set,
        history.settings.model,
        horizon_days=history.settings.outcome.horizon_days,
        blend_weight=metrics["blend_weight"],
    )
    return fitted.with_calibration(Calibration(**metrics["calibration"]))


def _select_last_snapshots(history: CompanyHistory) -> pl.DataFrame:
    """Return the snapshots of that day's list."""
    return history.snapshots.filter(pl.col("as_of") == history.end.date())


def _build_list(fitted: Propensity, history: CompanyHistory) -> pl.DataFrame:
    snapshots, rules = _select_last_snapshots(history), history.settings
    explanations = attributions.explain_predictions(fitted, snapshots)
    expected = event_date.estimate_event_dates(
        fitted.predict_cumulative_incidence(snapshots), fitted.horizons_days
    )
    model, day = RegisteredModel(fitted, "1", {}), history.end.date()
    rows = pl.concat(
        [
            snapshots,
            predict.predict_accounts(model, snapshots, day, templates.load_default_templates()),
            playbook.assign_playbook(snapshots, rules.playbook),
        ],
        how="horizontal",
    )
    return rows.select(
        "account_id",
        "as_of",
        "tier",
        "probability",
        "band",
        signals=pl.Series(explanations.reason_groups, dtype=pl.List(pl.String)),
        days=dates.build_date_columns(expected)["median_days"],
        readiness_date=readiness_date.compute_readiness_dates(day, rules.scoring),
    )


def _estimate_agreement(one: pl.DataFrame, other: pl.DataFrame) -> dict[str, Any]:
    """Estimate the mean Jaccard index of each account's reason groups; two empty lists agree."""
    both = one.join(other, on="account_id", suffix="_other")
    pairs = zip(both["signals"].to_list(), both["signals_other"].to_list(), strict=True)
    index = [len(set(a) & set(b)) / len(set(a) | set(b)) if a or b else 1.0 for a, b in pairs]
    return _estimate_with_interval(np.array(index), np.mean)


def _estimate_date_change(one: pl.DataFrame, other: pl.DataFrame) -> dict[str, Any]:
    """Estimate the median absolute change of the expected calendar date, in days."""
    return _estimate_with_interval(np.abs(_compute_date_changes(one, other)), np.median)


def _estimate_receded_share(one: pl.DataFrame, other: pl.DataFrame) -> dict[str, Any]:
    """Estimate the share of dates that moved later by more than the elapsed week."""
    return _estimate_with_interval(_compute_date_changes(one, other) > _WEEK_DAYS, np.mean)


def _compare_readiness_dates(
    one: pl.DataFrame, other: pl.DataFrame, now: CompanyHistory
) -> dict[str, Any]:
    """Compare the readiness dates of the previous list with those of the next list."""
    terms = subscription_terms.subscription_terms_as_of(
        known_before(now.contracts, now.end), now.end, ()
    )
    increases = terms.select("account_id", "last_increase_known_at")
    rows = other.join(increases, on="account_id", how="left", maintain_order="left")
    held_dates = readiness_date.hold_readiness_dates(rows, one, now.end.date())
    with_date = one.join(
        other.select("account_id", now=held_dates),
        on="account_id",
        how="inner",
        maintain_order="left",
    ).drop_nulls("readiness_date")
    still_dated = with_date.drop_nulls("now")
    # A date that is due is shown as "now", and stays so.
    due = pl.max_horizontal("readiness_date", pl.lit(now.end.date()))
    days = still_dated.select(days=(pl.col("now") - due).dt.total_days())["days"].to_numpy()
    return {
        "with_date": with_date.height,
        "lost": _estimate_with_interval(with_date["now"].is_null().to_numpy(), np.mean),
        "change": _estimate_with_interval(np.abs(days), np.median),
        "receded": _estimate_with_interval(days > 0, np.mean),
    }


def _compute_date_changes(one: pl.DataFrame, other: pl.DataFrame) -> NDArray[np.float64]:
    both = one.join(other, on="account_id", suffix="_other")
    moved = (
        pl.col("days_other")
        - pl.col("days")
        + (pl.col("as_of_other") - pl.col("as_of")).dt.total_days()
    )
    return both.select(moved=moved)["moved"].to_numpy().astype(np.float64)


def _estimate_with_interval(values: NDArray[Any], statistic: Any) -> dict[str, Any]:
    """Estimate a statistic with its interval; a row is an account here."""
    each = pl.DataFrame({"account_id": np.arange(len(values))})
    return bootstrap_intervals.estimate_intervals(
        {"it": lambda rows: float(statistic(values[rows]))}, each
    )["it"]
