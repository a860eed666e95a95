"""Integrations: embedding into the customer's own workflow."""

import polars as pl

from features.feature import Feature


def _integrations(name: str, value: pl.Expr, window_days: int, direction: int = 0) -> Feature:
    return Feature(
        name=name,
        family="integrations",
        unit="integrations",
        value=value,
        signal="integrations",
        window_days=window_days,
        silence=0,
        direction=1 if direction else 0,
    )


FEATURES = (
    _integrations("integrations_30d", pl.col("integrations_m0"), 30),
    _integrations("integrations_90d_ago", pl.col("integrations_m3"), 120),
    _integrations("integrations_new_90d", pl.col("integrations_new_90d"), 90, direction=1),
    _integrations(
        "integrations_growth_90d",
        pl.col("integrations_m0").cast(pl.Int64) - pl.col("integrations_m3"),
        120,
        direction=1,
    ),
)
