"""Feature declaration: name, unit, lookback window and fill value."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Final, Literal

import polars as pl

__all__ = ["FAMILIES", "Family", "Feature", "days_until_limit", "log_growth", "slope_per_month"]

Family = Literal[
    "seats",
    "adoption",
    "engagement",
    "usage",
    "integrations",
    "cross_department",
    "contract",
    "calendar",
    "peers",
    "controls",
]
FAMILIES: Final[tuple[Family, ...]] = Family.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Feature:
    """One column of the panel.

    Attributes
    ----------
    name : str
        Column name, with unit and window.
    unit : str
        Unit of the value.
    value : polars.Expr
        The value, over the columns of
        :func:`features.panel.account_aggregates.aggregate_accounts`; for peers over the other
        features and their quantiles (:func:`features.peer_percentiles.compute_peer_quantiles`). It
        divides by no literal number: Polars rounds that differently for one row than for many.
    signal_group : str
        Features that measure one thing share a signal group; related signal groups form a reason
        group (:data:`features.catalogue.REASON_GROUPS`).
    window_days : int
        Lookback window. A window that starts before the log does is missing, not zero.
    family : Family
        Section of the catalogue.
    seat_window : bool
        Whether the value uses active seats, and so looks back one seat window further.
    fill_value : float or None
        The value without any activity: zero, or missing.
    direction : int
        Expected effect on expansion, all else equal: 1, -1, or 0 for no expectation.
        ``model.monotone_features`` in the settings lists those constrained to it.
    requires : str or None
        The input without which it is always missing: ``seats``, ``usage_limit``, ``mrr``, …
    """

    name: str
    unit: str
    value: pl.Expr
    signal_group: str
    window_days: int = 0
    _: KW_ONLY
    family: Family
    seat_window: bool = False
    fill_value: float | None = None
    direction: Literal[-1, 0, 1] = 0
    requires: str | None = None

    def lookback_days(self, seat_window_days: int) -> int:
        """Return the days of log the value needs, given the length of the seat window."""
        return self.window_days + (seat_window_days if self.seat_window else 0)


def log_growth(metric: str, months: int) -> pl.Expr:
    """Return the log ratio of a monthly sum to an earlier one; one is added, so zero is defined."""
    return (pl.col(f"{metric}_m0") + 1).log() - (pl.col(f"{metric}_m{months}") + 1).log()


def slope_per_month(monthly: Sequence[pl.Expr]) -> pl.Expr:
    """Return the least-squares slope over six equal steps; the newest month is the first."""
    weighted = (value * (2.5 - back) for back, value in enumerate(monthly))
    return sum(weighted, start=pl.lit(0.0)) * (1 / 17.5)


def days_until_limit(headroom: pl.Expr, metric: str) -> pl.Expr:
    """Return the days until no headroom is left at the pace of three months, at most two years."""
    growth = pl.col(f"{metric}_m0") - pl.col(f"{metric}_m3")
    return (
        pl.when(headroom <= 0)
        .then(0.0)
        .when(pl.col(f"{metric}_m0") > pl.col(f"{metric}_m3"))
        .then((headroom * 90 / growth).clip(0, 720))
        .otherwise(pl.when(headroom.is_not_null()).then(720.0))
    )
