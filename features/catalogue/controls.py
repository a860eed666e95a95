"""Controls: logins, tickets and NPS, which correlate with activity but do not predict expansion.

Computed for inspection; never given to the champion model, never shown as a driver.
"""

from functools import partial

import polars as pl

from features.catalogue.feature import Feature, log_growth

_feature = partial(Feature, family="controls", signal_group="controls")
_TICKETS, _ANSWERS = pl.col("tickets_90d"), pl.col("nps_answers_180d")

FEATURES = (
    _feature("logins_30d", "logins", pl.col("logins_m0"), window_days=30, fill_value=0),
    _feature(
        "logins_growth_30d", "log ratio", log_growth("logins", 1), window_days=60, fill_value=0
    ),
    _feature("tickets_90d", "tickets", _TICKETS, window_days=90, fill_value=0),
    _feature(
        "tickets_change_90d",
        "tickets",
        _TICKETS.cast(pl.Int64) - pl.col("tickets_previous_90d"),
        window_days=180,
        fill_value=0,
    ),
    _feature(
        "nps_180d",
        "mean answer",
        pl.when(_ANSWERS > 0).then(pl.col("nps_sum_180d") / _ANSWERS),
        window_days=180,
    ),
)
