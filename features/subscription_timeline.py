"""Subscription timeline: when each row was known and in force, and what counts as an increase.

Shared by the features, which look back from the as-of, and by ``training.labels``, which alone
looks ahead. The rule for an organic increase is defined here once.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

import polars as pl

__all__ = [
    "ENTITLEMENT_COLUMNS",
    "NON_ORGANIC_CHANGES",
    "UTC_DATETIME",
    "build_timeline",
    "increase_type",
    "relative_increase",
    "select_in_force",
]

ENTITLEMENT_COLUMNS: Final = ("seats", "usage_limit", "plan_rank", "plan", "mrr")
# An increase with any other change type is the customer's own decision to buy more.
NON_ORGANIC_CHANGES: Final = ("new", "ramp", "merger", "correction", "contraction", "churn")
_ENDED_STATUSES: Final = ("lapsed", "churned")
# Rows that differ only in these columns: the largest applies, independent of row order.
_TIE_BREAKERS: Final = (
    *ENTITLEMENT_COLUMNS[:3],
    "mrr",
    "plan",
    "change",
    "renewal",
    "ended",
    "trial",
    "paid",
    "booked",
)
UTC_DATETIME: Final = pl.Datetime("us", "UTC")


def build_timeline(
    subscriptions: pl.DataFrame, *, plans: Sequence[str] = (), reliable_from: date | None = None
) -> pl.DataFrame:
    """Build the timeline: each subscription row with the time it was known and its derived status.

    ``plans`` are in ascending order, empty when unknown. ``known_at`` stamps before the UTC day
    ``reliable_from`` belong to a bulk load and are ignored.

    Returns
    -------
    polars.DataFrame
        One row per subscription row, ordered by account, ``effective`` and ``known``: the terms
        ``seats``, ``usage_limit``, ``plan``, ``plan_rank``, ``mrr``, and ``paid``, ``trial``,
        ``ended``, ``change``, ``renewal``, ``booked`` (whether ``known`` is a real booking time).
    """
    floor = pl.lit(reliable_from or date(1, 1, 1)).cast(UTC_DATETIME)
    is_reliable = (pl.col("known_at") >= floor).fill_null(value=False)
    status = pl.col("status").fill_null("paid")
    # No seats, limit, plan or revenue: the contract has ended.
    is_empty = pl.all_horizontal(
        pl.col("licensed_seats", "usage_limit", "plan", "mrr").is_null()
    ) | pl.col("mrr").eq(0).fill_null(value=False)
    ended = status.is_in(_ENDED_STATUSES) | (is_empty & status.ne("trial"))
    rank = (
        pl.col("plan").replace_strict(
            list(plans), list(range(len(plans))), default=None, return_dtype=pl.Float64
        )
        if plans
        else pl.lit(None, pl.Float64)
    )
    return subscriptions.select(
        "account_id",
        known=pl.when(is_reliable).then("known_at").otherwise("effective_date"),
        effective=pl.col("effective_date"),
        booked=is_reliable,
        seats=pl.col("licensed_seats"),
        usage_limit=pl.col("usage_limit"),
        plan=pl.col("plan"),
        plan_rank=rank,
        mrr=pl.col("mrr"),
        renewal=pl.col("renewal_date"),
        change=pl.col("change"),
        trial=status.eq("trial"),
        ended=ended,
        paid=status.eq("paid") & ~ended,
    ).sort("account_id", "effective", "known", *_TIE_BREAKERS, nulls_last=False)


def select_in_force(rows: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """Return each account's row in force at a moment, among the rows given.

    Of several rows with one effective date the one known last applies, so a correction replaces
    the corrected row.
    """
    return (
        rows.filter(pl.col("effective") <= moment)
        .group_by("account_id", maintain_order=True)
        .last()
    )


def increase_type(*, min_increase: float = 0.0) -> pl.Expr:
    """Return the type of increase between the columns ``x_before`` and ``x``, or null.

    ``plan``, ``seats``, ``usage`` and ``revenue`` are organic increases, in this order where
    several occur at once; ``unclear`` is an increase that may be a price change.

    Returns
    -------
    polars.Expr
        Over the columns of :func:`build_timeline` and the same with the suffix ``_before``.
    """
    may_be_organic = pl.col("change").is_null() | ~pl.col("change").is_in(NON_ORGANIC_CHANGES)

    def has_increased(column: str) -> pl.Expr:
        now, before = pl.col(column), pl.col(f"{column}_before")
        # The last factor tolerates float rounding where the increase is exactly the minimum.
        is_sufficient = now >= before * (1 + min_increase) * (1 - 1e-12)
        # A null before is a first purchase, not an increase.
        return (now.gt(before) & is_sufficient).fill_null(value=False)

    plan_changed = pl.col("plan").ne(pl.col("plan_before")).fill_null(value=False)
    higher_rank = pl.col("plan_rank") > pl.col("plan_rank_before")
    has_plan_increase = plan_changed & higher_rank.fill_null(
        pl.col("mrr") > pl.col("mrr_before")
    ).fill_null(value=False)
    has_quantity_increase = (
        has_plan_increase | has_increased("seats") | has_increased("usage_limit")
    )
    is_organic_change = pl.col("change").is_in(["organic", "true_up"]).fill_null(value=False)
    is_price_change = pl.col("change").is_in(["price", "renewal"]).fill_null(value=False)
    nothing_measured = pl.all_horizontal(
        pl.col(column).is_null() & pl.col(f"{column}_before").is_null()
        for column in ("seats", "usage_limit", "plan")
    )
    has_appeared = pl.any_horizontal(
        pl.col(column).is_null() != pl.col(f"{column}_before").is_null()
        for column in ("seats", "usage_limit", "plan")
    )
    is_contradictory = pl.col("change").eq("price").fill_null(value=False) & has_quantity_increase
    return (
        pl.when(~may_be_organic)
        .then(None)
        .when(is_contradictory)
        .then(pl.lit("unclear"))
        .when(has_plan_increase)
        .then(pl.lit("plan"))
        .when(has_increased("seats"))
        .then(pl.lit("seats"))
        .when(has_increased("usage_limit"))
        .then(pl.lit("usage"))
        .when(has_increased("mrr") & (is_organic_change | (nothing_measured & ~is_price_change)))
        .then(pl.lit("revenue"))
        .when(has_increased("mrr") & has_appeared & ~is_price_change)
        .then(pl.lit("unclear"))
    )


def relative_increase() -> pl.Expr:
    """Return the largest relative increase among seats, usage limit and MRR, as a share."""
    shares = (
        pl.when(pl.col(f"{level}_before") > 0).then(pl.col(level) / pl.col(f"{level}_before") - 1)
        for level in ("seats", "usage_limit", "mrr")
    )
    return pl.max_horizontal(*shares)
