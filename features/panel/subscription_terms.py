"""Subscription terms of an account as of a date: current terms, past increases, future steps.

All inputs are rows that passed :func:`features.point_in_time.known_before`.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import polars as pl

from data.config.settings import MONTH_DAYS
from features import subscription_timeline

__all__ = ["subscription_terms_as_of"]


def subscription_terms_as_of(
    timeline: pl.DataFrame, as_of: datetime, months: Iterable[int]
) -> pl.DataFrame:
    """Return the terms in force now and in past months, their history, and steps signed ahead.

    The ``timeline`` has rows of :func:`features.subscription_timeline.build_timeline` known before
    the as-of. ``months`` are 30-day months back for seats and MRR, as ``seats_mK`` and ``mrr_mK``.

    Returns
    -------
    polars.DataFrame
        One row per account with a contract in force; values the contract does not state are null.
    """
    terms = subscription_timeline.select_in_force(timeline, as_of).select(
        "account_id",
        *subscription_timeline.ENTITLEMENT_COLUMNS,
        "renewal",
        "paid",
        "trial",
        "ended",
        in_force_days=(pl.lit(as_of) - pl.col("effective")).dt.total_days(),
    )
    past_terms = [
        subscription_timeline.select_in_force(
            timeline, as_of - timedelta(days=months_back * MONTH_DAYS)
        ).select(
            "account_id",
            pl.col("seats").alias(f"seats_m{months_back}"),
            pl.col("mrr").alias(f"mrr_m{months_back}"),
        )
        for months_back in months
    ]
    signed_ahead = (
        timeline.filter(pl.col("effective") > as_of)
        .group_by("account_id", maintain_order=True)
        .agg(seats_ahead=pl.col("seats").max(), mrr_ahead=pl.col("mrr").max())
    )
    for table in (*past_terms, _summarize_history(timeline, as_of), signed_ahead):
        terms = terms.join(table, on="account_id", how="left", validate="1:1")
    return terms.with_columns(
        renewal_days=(pl.col("renewal") - pl.lit(as_of)).dt.total_days(),
        year_end_days=pl.lit((date(as_of.year + 1, 1, 1) - as_of.date()).days),
    )


def _pair_consecutive_rows(timeline: pl.DataFrame) -> pl.DataFrame:
    """Return rows in order of effective date, with the previous row's values."""
    # Of several rows with one effective date the one known last applies, as in in_force.
    last_known = timeline.unique(["account_id", "effective"], keep="last", maintain_order=True)
    return last_known.with_columns(
        pl.col(*subscription_timeline.ENTITLEMENT_COLUMNS)
        .shift(1)
        .over("account_id")
        .name.suffix("_before"),
        was_paid=pl.col("paid").shift(1).over("account_id").fill_null(value=False),
    )


def _has_increased() -> pl.Expr:
    type_of_increase = subscription_timeline.increase_type()
    return (
        type_of_increase.is_not_null()
        & type_of_increase.ne("unclear")
        & pl.col("was_paid")
        & pl.col("paid")
    )


def _summarize_history(timeline: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Summarize tenure, past purchases and seat cuts."""
    steps = _pair_consecutive_rows(timeline)
    is_increase, both_paid = _has_increased(), pl.col("was_paid") & pl.col("paid")
    is_purchase = is_increase | (pl.col("paid") & ~pl.col("was_paid"))
    is_not_a_cut = pl.col("change").is_in(["merger", "correction"]).fill_null(value=False)
    is_seat_cut = (pl.col("seats") < pl.col("seats_before")).fill_null(value=False) & both_paid
    is_seat_cut &= ~is_not_a_cut
    since = (pl.lit(as_of) - pl.col("effective")).dt.total_days()
    # A purchase that starts later counts from the day of its signature.
    since_signed = pl.max_horizontal(since, (pl.lit(as_of) - pl.col("known")).dt.total_days())
    in_force = pl.col("effective") <= as_of
    increase_in_force, cut_in_force = in_force & is_increase, in_force & is_seat_cut
    return steps.group_by("account_id", maintain_order=True).agg(
        tenure_days=since.filter(in_force & pl.col("paid")).max(),
        expansions=increase_in_force.sum(),
        expansions_360d=(increase_in_force & since.le(360)).sum(),
        expansion_days_ago=since.filter(increase_in_force).min(),
        # Whether in force by then or not.
        last_increase_known_at=pl.col("known").filter(is_increase).max(),
        seat_cut_days_ago=since.filter(cut_in_force).min(),
        purchase_days_ago=since_signed.filter(is_purchase).min(),
        terms_days_ago=since_signed.filter(is_purchase | is_seat_cut).min(),
    )
