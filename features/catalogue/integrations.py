"""Integrations: embedding in the customer's own workflow."""

from functools import partial

import polars as pl

from features.catalogue.feature import Feature

_feature = partial(
    Feature, unit="integrations", family="integrations", signal_group="integrations", fill_value=0
)
_NOW, _BEFORE = pl.col("integrations_m0"), pl.col("integrations_m3")

FEATURES = (
    _feature("integrations_30d", value=_NOW, window_days=30),
    _feature("integrations_90d_ago", value=_BEFORE, window_days=120),
    _feature(
        "integrations_new_90d", value=pl.col("integrations_new_90d"), window_days=90, direction=1
    ),
    _feature(
        "integrations_growth_90d", value=_NOW.cast(pl.Int64) - _BEFORE, window_days=120, direction=1
    ),
)
