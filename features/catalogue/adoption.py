"""Adoption: the rate of moving through the feature set leads expansion."""

import polars as pl

from features.feature import Feature, Signal

SIGNALS = {
    "adoption": Signal(
        "{{ people(features_new_60d, 'feature') }} used for the first time in the last 60 days"
        "{% if features_new_previous_60d is not none %}"
        ", {{ n(features_new_previous_60d) }} in the 60 before{% endif %}",
        facts=("features_new_60d",),
    ),
    "features_in_use": Signal(
        "{{ people(features_30d, 'feature') }} in use"
        "{{ trend(features_30d, features_90d_ago, 'three months ago') }}",
        facts=("features_30d",),
    ),
    "champion": Signal(
        "the busiest user makes {{ percent(champion_share_90d) }} of the use",
        facts=("champion_share_90d",),
    ),
}


def _count(name: str, value: pl.Expr, signal: str, window_days: int, direction: int = 0) -> Feature:
    return Feature(
        name=name,
        family="adoption",
        unit="features",
        value=value,
        signal=signal,
        window_days=window_days,
        silence=0,
        direction=1 if direction else 0,
    )


_NEW = pl.col("features_new_60d").cast(pl.Int64)

FEATURES = (
    _count("features_30d", pl.col("features_m0"), "features_in_use", 30),
    _count("features_90d_ago", pl.col("features_m3"), "features_in_use", 120),
    _count("features_ever", pl.col("features_ever"), "features_in_use", 0),
    _count("features_new_60d", pl.col("features_new_60d"), "adoption", 60, direction=1),
    _count("features_new_previous_60d", pl.col("features_new_previous_60d"), "adoption", 120),
    _count("features_new_180d", pl.col("features_new_180d"), "adoption", 180),
    _count(
        "adoption_acceleration_60d",
        _NEW - pl.col("features_new_previous_60d"),
        "adoption",
        120,
    ),
    Feature(
        name="features_new_share_60d",
        family="adoption",
        unit="share of the features ever used",
        value=pl.when(pl.col("features_ever") > 0).then(_NEW / pl.col("features_ever")),
        signal="adoption",
        window_days=60,
    ),
    Feature(
        name="champion_share_90d",
        family="adoption",
        unit="share of feature use",
        value=pl.when(pl.col("events_90d") > 0).then(
            pl.col("champion_events_90d") / pl.col("events_90d")
        ),
        signal="champion",
        window_days=90,
    ),
)
