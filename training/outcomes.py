"""Typed expansions and churn of each snapshot: the only look past the as-of.

An outcome counts on ``[as_of, as_of + horizon)``, the end excluded. Labels are read from contract
rows known before the *cut* only, and a window that the cut leaves unfinished is unknown, also when
it already shows an expansion: keeping early positives of unfinished windows would bias every
recent rate upwards.
"""

from datetime import datetime
from typing import Final

import polars as pl

from data.settings import Outcome
from features import contract
from features.grid import known_before

__all__ = ["LONGEST_DAYS", "build", "churned", "expanded"]

LONGEST_DAYS: Final = 180
_SNAPSHOT: Final = ["account_id", "as_of"]
_AMOUNTS: Final = ("seats", "usage_limit", "plan_rank", "mrr")
_MIDNIGHT: Final = pl.col("as_of").cast(contract.INSTANT)


def build(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, *, cut: datetime, rules: Outcome
) -> pl.DataFrame:
    """Find the first organic expansion and the end of contract after each as-of.

    Parameters
    ----------
    snapshots : polars.DataFrame
        ``account_id``, ``as_of`` (Date).
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    cut : datetime.datetime
        Only contract rows known before this moment, UTC, are read.
    rules : data.settings.Outcome
        Least rise, days within which a rise may be undone, booking lag.

    Returns
    -------
    polars.DataFrame
        One row per snapshot, in the order given: ``days_to_expansion`` and ``days_to_churn``
        (whole days from the as-of, null when not seen), ``kind`` (plan, seats, usage, revenue),
        ``rise`` (share), ``mrr_rise`` (share; null where the revenue before or after is not known),
        ``mrr_added`` (currency per month; null likewise),
        ``days_to_unclear`` (to a rise that cannot be told from a price change), and
        ``known_days``: windows up to so many days are complete at the cut.
    """
    known = known_before(contracts, cut)
    keys = snapshots.select(_SNAPSHOT)
    ends = _ends(keys, known)
    steps = _judged(_steps(keys, known), known, rules)
    first = (
        steps.join(ends, on=_SNAPSHOT, how="left")
        .filter(
            pl.col("days").lt(pl.col("days_to_churn").fill_null(LONGEST_DAYS + 1)),
            pl.col("kind").is_not_null(),
        )
        .sort(*_SNAPSHOT, "known", "effective")
        .group_by(_SNAPSHOT, maintain_order=True)
        .agg(
            days_to_expansion=pl.col("days").filter(pl.col("kind") != "unclear").first(),
            kind=pl.col("kind").filter(pl.col("kind") != "unclear").first(),
            rise=pl.col("rise").filter(pl.col("kind") != "unclear").first(),
            mrr_rise=pl.col("mrr_rise").filter(pl.col("kind") != "unclear").first(),
            mrr_added=pl.col("mrr_added").filter(pl.col("kind") != "unclear").first(),
            days_to_unclear=pl.col("days").filter(pl.col("kind") == "unclear").first(),
        )
    )
    settled = pl.lit(cut.date()) - pl.col("as_of")
    wait = rules.booking_lag_days + rules.revert_days
    return (
        keys.join(first, on=_SNAPSHOT, how="left", maintain_order="left")
        .join(ends, on=_SNAPSHOT, how="left", maintain_order="left")
        .with_columns(known_days=settled.dt.total_days() - wait)
    )


def expanded(horizon_days: int) -> pl.Expr:
    """Say whether a snapshot expanded within the horizon; null while that is unknown.

    A window is unknown until the cut has passed its end, booking lag and revert days included, and
    where the only rise in it cannot be told from a price change.
    """
    seen = (pl.col("days_to_expansion") < horizon_days).fill_null(value=False)
    unclear = (pl.col("days_to_unclear") < horizon_days).fill_null(value=False)
    complete = pl.col("known_days") >= horizon_days
    return pl.when(complete & (seen | ~unclear)).then(seen)


def churned(horizon_days: int) -> pl.Expr:
    """Say whether a snapshot's contract ended within the horizon; null while that is unknown."""
    seen = (pl.col("days_to_churn") < horizon_days).fill_null(value=False)
    return pl.when(pl.col("known_days") >= horizon_days).then(seen)


def _after(days_from: str) -> pl.Expr:
    return (pl.col(days_from).dt.date() - pl.col("as_of")).dt.total_days()


