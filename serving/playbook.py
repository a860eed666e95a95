"""What an account is running into, and what follows: limit, tier, motion."""

from typing import Final

import polars as pl

from training import tiers

__all__ = ["LIMITS", "MOTIONS", "judged"]

LIMITS: Final = ("seats", "usage", "plan", "none")
MOTIONS: Final = {
    "seat add": "add seats: logistics, not persuasion; within two weeks",
    "volume upgrade": "plan or volume upgrade, with the developer who built the integration",
    "capabilities": "QBR or capabilities conversation, with the champion and the new team",
    "consolidate": "no ask: consolidate and look for new use cases",
    "watch": "no rule of thumb fires; let the date and the reasons lead",
}


def judged(snapshots: pl.DataFrame, *, plateau_days: int) -> pl.DataFrame:
    """Name the limit, the tier and the motion of each snapshot.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`.
    plateau_days : int
        High and flat seat use for so long gets no ask.

    Returns
    -------
    polars.DataFrame
        ``limit``, ``tier`` (1, 2 or null) and ``motion``, in the order of the snapshots.
    """
    seats, volume, leading = (
        rule.fill_null(value=False) for rule in (tiers.SEATS_NOW, tiers.VOLUME_NOW, tiers.LEADING)
    )
    plateau = (
        (pl.col("seat_utilization") >= 0.8)
        & (pl.col("plateau_months") * 30 >= plateau_days)
        & (pl.col("new_users_90d") == 0)
    ).fill_null(value=False)
    seat_pressure = pl.col("seat_utilization").fill_null(0.0)
    usage_pressure = pl.col("usage_ratio").fill_null(0.0)
    limit = (
        pl.when(seats)
        .then(pl.lit("seats"))
        .when(volume)
        .then(pl.lit("usage"))
        .when(pl.max_horizontal(seat_pressure, usage_pressure) < 0.8)
        .then(pl.when(leading).then(pl.lit("plan")).otherwise(pl.lit("none")))
        .when(seat_pressure >= usage_pressure)
        .then(pl.lit("seats"))
        .otherwise(pl.lit("usage"))
    )
    motion = (
        pl.when(seats)
        .then(pl.lit("seat add"))
        .when(volume)
        .then(pl.lit("volume upgrade"))
        .when(plateau)
        .then(pl.lit("consolidate"))
        .when(leading)
        .then(pl.lit("capabilities"))
        .otherwise(pl.lit("watch"))
    )
    return snapshots.select(limit=limit, tier=tiers.TIER, motion=motion)
