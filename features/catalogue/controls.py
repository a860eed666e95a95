"""Controls: logins, tickets and NPS, which correlate with activity but do not predict expansion.

Computed for inspection; never given to the champion model, never shown as a driver.
"""

import polars as pl

from features.catalogue.feature import Feature


def _control_feature(
    name: str, unit: str, value: pl.Expr, window_days: int, fill_value: float | None = 0
) -> Feature:
    return Feature(
        name=name,
        family="controls",
        unit=unit,
        value=value,
        signal_group="controls",
        window_days=window_days,
        fill_value=fill_value,
    )


FEATURES = (
    _control_feature("logins_30d", "logins", pl.col("logins_m0"), 30),
    _control_feature(
        "logins_growth_30d",
        "log ratio",
        (pl.col("logins_m0") + 1).log() - (pl.col("logins_m1") + 1).log(),
        60,
    ),
    _control_feature("tickets_90d", "tickets", pl.col("tickets_90d"), 90),
    _control_feature(
        "tickets_change_90d",
        "tickets",
        pl.col("tickets_90d").cast(pl.Int64) - pl.col("tickets_previous_90d"),
        180,
    ),
    _control_feature(
        "nps_180d",
        "mean answer",
        pl.when(pl.col("nps_answers_180d") > 0).then(
            pl.col("nps_sum_180d") / pl.col("nps_answers_180d")
        ),
        180,
        fill_value=None,
    ),
)
