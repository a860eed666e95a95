"""Integrations: embedding in the customer's own workflow."""

import polars as pl

from features.catalogue.feature import Feature


def _integrations_feature(
    name: str, value: pl.Expr, window_days: int, direction: int = 0
) -> Feature:
    return Feature(
        name=name,
        family="integrations",
        unit="integrations",
        value=value,
        signal_group="integrations",
        window_days=window_days,
        fill_value=0,
        direction=1 if direction else 0,
    )


FEATURES = (
    _integrations_feature("integrations_30d", pl.col("integrations_m0"), 30),
    _integrations_feature("integrations_90d_ago", pl.col("integrations_m3"), 120),
    _integrations_feature("integrations_new_90d", pl.col("integrations_new_90d"), 90, direction=1),
    _integrations_feature(
        "integrations_growth_90d",
        pl.col("integrations_m0").cast(pl.Int64) - pl.col("integrations_m3"),
        120,
        direction=1,
    ),
)
