"""The contract history as a timeline: what was known when, in force when, and what is a rise.

Shared by the features, which look back from the as-of, and by ``training.labels``, which alone
looks ahead. What counts as an organic rise is said here once.
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
    "in_force",
    "increase_type",
    "relative_increase",
]

ENTITLEMENT_COLUMNS: Final = ("seats", "usage_limit", "plan_rank", "plan", "mrr")
# A rise that none of these explains is the customer's own decision to buy more.
NON_ORGANIC_CHANGES: Final = ("new", "ramp", "merger", "correction", "contraction", "churn")
_ENDED_STATUSES: Final = ("lapsed", "churned")
# Of rows that differ in nothing but these the largest speaks, whatever order they came in.
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
    """Give each contract row the moment it was known, and say what it amounts to.

    Parameters
    ----------
    subscriptions : polars.DataFrame
        Rows under :class:`data.schemas.SubscriptionSchema`.
    plans : sequence of str
        Plans in rising order; empty when unknown.
    reliable_from : datetime.date, optional
        ``known_at`` stamps before this day (UTC) belong to a bulk load and are not believed.

    Returns
    -------
    polars.DataFrame
        One row per contract row, ordered by account, ``effective`` and ``known``: the levels
        ``seats``, ``usage_limit``, ``plan``, ``plan_rank``, ``mrr``, and ``paid``, ``trial``,
        ``ended``, ``change``, ``renewal``, ``booked`` (whether ``known`` is a real booking time).
    """
    floor = pl.lit(reliable_from or date(1, 1, 1)).cast(UTC_DATETIME)
    believed = (pl.col("known_at") >= floor).fill_null(value=False)
    status = pl.col("status").fill_null("paid")
    # Neither seats, limit, plan nor money: nothing is sold any more.
    empty = pl.all_horizontal(
        pl.col("licensed_seats", "usage_limit", "plan", "mrr").is_null()
    ) | pl.col("mrr").eq(0).fill_null(value=False)
    ended = status.is_in(_ENDED_STATUSES) | (empty & status.ne("trial"))
    rank = (
        pl.col("plan").replace_strict(
            list(plans), list(range(len(plans))), default=None, return_dtype=pl.Float64
        )
        if plans
        else pl.lit(None, pl.Float64)
    )
    return subscriptions.select(
        "account_id",
        known=pl.when(believed).then("known_at").otherwise("effective_date"),
        effective=pl.col("effective_date"),
        booked=believed,
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


def in_force(rows: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """Return the row of each account that is in force at a moment, of the rows given.

    Of several rows from one effective date the one known last speaks, so a correction replaces
    what it corrects.
    """
    return (
        rows.filter(pl.col("effective") <= moment)
        .group_by("account_id", maintain_order=True)
        .last()
    )


def increase_type(*, min_increase: float = 0.0) -> pl.Expr:
    """Say what rose between the levels ``x_before`` and ``x``, as one word or null.

    ``plan``, ``seats``, ``usage`` and ``revenue`` are organic rises, in this order where several
    rise at once; ``unclear`` is a rise that cannot be told from a change of price.

    Returns
    -------
    polars.Expr
        Over the columns of :func:`build_timeline` and the same with the suffix ``_before``.
    """
    organic = pl.col("change").is_null() | ~pl.col("change").is_in(NON_ORGANIC_CHANGES)

    def rose(level: str) -> pl.Expr:
        now, before = pl.col(level), pl.col(f"{level}_before")
        # The last factor forgives the rounding of floats where the rise is exactly the least.
        enough = now >= before * (1 + min_increase) * (1 - 1e-12)
        # A null before is a first purchase, not a rise.
        return (now.gt(before) & enough).fill_null(value=False)

    changed_plan = pl.col("plan").ne(pl.col("plan_before")).fill_null(value=False)
    by_order = pl.col("plan_rank") > pl.col("plan_rank_before")
    plan = changed_plan & by_order.fill_null(pl.col("mrr") > pl.col("mrr_before")).fill_null(
        value=False
    )
    quantity = plan | rose("seats") | rose("usage_limit")
    told = pl.col("change").is_in(["organic", "true_up"]).fill_null(value=False)
    priced = pl.col("change").is_in(["price", "renewal"]).fill_null(value=False)
    unmeasured = pl.all_horizontal(
        pl.col(level).is_null() & pl.col(f"{level}_before").is_null()
        for level in ("seats", "usage_limit", "plan")
    )
    appeared = pl.any_horizontal(
        pl.col(level).is_null() != pl.col(f"{level}_before").is_null()
        for level in ("seats", "usage_limit", "plan")
    )
    contradictory = pl.col("change").eq("price").fill_null(value=False) & quantity
    return (
        pl.when(~organic)
        .then(None)
        .when(contradictory)
        .then(pl.lit("unclear"))
        .when(plan)
        .then(pl.lit("plan"))
        .when(rose("seats"))
        .then(pl.lit("seats"))
        .when(rose("usage_limit"))
        .then(pl.lit("usage"))
        .when(rose("mrr") & (told | (unmeasured & ~priced)))
        .then(pl.lit("revenue"))
        .when(rose("mrr") & appeared & ~priced)
        .then(pl.lit("unclear"))
    )


def relative_increase() -> pl.Expr:
    """Return the largest relative rise among seats, usage limit and MRR, as a share."""
    shares = (
        pl.when(pl.col(f"{level}_before") > 0).then(pl.col(level) / pl.col(f"{level}_before") - 1)
        for level in ("seats", "usage_limit", "mrr")
    )
    return pl.max_horizontal(*shares)
