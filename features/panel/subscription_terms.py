"""What the contract says of an account at one as-of: terms, past rises, steps signed ahead.

Everything here is given rows that :func:`features.panel.monthly.known_before` let through.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import polars as pl

from data.config.settings import MONTH_DAYS
from features import subscription_timeline

__all__ = ["last_known_increase", "subscription_terms_as_of"]


def subscription_terms_as_of(
    timeline: pl.DataFrame, as_of: datetime, months: Iterable[int]
) -> pl.DataFrame:
    """Tell the contract in force now and in past months, its history, and what is signed ahead.

    Parameters
    ----------
    timeline : polars.DataFrame
        Rows of :func:`features.subscription_timeline.build_timeline` that were known before the as-of.
    as_of : datetime.datetime
        00:00 UTC.
    months : iterable of int
        30-day months back for which seats and MRR are told, as ``seats_mK`` and ``mrr_mK``.

    Returns
    -------
    polars.DataFrame
        One row per account with a contract in force; what it does not say is null.
    """
    now = subscription_timeline.in_force(timeline, as_of).select(
        "account_id",
        *subscription_timeline.ENTITLEMENT_COLUMNS,
        "renewal",
        "paid",
        "trial",
        "ended",
        in_force_days=(pl.lit(as_of) - pl.col("effective")).dt.total_days(),
    )
    past = [
        subscription_timeline.in_force(timeline, as_of - timedelta(days=back * MONTH_DAYS)).select(
            "account_id",
            pl.col("seats").alias(f"seats_m{back}"),
            pl.col("mrr").alias(f"mrr_m{back}"),
        )
        for back in months
    ]
    for table in (
        *past,
        _summarize_history(timeline, as_of),
        _summarize_future_steps(timeline, as_of),
    ):
        now = now.join(table, on="account_id", how="left", validate="1:1")
    return now.with_columns(
        renewal_days=(pl.col("renewal") - pl.lit(as_of)).dt.total_days(),
        year_end_days=pl.lit((date(as_of.year + 1, 1, 1) - as_of.date()).days),
    )


def last_known_increase(timeline: pl.DataFrame) -> pl.DataFrame:
    """Tell when it was last heard that an account under contract bought more.

    Parameters
    ----------
    timeline : polars.DataFrame
        Rows of :func:`features.subscription_timeline.build_timeline` that were known before an as-of.

    Returns
    -------
    polars.DataFrame
        ``account_id`` and ``heard`` (UTC), whether it is in force by then or not.
    """
    rose = _pair_consecutive_rows(timeline).filter(_has_increased())
    return rose.group_by("account_id", maintain_order=True).agg(heard=pl.col("known").max())


def _pair_consecutive_rows(timeline: pl.DataFrame) -> pl.DataFrame:
    """What came into force one row after the other, beside what was before it."""
    # Of several rows from one effective date the one known last speaks, as in in_force.
    spoken = timeline.unique(["account_id", "effective"], keep="last", maintain_order=True)
    return spoken.with_columns(
        pl.col(*subscription_timeline.ENTITLEMENT_COLUMNS)
        .shift(1)
        .over("account_id")
        .name.suffix("_before"),
        was_paid=pl.col("paid").shift(1).over("account_id").fill_null(value=False),
    )


def _has_increased() -> pl.Expr:
    kind = subscription_timeline.increase_type()
    return kind.is_not_null() & kind.ne("unclear") & pl.col("was_paid") & pl.col("paid")


def _summarize_history(timeline: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Tenure, past purchases and cuts."""
    steps, rose, both = (
        _pair_consecutive_rows(timeline),
        _has_increased(),
        pl.col("was_paid") & pl.col("paid"),
    )
    bought = rose | (pl.col("paid") & ~pl.col("was_paid"))
    told_otherwise = pl.col("change").is_in(["merger", "correction"]).fill_null(value=False)
    fewer = (pl.col("seats") < pl.col("seats_before")).fill_null(value=False) & both
    fewer &= ~told_otherwise
    since = (pl.lit(as_of) - pl.col("effective")).dt.total_days()
    # What was bought ahead was bought on the day of the signature.
    since_signed = pl.max_horizontal(since, (pl.lit(as_of) - pl.col("known")).dt.total_days())
    in_force = pl.col("effective") <= as_of
    rise, cut = in_force & rose, in_force & fewer
    return steps.group_by("account_id", maintain_order=True).agg(
        tenure_days=since.filter(in_force & pl.col("paid")).max(),
        expansions=rise.sum(),
        expansions_360d=(rise & since.le(360)).sum(),
        expansion_days_ago=since.filter(rise).min(),
        seat_cut_days_ago=since.filter(cut).min(),
        purchase_days_ago=since_signed.filter(bought).min(),
        terms_days_ago=since_signed.filter(bought | fewer).min(),
    )


def _summarize_future_steps(timeline: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Steps that are signed but not yet in force."""
    return (
        timeline.filter(pl.col("effective") > as_of)
        .group_by("account_id", maintain_order=True)
        .agg(seats_ahead=pl.col("seats").max(), mrr_ahead=pl.col("mrr").max())
    )
