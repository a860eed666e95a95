"""Usage: API volume relative to the usage limit, and its growth."""

import polars as pl

from features.catalogue.feature import Feature

_LIMIT = pl.when(pl.col("usage_limit") > 0).then("usage_limit")
_HEADROOM = _LIMIT - pl.col("api_calls_m0")


def _usage_feature(
    name: str, unit: str, value: pl.Expr, signal: str, window_days: int, **rest: object
) -> Feature:
    fill_value = rest.pop("fill_value", 0)
    return Feature(
        name=name,
        family="usage",
        unit=unit,
        value=value,
        signal_group=signal,
        window_days=window_days,
        fill_value=fill_value,  # type: ignore[arg-type]
        **rest,  # type: ignore[arg-type]
    )


def _volume_growth(back: int) -> pl.Expr:
    """Return the relative growth of a month's volume; null without volume in the month before."""
    before = pl.col(f"api_calls_m{back + 1}")
    return pl.when(before > 0).then(pl.col(f"api_calls_m{back}") / before - 1)


def _months_growing(share: float) -> pl.Expr:
    streak, is_growing = pl.lit(0), pl.lit(value=True)
    for back in range(6):
        is_growing = is_growing & (_volume_growth(back) > share).fill_null(value=False)
        streak = streak + is_growing.cast(pl.Int32)
    return streak


def _usage_ratio(back: int) -> pl.Expr:
    """Return a past month's volume over today's limit, so that a raised limit is no decrease."""
    return pl.col(f"api_calls_m{back}") / _LIMIT


def _months_near_limit(share: float) -> pl.Expr:
    streak, is_high = pl.lit(0), pl.lit(value=True)
    for back in range(6):
        is_high = is_high & (_usage_ratio(back) > share).fill_null(value=False)
        streak = streak + is_high.cast(pl.Int32)
    return pl.when(_LIMIT.is_not_null()).then(streak)


def _compute_per_mrr(metric: str, month: int) -> pl.Expr:
    spend = pl.col(f"mrr_m{month}")
    return pl.when(spend > 0).then(pl.col(f"{metric}_m{month}") / spend)


def _spend_features(name: str, metric: str, signal: str) -> tuple[Feature, ...]:
    """Return volume per unit of recurring revenue, and its change in 90 and 180 days."""
    current = _compute_per_mrr(metric, 0)
    return (
        _usage_feature(
            f"{name}_30d",
            "per unit of recurring revenue",
            current,
            signal,
            30,
            fill_value=None,
            requires="mrr",
        ),
        *(
            _usage_feature(
                f"{name}_change_{back * 30}d",
                "share",
                # A tenfold increase starts from almost nothing; its size adds no information.
                pl.when(_compute_per_mrr(metric, back) > 0).then(
                    (current / _compute_per_mrr(metric, back) - 1).clip(-1, 10)
                ),
                signal,
                30 + back * 30,
                fill_value=None,
                requires="mrr",
            )
            for back in (3, 6)
        ),
    )


FEATURES = (
    _usage_feature("api_calls_30d", "calls", pl.col("api_calls_m0"), "api_volume", 30),
    _usage_feature("api_calls_previous_30d", "calls", pl.col("api_calls_m1"), "api_volume", 60),
    _usage_feature(
        "api_growth_30d",
        "share",
        _volume_growth(0).clip(-1, 10),
        "api_volume",
        60,
        fill_value=None,
        direction=1,
    ),
    _usage_feature(
        "api_growth_90d",
        "log ratio",
        (pl.col("api_calls_m0") + 1).log() - (pl.col("api_calls_m3") + 1).log(),
        "api_volume",
        120,
        direction=1,
    ),
    _usage_feature(
        "api_months_above_20_percent",
        "months",
        _months_growing(0.2),
        "api_volume",
        210,
        direction=1,
    ),
    _usage_feature(
        "usage_ratio",
        "share of the limit",
        pl.col("api_calls_m0") / _LIMIT,
        "usage_ratio",
        30,
        fill_value=None,
        direction=1,
        requires="usage_limit",
    ),
    _usage_feature(
        "usage_ratio_90d_ago",
        "share of today's limit",
        pl.col("api_calls_m3") / _LIMIT,
        "usage_ratio",
        120,
        fill_value=None,
        requires="usage_limit",
    ),
    *(
        _usage_feature(
            f"usage_ratio_change_{back * 30}d",
            "share of today's limit",
            _usage_ratio(0) - _usage_ratio(back),
            "usage_ratio",
            30 + back * 30,
            fill_value=None,
            requires="usage_limit",
            direction=1,
        )
        for back in (1, 2, 3, 6, 12)
    ),
    _usage_feature(
        "usage_ratio_slope_180d",
        "share of the limit per month",
        # Least-squares slope over six equal steps; the newest month is the first of the list.
        sum((_usage_ratio(back) * (2.5 - back) for back in range(6)), start=pl.lit(0.0))
        * (1 / 17.5),
        "usage_ratio",
        180,
        fill_value=None,
        requires="usage_limit",
        direction=1,
    ),
    _usage_feature(
        "usage_ratio_volatility_180d",
        "share of the limit",
        pl.concat_list([_usage_ratio(back) for back in range(6)]).list.std(),
        "usage_plateau",
        180,
        fill_value=None,
        requires="usage_limit",
    ),
    _usage_feature(
        "usage_ratio_peak_360d",
        "share of the limit",
        pl.max_horizontal([_usage_ratio(back) for back in range(12)]),
        "usage_ratio",
        360,
        fill_value=None,
        requires="usage_limit",
    ),
    _usage_feature(
        "usage_months_above_80_percent",
        "months in a row, at most 6",
        _months_near_limit(0.8),
        "usage_plateau",
        30,
        fill_value=None,
        direction=1,
        requires="usage_limit",
    ),
    _usage_feature(
        "usage_headroom",
        "calls a month",
        _HEADROOM,
        "usage_days_to_limit",
        30,
        fill_value=None,
        requires="usage_limit",
        direction=-1,
    ),
    *_spend_features("usage_per_mrr", "api_calls", "usage_spend"),
    *_spend_features("events_per_mrr", "events", "events_spend"),
    _usage_feature(
        "usage_days_to_limit",
        "days",
        # Linear: at the pace of the last three months, capped at two years.
        pl.when(_HEADROOM <= 0)
        .then(0.0)
        .when(pl.col("api_calls_m0") > pl.col("api_calls_m3"))
        .then((_HEADROOM * 90 / (pl.col("api_calls_m0") - pl.col("api_calls_m3"))).clip(0, 720))
        .otherwise(pl.when(_HEADROOM.is_not_null()).then(720.0)),
        "usage_days_to_limit",
        120,
        fill_value=None,
        requires="usage_limit",
        direction=-1,
    ),
    _usage_feature(
        "api_in_first_90_days",
        "yes or no",
        (pl.col("tenure_days") - pl.col("since_first_api_days") <= 90).cast(pl.Float64),
        "api_early",
        0,
    ),
)
