"""What a week changes: the dates, expected and told, and the stories told after a retrain."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import drawn
import numpy as np
import panels
import polars as pl
import walks
from numpy.typing import NDArray

from features.panel import subscription_terms
from features.panel.monthly import known_before
from serving.scoring import playbook, readiness_date
from training.evaluation import splits
from training.explain import attributions
from training.metrics import dates
from training.model import event_date, propensity
from training.model.calibration import Calibration
from training.model.propensity import Propensity

__all__ = ["stability"]

_WEEK_DAYS = timedelta(weeks=1).days


def stability(name: str, folder: Path, *, smoke: bool) -> dict[str, Any]:
    """Train at the end and a week before it, and compare what the two lists say.

    Every as-of of the later panel stands a week after one of the earlier, as in weekly runs. Both
    models carry the blend and the calibration of the walk forward at the end.
    """
    before = panels.load(name, folder, smoke=smoke, week=1)
    now = panels.load(name, folder, smoke=smoke)
    older, newer = (_trained(past, name, folder) for past in (before, now))
    lists = {
        "last week": _listed(older, before),
        "today, not retrained": _listed(older, now),
        "today": _listed(newer, now),
    }
    return {
        "accounts": lists["today"].height,
        "same_snapshots": _agreement(lists["today, not retrained"], lists["today"]),
        "as_listed": _agreement(lists["last week"], lists["today"]),
        "date_change": _change(lists["last week"], lists["today"]),
        "date_change_not_retrained": _change(lists["last week"], lists["today, not retrained"]),
        "later_than_a_week": _later(lists["last week"], lists["today"]),
        "told": _told(lists["last week"], lists["today"], now),
    }


def _trained(past: panels.Past, name: str, folder: Path) -> Propensity:
    known = splits.build_training_set(
        past.snapshots, past.contracts, past.end, past.settings.outcome
    )
    walked = walks.figures(name, folder)
    fitted = propensity.fit_propensity(
        known.snapshots,
        known.outcomes,
        past.settings.model,
        horizon_days=past.settings.outcome.horizon_days,
        blend_weight=walked["linear_share"],
    )
    return fitted.with_calibration(Calibration(**walked["calibration"]))


def _last(past: panels.Past) -> pl.DataFrame:
    """The snapshots that the list of that day is made of."""
    return past.snapshots.filter(pl.col("as_of") == past.end.date())


def _listed(fitted: Propensity, past: panels.Past) -> pl.DataFrame:
    snapshots, rules = _last(past), past.settings
    why = attributions.explain_predictions(fitted, snapshots)
    expected = event_date.estimate_event_dates(
        fitted.predict_cumulative_incidence(snapshots), fitted.horizons_days
    )
    tier = playbook.assign_playbook(snapshots, rules.playbook)["tier"]
    return snapshots.select(
        "account_id",
        "as_of",
        tier=tier,
        probability=pl.Series(fitted.predict(snapshots).probability),
        signals=pl.Series(why.reason_groups, dtype=pl.List(pl.String)),
        days=dates.build_date_columns(expected)["median_days"],
        readiness_date=readiness_date.compute_readiness_dates(
            expected, past.end, tier, rules.scoring
        ),
    )


def _agreement(one: pl.DataFrame, other: pl.DataFrame) -> dict[str, Any]:
    """Mean Jaccard index of the stories told of each account; two empty lists agree."""
    both = one.join(other, on="account_id", suffix="_other")
    pairs = zip(both["signals"].to_list(), both["signals_other"].to_list(), strict=True)
    index = [len(set(a) & set(b)) / len(set(a) | set(b)) if a or b else 1.0 for a, b in pairs]
    return _with_interval(np.array(index), np.mean)


def _change(one: pl.DataFrame, other: pl.DataFrame) -> dict[str, Any]:
    """Median absolute change of the expected calendar date, in days."""
    return _with_interval(np.abs(_moved(one, other)), np.median)


def _later(one: pl.DataFrame, other: pl.DataFrame) -> dict[str, Any]:
    """Share whose date receded by more than the week that it recedes where nothing changes."""
    return _with_interval(_moved(one, other) > _WEEK_DAYS, np.mean)


def _told(one: pl.DataFrame, other: pl.DataFrame, now: panels.Past) -> dict[str, Any]:
    """How far the readiness dates of the list before moved, as the next list tells them."""
    risen = subscription_terms.last_known_increase(known_before(now.contracts, now.end))
    kept = readiness_date.hold_readiness_dates(other, one, risen, now.end.date())
    named = one.join(
        other.select("account_id", now=kept), on="account_id", how="inner", maintain_order="left"
    ).drop_nulls("readiness_date")
    there = named.drop_nulls("now")
    # What was due reads "now", and goes on reading so.
    due = pl.max_horizontal("readiness_date", pl.lit(now.end.date()))
    days = there.select(days=(pl.col("now") - due).dt.total_days())["days"].to_numpy()
    return {
        "named": named.height,
        "gone": _with_interval(named["now"].is_null().to_numpy(), np.mean),
        "change": _with_interval(np.abs(days), np.median),
        "later": _with_interval(days > 0, np.mean),
    }


def _moved(one: pl.DataFrame, other: pl.DataFrame) -> NDArray[np.float64]:
    both = one.join(other, on="account_id", suffix="_other")
    moved = (
        pl.col("days_other")
        - pl.col("days")
        + (pl.col("as_of_other") - pl.col("as_of")).dt.total_days()
    )
    return both.select(moved=moved)["moved"].to_numpy().astype(np.float64)


def _with_interval(values: NDArray[Any], middle: Any) -> dict[str, Any]:
    """A row is an account here."""
    each = pl.DataFrame({"account_id": np.arange(len(values))})
    return drawn.intervals({"it": lambda rows: float(middle(values[rows]))}, each)["it"]