def _ends(keys: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Days until a contract row that ends the account comes into force.

    Zero for an end that lay before the as-of and was only heard of later. Of several rows from one
    effective date the one known last speaks: an end that was taken back is none.
    """
    spoken = known.group_by("account_id", "effective", maintain_order=True).last()
    ended = spoken.with_columns(
        until=pl.col("effective").shift(-1).over("account_id", order_by="effective")
    ).filter("ended")
    still = pl.col("until").is_null() | (pl.col("until").dt.date() > pl.col("as_of"))
    return (
        keys.join(ended.select("account_id", "effective", "until"), on="account_id")
        .with_columns(days=_after("effective"))
        .filter(pl.col("days") < LONGEST_DAYS, (pl.col("days") >= 0) | still)
        .group_by(_SNAPSHOT)
        .agg(days_to_churn=pl.col("days").min().clip(lower_bound=0))
    )


def _steps(keys: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Contract rows that became known after the as-of, beside the levels they must exceed.

    The level at the as-of is one; what was already scheduled for the row's effective date is
    another (a ramp signed before is not a new outcome); and what a merger, a correction or a ramp
    brought in the meantime is the third.
    """
    numbered = known.with_row_index("row")
    rows = (
        keys.join(numbered, on="account_id")
        .with_columns(days=_after("known"))
        .filter(pl.col("days").is_between(0, LONGEST_DAYS - 1))
    )
    at = _standing(keys.with_columns(due=_MIDNIGHT), numbered, "_at")
    due = pl.max_horizontal("effective", _MIDNIGHT)
    scheduled = _standing(rows.select(*_SNAPSHOT, "row", due=due), numbered, "_scheduled")
    joined = (
        rows.join(at, on=_SNAPSHOT, how="left")
        .join(scheduled, on=[*_SNAPSHOT, "row"], how="left")
        .join(_brought(rows), on=[*_SNAPSHOT, "row"], how="left")
    )
    before = [
        # A first purchase has no level before it, whatever came in the meantime.
        pl.when(pl.col(f"{name}_at").is_not_null())
        .then(pl.max_horizontal(f"{name}_at", f"{name}_scheduled", f"{name}_else"))
        .alias(f"{name}_before")
        for name in _AMOUNTS
    ]
    return joined.filter("paid_at", "paid").with_columns(
        *before, plan_before=pl.coalesce("plan_scheduled", "plan_at")
    )


def _standing(asked: pl.DataFrame, numbered: pl.DataFrame, suffix: str) -> pl.DataFrame:
    """The contract that is in force at the moment ``due``, as it was known at the as-of."""
    by = [name for name in asked.columns if name != "due"]
    rows = numbered.select(
        "account_id", "known", "effective", *_AMOUNTS, "plan", "paid", place="row"
    )
    return (
        asked.join(rows, on="account_id")
        .filter(pl.col("known") < _MIDNIGHT, pl.col("effective") <= pl.col("due"))
        .sort(*by, "place")
        .group_by(by, maintain_order=True)
        .last()
        .select(*by, pl.col(*_AMOUNTS, "plan", "paid").name.suffix(suffix))
    )


def _brought(rows: pl.DataFrame) -> pl.DataFrame:
    """The highest levels that came between the as-of and a row without a decision to buy more.

    A change of price and a renewal bring money only.
    """
    inorganic = pl.col("change").is_in(list(contract.NOT_ORGANIC))
    levels = [pl.when(inorganic).then(name).alias(name) for name in _AMOUNTS if name != "mrr"]
    brought = rows.filter(inorganic | pl.col("change").is_in(["price", "renewal"])).select(
        *_SNAPSHOT, *levels, "mrr", came="known", since="effective", place="row"
    )
    told_before = (pl.col("came") < pl.col("known")) | (
        pl.col("came").eq(pl.col("known")) & pl.col("place").lt(pl.col("row"))
    )
    return (
        rows.select(*_SNAPSHOT, "row", "known", "effective")
        .join(brought, on=_SNAPSHOT)
        .filter(told_before, pl.col("since") <= pl.col("effective"))
        .group_by(*_SNAPSHOT, "row")
        .agg(pl.col(_AMOUNTS).max().name.suffix("_else"))
    )


def _judged(steps: pl.DataFrame, known: pl.DataFrame, rules: Outcome) -> pl.DataFrame:
    """Type each step, and drop those that were undone within the revert days."""
    kind = contract.rise_kind(min_rise=rules.min_rise)
    typed = steps.with_columns(
        kind=kind,
        rise=contract.rise_share(),
        mrr_rise=pl.when(pl.col("mrr_before") > 0).then(pl.col("mrr") / pl.col("mrr_before") - 1),
        mrr_added=pl.col("mrr") - pl.col("mrr_before"),
    ).filter(pl.col("kind").is_not_null())
    later = known.with_row_index("later").select(
        "account_id", "later", pl.col("effective", *_AMOUNTS, "plan").name.prefix("later_")
    )
    # A rise booked late can be undone only once it is booked.
    settles = pl.max_horizontal("effective", "known") + pl.duration(days=rules.revert_days)
    return (
        typed.join(later, on="account_id")
        .filter(pl.col("later_effective").is_between("effective", settles))
        .sort(*_SNAPSHOT, "row", "later")
        .group_by(*_SNAPSHOT, "row", maintain_order=True)
        .last()
        .filter(_held())
    )


def _held() -> pl.Expr:
    """Whether anything that rose still stands above the level before it."""
    cheaper = pl.col("later_mrr") <= pl.col("mrr_before")
    lower = (pl.col("later_plan_rank") <= pl.col("plan_rank_before")).fill_null(cheaper)
    plan = pl.col("later_plan").ne(pl.col("plan_before")) & ~lower.fill_null(value=False)
    seats = pl.col("later_seats") > pl.col("seats_before")
    usage = pl.col("later_usage_limit") > pl.col("usage_limit_before")
    revenue = pl.col("later_mrr") > pl.col("mrr_before")
    any_quantity = pl.any_horizontal(held.fill_null(value=False) for held in (plan, seats, usage))
    return (
        pl.when(pl.col("kind") == "unclear")
        .then(pl.lit(value=True))
        .when(pl.col("kind") == "revenue")
        .then(revenue.fill_null(value=False))
        .otherwise(any_quantity)
    )
