"""Controls: logins, tickets and NPS look like expansion and are not.

Kept so that anyone can see it; never given to the champion model, never shown as a driver.
"""

import polars as pl

from features.feature import Feature


def _control(
    name: str, unit: str, value: pl.Expr, window_days: int, silence: float | None = 0
) -> Feature:
    return Feature(
        name=name,
        family="controls",
        unit=unit,
        value=value,
        signal="controls",
        window_days=window_days,
        silence=silence,
    )


FEATURES = (
    _control("logins_30d", "logins", pl.col("logins_m0"), 30),
    _control(
        "logins_growth_30d",
        "log ratio",
        (pl.col("logins_m0") + 1).log() - (pl.col("logins_m1") + 1).log(),
        60,
    ),
    _control("tickets_90d", "tickets", pl.col("tickets_90d"), 90),
    _control(
        "tickets_change_90d",
        "tickets",
        pl.col("tickets_90d").cast(pl.Int64) - pl.col("tickets_previous_90d"),
        180,
    ),
    _control(
        "nps_180d",
        "mean answer",
        pl.when(pl.col("nps_answers_180d") > 0).then(
            pl.col("nps_sum_180d") / pl.col("nps_answers_180d")
        ),
        180,
        silence=None,
    ),
)
