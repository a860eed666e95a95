"""Contract: tenure, size, past expansions, and steps signed ahead."""

from functools import partial

import polars as pl

from features.catalogue.feature import Feature

_feature = partial(Feature, family="contract")
_SEATS, _MRR = pl.col("seats"), pl.col("mrr")


def _growth_360d(level: str) -> pl.Expr:
    before = pl.col(f"{level}_m12")
    return pl.when(before > 0).then(pl.col(level) / before - 1)


FEATURES = (
    _feature("tenure_days", "days", pl.col("tenure_days"), "tenure"),
    _feature("contract_days", "days", pl.col("in_force_days"), "contract_age"),
    _feature(
        "plan_rank", "place in the order of plans", pl.col("plan_rank"), "plan", requires="plans"
    ),
    _feature("mrr", "currency per month", _MRR, "mrr", requires="mrr"),
    _feature(
        "mrr_per_seat",
        "currency per seat and month",
        pl.when(_SEATS > 0).then(_MRR / _SEATS),
        "mrr",
        requires="mrr and seats",
    ),
    _feature("mrr_growth_360d", "share", _growth_360d("mrr"), "mrr", requires="mrr"),
    _feature(
        "seats_growth_360d", "share", _growth_360d("seats"), "licensed_seats", requires="seats"
    ),
    _feature(
        "expansions_so_far", "expansions", pl.col("expansions"), "past_expansions", fill_value=0
    ),
    _feature(
        "expansions_360d", "expansions", pl.col("expansions_360d"), "past_expansions", fill_value=0
    ),
    _feature("days_since_expansion", "days", pl.col("expansion_days_ago"), "past_expansions"),
    _feature(
        "days_since_seat_cut",
        "days",
        pl.col("seat_cut_days_ago"),
        "past_cuts",
        requires="seats",
        direction=1,
    ),
    _feature("days_since_purchase", "days", pl.col("purchase_days_ago"), "past_expansions"),
    _feature("days_since_terms_changed", "days", pl.col("terms_days_ago"), "past_expansions"),
    _feature("days_to_renewal", "days", pl.col("renewal_days"), "renewal", requires="renewal_date"),
    _feature(
        "seats_ahead_share",
        "share of today's seats",
        pl.when(_SEATS > 0).then(pl.col("seats_ahead") / _SEATS),
        "ramp",
        requires="steps signed ahead",
    ),
)
