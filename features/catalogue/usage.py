"""Usage: API volume relative to the usage limit, and its growth."""

from collections.abc import Callable
from functools import partial

import polars as pl

from features.catalogue.feature import Feature, days_until_limit, log_growth, slope_per_month

_LIMIT = pl.when(pl.col("usage_limit") > 0).then("usage_limit")
_HEADROOM = _LIMIT - pl.col("api_calls_m0")
_volume_feature = partial(Feature, family="usage", fill_value=0)
_limit_feature = partial(Feature, family="usage", requires="usage_limit")
_spend_feature = partial(Feature, family="usage", requires="mrr")


def _volume_growth(back: int) -> pl.Expr:
    """Return the relative growth of a month's volume; null without volume in the month before."""
    before = pl.col(f"api_calls_m{back + 1}")
    return pl.when(before > 0).then(pl.col(f"api_calls_m{back}") / before - 1)


def _usage_ratio(back: int) -> pl.Expr:
    """Return a past month's volume over today's limit, so that a raised limit is no decrease."""
    return pl.col(f"api_calls_m{back}") / _LIMIT


def _months_above(monthly: Callable[[int], pl.Expr], share: float) -> pl.Expr:
    """Return the consecutive months back in which a monthly value exceeded a share, at most 6."""
    streak, is_above = pl.lit(0), pl.lit(value=True)
    for back in range(6):
        is_above = is_above & (monthly(back) > share).fill_null(value=False)
        streak = streak + is_above.cast(pl.Int32)
    return streak


def _ratio_change(name: str, months: int) -> Feature:
    change = _usage_ratio(0) - _usage_ratio(months)
    return _limit_feature(
        name, "share of today's limit", change, "usage_ratio", 30 + months * 30, direction=1
    )


def _per_mrr(metric: str, month: int) -> pl.Expr:
    spend = pl.col(f"mrr_m{month}")
    return pl.when(spend > 0).then(pl.col(f"{metric}_m{month}") / spend)


def _per_mrr_change(name: str, metric: str, months: int, signal: str) -> Feature:
    """Return the change of volume per unit of recurring revenue.

    A tenfold increase starts from almost nothing; its size adds no information.
    """
    before = _per_mrr(metric, months)
    change = pl.when(before > 0).then((_per_mrr(metric, 0) / before - 1).clip(-1, 10))
    return _spend_feature(name, "share", change, signal, 30 + months * 30)


_PER_MRR = "per unit of recurring revenue"

FEATURES = (
    _volume_feature("api_calls_30d", "calls", pl.col("api_calls_m0"), "api_volume", 30),
    _volume_feature("api_calls_previous_30d", "calls", pl.col("api_calls_m1"), "api_volume", 60),
    Feature(
        "api_growth_30d",
        "share",
        _volume_growth(0).clip(-1, 10),
        "api_volume",
        60,
        family="usage",
        direction=1,
    ),
    _volume_feature(
        "api_growth_90d", "log ratio", log_growth("api_calls", 3), "api_volume", 120, direction=1
    ),
    _volume_feature(
        "api_months_above_20_percent",
        "months",
        _months_above(_volume_growth, 0.2),
        "api_volume",
        210,
        direction=1,
    ),
    _limit_feature(
        "usage_ratio", "share of the limit", _usage_ratio(0), "usage_ratio", 30, direction=1
    ),
    _limit_feature(
        "usage_ratio_90d_ago", "share of today's limit", _usage_ratio(3), "usage_ratio", 120
    ),
    _ratio_change("usage_ratio_change_30d", 1),
    _ratio_change("usage_ratio_change_60d", 2),
    _ratio_change("usage_ratio_change_90d", 3),
    _ratio_change("usage_ratio_change_180d", 6),
    _ratio_change("usage_ratio_change_360d", 12),
    _limit_feature(
        "usage_ratio_slope_180d",
        "share of the limit per month",
        slope_per_month([_usage_ratio(back) for back in range(6)]),
        "usage_ratio",
        180,
        direction=1,
    ),
    _limit_feature(
        "usage_ratio_volatility_180d",
        "share of the limit",
        pl.concat_list([_usage_ratio(back) for back in range(6)]).list.std(),
        "usage_plateau",
        180,
    ),
    _limit_feature(
        "usage_ratio_peak_360d",
        "share of the limit",
        pl.max_horizontal([_usage_ratio(back) for back in range(12)]),
        "usage_ratio",
        360,
    ),
    _limit_feature(
        "usage_months_above_80_percent",
        "months in a row, at most 6",
        pl.when(_LIMIT.is_not_null()).then(_months_above(_usage_ratio, 0.8)),
        "usage_plateau",
        30,
        direction=1,
    ),
    _limit_feature(
        "usage_headroom", "calls a month", _HEADROOM, "usage_days_to_limit", 30, direction=-1
    ),
    _spend_feature("usage_per_mrr_30d", _PER_MRR, _per_mrr("api_calls", 0), "usage_spend", 30),
    _per_mrr_change("usage_per_mrr_change_90d", "api_calls", 3, "usage_spend"),
    _per_mrr_change("usage_per_mrr_change_180d", "api_calls", 6, "usage_spend"),
    _spend_feature("events_per_mrr_30d", _PER_MRR, _per_mrr("events", 0), "events_spend", 30),
    _per_mrr_change("events_per_mrr_change_90d", "events", 3, "events_spend"),
    _per_mrr_change("events_per_mrr_change_180d", "events", 6, "events_spend"),
    _limit_feature(
        "usage_days_to_limit",
        "days",
        days_until_limit(_HEADROOM, "api_calls"),
        "usage_days_to_limit",
        120,
        direction=-1,
    ),
    _volume_feature(
        "api_in_first_90_days",
        "yes or no",
        (pl.col("tenure_days") - pl.col("since_first_api_days") <= 90).cast(pl.Float64),
        "api_early",
    ),
)
