"""Typed expansions and churn of each snapshot: the only look past the as-of.

An outcome counts on ``[as_of, as_of + horizon)``, the end excluded. Labels are read from contract
rows known before the *cut* only, and a window that the cut leaves unfinished is unknown, also when
it already shows an expansion: keeping early positives of unfinished windows would bias every
recent rate upwards.
"""

from datetime import UTC, datetime
from typing import Final

import polars as pl

from data.settings import Outcome
from features import contract
from features.grid import known_before

__all__ = ["LONGEST_DAYS", "build", "expanded"]

LONGEST_DAYS: Final = 180
_SNAPSHOT: Final = ["account_id", "as_of"]
_AMOUNTS: Final = ("seats", "usage_limit", "plan_rank", "mrr")


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
        ``rise`` (share), ``days_to_unclear`` (to a rise that cannot be told from a price change),
        and ``known_days``: windows up to so many days are complete at the cut.
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


def _after(days_from: str) -> pl.Expr:
    return (pl.col(days_from).dt.date() - pl.col("as_of")).dt.total_days()


def _ends(keys: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Days until a contract row that ends the account comes into force."""
    ended = known.filter("ended").select("account_id", "effective")
    return (
        keys.join(ended, on="account_id")
        .with_columns(days=_after("effective"))
        .filter(pl.col("days").is_between(0, LONGEST_DAYS - 1))
        .group_by(_SNAPSHOT)
        .agg(days_to_churn=pl.col("days").min())
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
    levels = [_level_at_as_of(keys, known), _scheduled(rows, numbered)]
    joined = rows.join(levels[0], on=_SNAPSHOT, how="left").join(
        levels[1], on=[*_SNAPSHOT, "row"], how="left"
    )
    inorganic = pl.col("change").is_in(list(contract.NOT_ORGANIC)).fill_null(value=False)
    joined = joined.sort(*_SNAPSHOT, "known", "effective", "row").with_columns(
        pl.when(inorganic).then(name).cum_max().forward_fill().over(_SNAPSHOT).alias(f"{name}_else")
        for name in _AMOUNTS
    )
    before = [
        # A first purchase has no level before it, whatever came in the meantime.
        pl.when(pl.col(f"{name}_at").is_not_null())
        .then(pl.max_horizontal(f"{name}_at", f"{name}_scheduled", f"{name}_else"))
        .alias(f"{name}_before")
        for name in _AMOUNTS
    ]
    return joined.filter("paid_at").with_columns(
        *before, plan_before=pl.coalesce("plan_scheduled", "plan_at")
    )


def _level_at_as_of(keys: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The contract in force at the as-of, as it was known then."""
    levels = []
    for (day,) in keys.select("as_of").unique(maintain_order=True).iter_rows():
        as_of = datetime(day.year, day.month, day.day, tzinfo=UTC)
        now = contract.in_force(known_before(known, as_of), as_of)
        levels.append(
            now.select(
                "account_id",
                pl.lit(day).alias("as_of"),
                pl.col(*_AMOUNTS, "plan", "paid").name.suffix("_at"),
            )
        )
    return pl.concat(levels)


def _scheduled(rows: pl.DataFrame, numbered: pl.DataFrame) -> pl.DataFrame:
    """The level that rows known before the as-of had already set for a row's effective date."""
    earlier = numbered.select("account_id", "known", "effective", *_AMOUNTS, "plan")
    as_of = pl.col("as_of").cast(contract.INSTANT)
    return (
        rows.select(*_SNAPSHOT, "row", due="effective")
        .join(earlier, on="account_id")
        .filter(pl.col("known") < as_of, pl.col("effective") <= pl.max_horizontal("due", as_of))
        .sort(*_SNAPSHOT, "row", "effective", "known")
        .group_by(*_SNAPSHOT, "row", maintain_order=True)
        .last()
        .select(*_SNAPSHOT, "row", pl.col(*_AMOUNTS, "plan").name.suffix("_scheduled"))
    )


def _judged(steps: pl.DataFrame, known: pl.DataFrame, rules: Outcome) -> pl.DataFrame:
    """Type each step, and drop those that were undone within the revert days."""
    kind = contract.rise_kind(min_rise=rules.min_rise)
    typed = steps.with_columns(kind=kind, rise=contract.rise_share()).filter(
        pl.col("kind").is_not_null()
    )
    if not rules.revert_days:
        return typed
    later = known.select(
        "account_id", pl.col("effective", "known", *_AMOUNTS, "plan").name.prefix("later_")
    )
    settles = pl.col("effective") + pl.duration(days=rules.revert_days)
    return (
        typed.join(later, on="account_id")
        .filter(pl.col("later_effective").is_between("effective", settles))
        .sort(*_SNAPSHOT, "row", "later_effective", "later_known")
        .group_by(*_SNAPSHOT, "row", maintain_order=True)
        .last()
        .filter(_held())
    )


def _held() -> pl.Expr:
    """Whether what rose still stands above the level before it."""
    held = {
        "seats": pl.col("later_seats") > pl.col("seats_before"),
        "usage": pl.col("later_usage_limit") > pl.col("usage_limit_before"),
        "plan": pl.col("later_plan") != pl.col("plan_before"),
        "revenue": pl.col("later_mrr") > pl.col("mrr_before"),
        "unclear": pl.lit(value=True),
    }
    return pl.any_horizontal(
        pl.col("kind").eq(kind) & still.fill_null(value=False) for kind, still in held.items()
    )
