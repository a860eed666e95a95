"""Contract: how long, how large, how often it grew, and what is signed ahead."""

import polars as pl

from features.feature import Feature


def _contract(name: str, unit: str, value: pl.Expr, signal: str, **rest: object) -> Feature:
    return Feature(
        name=name,
        family="contract",
        unit=unit,
        value=value,
        signal=signal,
        **rest,  # type: ignore[arg-type]
    )


FEATURES = (
    _contract("tenure_days", "days", pl.col("tenure_days"), "tenure"),
    _contract("contract_days", "days", pl.col("in_force_days"), "contract_age"),
    _contract(
        "plan_rank", "place in the order of plans", pl.col("plan_rank"), "plan", needs="plans"
    ),
    _contract("mrr", "currency per month", pl.col("mrr"), "mrr", needs="mrr"),
    _contract(
        "mrr_per_seat",
        "currency per seat and month",
        pl.when(pl.col("seats") > 0).then(pl.col("mrr") / pl.col("seats")),
        "mrr",
        needs="mrr and seats",
    ),
    _contract(
        "mrr_growth_360d",
        "share",
        pl.when(pl.col("mrr_m12") > 0).then(pl.col("mrr") / pl.col("mrr_m12") - 1),
        "mrr",
        needs="mrr",
    ),
    _contract(
        "seats_growth_360d",
        "share",
        pl.when(pl.col("seats_m12") > 0).then(pl.col("seats") / pl.col("seats_m12") - 1),
        "licensed_seats",
        needs="seats",
    ),
    _contract(
        "expansions_so_far", "expansions", pl.col("expansions"), "past_expansions", silence=0
    ),
    _contract(
        "expansions_360d", "expansions", pl.col("expansions_360d"), "past_expansions", silence=0
    ),
    _contract("days_since_expansion", "days", pl.col("expansion_days_ago"), "past_expansions"),
    _contract(
        "days_since_seat_cut",
        "days",
        pl.col("seat_cut_days_ago"),
        "past_cuts",
        needs="seats",
        direction=1,
    ),
    _contract("days_since_purchase", "days", pl.col("purchase_days_ago"), "past_expansions"),
    _contract("days_since_terms_changed", "days", pl.col("terms_days_ago"), "past_expansions"),
    _contract("days_to_renewal", "days", pl.col("renewal_days"), "renewal", needs="renewal_date"),
    _contract(
        "seats_ahead_share",
        "share of today's seats",
        pl.when(pl.col("seats") > 0).then(pl.col("seats_ahead") / pl.col("seats")),
        "ramp",
        needs="steps signed ahead",
    ),
)
