"""Contract: tenure, size, past expansions, and steps signed ahead."""

import polars as pl

from features.catalogue.feature import Feature


def _contract_feature(
    name: str, unit: str, value: pl.Expr, signal: str, **options: object
) -> Feature:
    return Feature(
        name=name,
        family="contract",
        unit=unit,
        value=value,
        signal_group=signal,
        **options,  # type: ignore[arg-type]
    )


FEATURES = (
    _contract_feature("tenure_days", "days", pl.col("tenure_days"), "tenure"),
    _contract_feature("contract_days", "days", pl.col("in_force_days"), "contract_age"),
    _contract_feature(
        "plan_rank", "place in the order of plans", pl.col("plan_rank"), "plan", requires="plans"
    ),
    _contract_feature("mrr", "currency per month", pl.col("mrr"), "mrr", requires="mrr"),
    _contract_feature(
        "mrr_per_seat",
        "currency per seat and month",
        pl.when(pl.col("seats") > 0).then(pl.col("mrr") / pl.col("seats")),
        "mrr",
        requires="mrr and seats",
    ),
    _contract_feature(
        "mrr_growth_360d",
        "share",
        pl.when(pl.col("mrr_m12") > 0).then(pl.col("mrr") / pl.col("mrr_m12") - 1),
        "mrr",
        requires="mrr",
    ),
    _contract_feature(
        "seats_growth_360d",
        "share",
        pl.when(pl.col("seats_m12") > 0).then(pl.col("seats") / pl.col("seats_m12") - 1),
        "licensed_seats",
        requires="seats",
    ),
    _contract_feature(
        "expansions_so_far", "expansions", pl.col("expansions"), "past_expansions", fill_value=0
    ),
    _contract_feature(
        "expansions_360d", "expansions", pl.col("expansions_360d"), "past_expansions", fill_value=0
    ),
    _contract_feature(
        "days_since_expansion", "days", pl.col("expansion_days_ago"), "past_expansions"
    ),
    _contract_feature(
        "days_since_seat_cut",
        "days",
        pl.col("seat_cut_days_ago"),
        "past_cuts",
        requires="seats",
        direction=1,
    ),
    _contract_feature(
        "days_since_purchase", "days", pl.col("purchase_days_ago"), "past_expansions"
    ),
    _contract_feature(
        "days_since_terms_changed", "days", pl.col("terms_days_ago"), "past_expansions"
    ),
    _contract_feature(
        "days_to_renewal", "days", pl.col("renewal_days"), "renewal", requires="renewal_date"
    ),
    _contract_feature(
        "seats_ahead_share",
        "share of today's seats",
        pl.when(pl.col("seats") > 0).then(pl.col("seats_ahead") / pl.col("seats")),
        "ramp",
        requires="steps signed ahead",
    ),
)
