"""What came of a way's flags: how much it caught, how early, and for how many false alarms."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training import resampling
from training.backtest import expansions
from training.backtest.ground import QUARTER_DAYS, Ground
from training.backtest.result import Way
from training.backtest.ways import Plan
from training.backtest.work import Hours, Worked
from training.resampling import Figure, Metric, Weights

__all__ = ["Verdict", "advantage", "judged", "median", "told"]

BOOK_ACCOUNTS: Final = 80
_NOWHERE: Final = -1
Array = NDArray[np.float64]
Days = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Verdict:
    """A way as it is shown, and what it was made from.

    Attributes
    ----------
    way : training.backtest.result.Way
        The figures.
    flags : polars.DataFrame
        ``account_id``, ``day``, ``expanded`` of every flag.
    caught : numpy.ndarray of int, shape (n_expansions,)
        Column of the first flag that counts; negative where there is none.
    """

    way: Way
    flags: pl.DataFrame
    caught: Days


def judged(plan: Plan, worked: Worked, ground: Ground, hours: Hours) -> Verdict:
    """Compute the figures of a way.

    Parameters
    ----------
    plan, worked
        The way, and what the team did by it.
    ground : Ground
        What all ways are judged by.
    hours : training.backtest.work.Hours
        The team's.

    Returns
    -------
    Verdict
        Its figures, flags, and what it caught.
    """
    flags = _flags(worked, ground)
    expanded = flags["expanded"]
    caught = _first(worked, ground, ground.day - ground.within_days + 1)
    full_inside = ground.full >= 0
    soon = np.maximum(ground.full - ground.within_days + 1, ground.since)
    noticed = _first(worked, ground, soon)
    early = (caught < 0) & (_first(worked, ground, ground.since) >= 0)
    lead = np.where(caught >= 0, ground.day - caught, np.nan)
    lag = np.where(full_inside & (noticed >= 0), noticed - ground.full, np.nan)
    hits, false = (
        worked.account[expanded.eq_missing(pl.Series([value])).to_numpy()]
        for value in (True, False)
    )
    looking, working = worked.looks * hours.per_look, len(worked.account) * hours.per_account
    figures = {
        **_shares(lead, ground),
        "share_pointed_at": _pointed(plan, worked, ground),
        "precision": _share(ground.per_account(hits), ground.per_account(false), ground),
        "lag_days": _median(lag, ground),
        "lead_days": _median(lead, ground),
        "false_alarms": _false_alarms(false, ground),
        "missed": _missed(lead, ground),
        "minutes": _number((looking + working) / ground.quarters(ground.book.shape[1])),
    }
    way = Way(
        name=plan.name,
        rule=plan.rule,
        figures=figures,
        flags=len(worked.account),
        hits=len(hits),
        false_alarms=len(false),
        caught=int((lead >= 0).sum()),
        caught_14d=int((lead >= 14).sum()),
        caught_30d=int((lead >= 30).sum()),
        looked=worked.looks,
        minutes_looking=looking,
        minutes_working=working,
        claim=plan.claim,
        early=int(early.sum()),
    )
    return Verdict(way, flags, caught)


def advantage(one: Verdict, other: Verdict, ground: Ground) -> Figure:
    """How much more of the expansions one way caught than another, on the same draws."""
    gained = (one.caught >= 0).astype(np.float64) - (other.caught >= 0)
    total = np.zeros(len(ground.accounts))
    np.add.at(total, ground.row, gained)
    return _figure(resampling.ratio(total, ground.per_account(ground.row)), ground)


def median(values: Array, rows: Days) -> Metric:
    """The median over values, each of which counts as often as its account; nan without any.

    Parameters
    ----------
    values : numpy.ndarray, shape (n_values,)
        Without nan.
    rows : numpy.ndarray of int, shape (n_values,)
        The account of each, among those that are drawn.

    Returns
    -------
    callable
        From the weights of a stack of draws to a median for each.
    """
    order = np.argsort(values, kind="stable")
    rising = values[order]

    def metric(weights: Weights) -> Array:
        if not len(rising):
            return np.full(len(weights.row), np.nan)
        total = np.cumsum(weights.row[:, rows[order]], axis=1)
        half = total[:, -1:] / 2
        lower, upper = (reached.argmax(axis=1) for reached in (total >= half, total > half))
        return np.where(half[:, 0] > 0, (rising[lower] + rising[upper]) / 2, np.nan)

    return metric


def _flags(worked: Worked, ground: Ground) -> pl.DataFrame:
    found = pl.DataFrame(
        {
            "account_id": ground.accounts.gather(worked.account),
            "day": pl.Series(worked.day, dtype=pl.Int64),
        }
    ).with_columns(day=pl.lit(ground.start) + pl.duration(days=pl.col("day")))
    expanded = expansions.after(
        found,
        ground.contracts,
        end=ground.end,
        rules=ground.rules,
        within_days=ground.rules.horizon_days,
    )
    return found.with_columns(expanded=expanded)


def _first(worked: Worked, ground: Ground, since: Days) -> Days:
    """The first flag of each expansion's account from a day on, up to the expansion's own."""
    width = ground.book.shape[1] + 1
    flags = np.sort(worked.account * width + worked.day)
    own = ground.row * width
    place = np.searchsorted(flags, own + np.maximum(since, 0))
    at = np.append(flags, np.iinfo(np.int64).max)[place]
    return np.where(at <= own + ground.day, at - own, _NOWHERE)


def _shares(lead: Array, ground: Ground) -> dict[str, Figure]:
    every = ground.per_account(ground.row)
    least = {"share_flagged": 0, "share_flagged_14d": 14, "share_flagged_30d": 30}
    return {
        name: _figure(resampling.ratio(ground.per_account(ground.row[lead >= days]), every), ground)
        for name, days in least.items()
    }


def _pointed(plan: Plan, worked: Worked, ground: Ground) -> Figure:
    if not plan.points:
        return Figure(None, None, None)
    days = np.cumsum(worked.pointed, axis=1)
    before = ground.day - ground.within_days
    until = days[ground.row, ground.day]
    seen = until - np.where(before >= 0, days[ground.row, np.maximum(before, 0)], 0) > 0
    held = ground.per_account(ground.row[seen])
    return _figure(resampling.ratio(held, ground.per_account(ground.row)), ground)


def _share(hits: Array, misses: Array, ground: Ground) -> Figure:
    return _figure(resampling.ratio(hits, hits + misses), ground)


def _median(values: Array, ground: Ground) -> Figure:
    there = ~np.isnan(values)
    return _figure(median(values[there], ground.row[there]), ground)


def _false_alarms(rows: Days, ground: Ground) -> Figure:
    # Flags of the last days are not decided yet, and so are not counted either way.
    settled = (expansions.settled_days(ground.end.date(), ground.rules) - ground.start).days
    quarters = ground.quarters(settled - ground.rules.horizon_days + 1)
    if quarters <= 0:
        return Figure(None, None, None)
    false = ground.per_account(rows)
    return _figure(lambda weights: weights.row @ false / quarters, ground)


def _missed(lead: Array, ground: Ground) -> Figure:
    missed = ground.per_account(ground.row[np.isnan(lead)])
    days = ground.book[:, ground.counted.start : ground.counted.stop].sum(axis=1)
    books = days / (QUARTER_DAYS * BOOK_ACCOUNTS)
    return _figure(resampling.ratio(missed, books), ground)


def _figure(metric: Metric, ground: Ground) -> Figure:
    return resampling.interval(ground.draws.of(metric))


def _number(value: float) -> Figure:
    """What was spent is spent: no interval."""
    return Figure(float(value), None, None)


def told(
    verdicts: Mapping[str, Verdict], ground: Ground, counted: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the flags of all ways, and each expansion with the days on which it was caught.

    Parameters
    ----------
    verdicts : mapping of str to Verdict
        By the ways' names.
    ground : Ground
        What they were judged by.
    counted : polars.DataFrame
        The expansions that count, in its order.
    """
    flags = [
        verdict.flags.select(pl.lit(name).alias("way"), pl.all())
        for name, verdict in verdicts.items()
    ]
    days = {name: _days(verdict.caught, ground.start) for name, verdict in verdicts.items()}
    return pl.concat(flags), counted.with_columns(**days)


def _days(columns: Days, start: date) -> pl.Series:
    asked = pl.DataFrame({"at": columns})
    day = (pl.lit(start) + pl.duration(days=pl.col("at"))).cast(pl.Date)
    return asked.select(at=pl.when(pl.col("at") >= 0).then(day))["at"]
