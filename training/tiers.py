"""The rules of thumb of the trade: which accounts are near-certain, and which are worth a look."""

import polars as pl

__all__ = ["leading", "seats_now", "tier", "volume_now"]


def seats_now() -> pl.Expr:
    """Tier 1: more than 88 % of the seats in use, and somebody new in the last 30 days."""
    return _told((pl.col("seat_utilization") > 0.88) & (pl.col("new_users_30d") > 0))


def volume_now() -> pl.Expr:
    """Tier 1: API volume up by more than a fifth on the month before, under a limit."""
    return _told((pl.col("api_growth_30d") > 0.2) & pl.col("usage_ratio").is_not_null())


def leading() -> pl.Expr:
    """Tier 2: adoption speeds up, a second department joins, or integrations grow."""
    adopting = (pl.col("adoption_acceleration_60d") > 0) & (pl.col("features_new_60d") > 1)
    spreading = (pl.col("departments_90d") >= 2) & (pl.col("departments_new_90d") > 0)
    return _told(adopting | spreading | (pl.col("integrations_growth_90d") > 0))


def tier() -> pl.Expr:
    """1, 2, or null where no rule fires; over the columns of a :class:`features.panel.Panel`."""
    return pl.when(seats_now() | volume_now()).then(1).when(leading()).then(2).cast(pl.Int32)


def _told(rule: pl.Expr) -> pl.Expr:
    """A rule whose columns are not known does not fire."""
    return rule.fill_null(value=False)
