"""What a feature is: declared once, with its unit, its reach, and what silence means."""

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

__all__ = ["FAMILIES", "Family", "Feature"]

Family = Literal[
    "seats",
    "adoption",
    "depth",
    "usage",
    "integrations",
    "lateral",
    "contract",
    "calendar",
    "peers",
    "controls",
]
FAMILIES: Final[tuple[Family, ...]] = Family.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of the panel.

    Attributes
    ----------
    name : str
        Column name, with unit and window.
    family : Family
        Where it stands in the catalogue; families tell the field's reasons apart.
    unit : str
        What one unit of the value is.
    value : polars.Expr
        The value, over the columns of :func:`features.panel.account_aggregates.aggregate_accounts`; for peers over the other
        features and their quantiles (:func:`features.peer_percentiles.peer_quantiles`). It divides by no plain
        number: Polars rounds that in one row otherwise than in many.
    signal_group : str
        Features that measure one thing share a signal; signals that tell of one thing share a story
        (:data:`features.catalogue.STORIES`).
    window_days : int
        How far back the value looks. A window that starts before the log does is missing, not zero.
    seat_window : bool
        Whether the value looks at active seats, and so one seat window further back.
    fill_value : float or None
        The value when nothing was seen: zero, or missing.
    direction : int
        How it is expected to act on expansion, all else equal: 1, -1, or 0 for no expectation.
        ``model.monotone_features`` in the settings names those that the model is held to.
    requires : str or None
        The input without which it is always missing: ``seats``, ``usage_limit``, ``mrr``, …
    """

    name: str
    family: Family
    unit: str
    value: pl.Expr
    signal_group: str
    window_days: int = 0
    seat_window: bool = False
    fill_value: float | None = None
    direction: Literal[-1, 0, 1] = 0
    requires: str | None = None

    def lookback_days(self, seat_window_days: int) -> int:
        """Days of log the value needs, given the length of the seat window."""
        return self.window_days + (seat_window_days if self.seat_window else 0)
