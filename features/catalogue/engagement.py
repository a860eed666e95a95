"""Engagement: deeper use compounds seat growth."""

from functools import partial
from typing import Literal

import polars as pl

from features.catalogue.feature import Feature, log_growth

_feature = partial(Feature, family="engagement", fill_value=0)


def _growth(name: str, metric: str, months: int, direction: Literal[0, 1] = 1) -> Feature:
    growth = log_growth(metric, months)
    return _feature(name, "log ratio", growth, metric, 30 + 30 * months, direction=direction)


def _per_user(metric: str, month: int) -> pl.Expr:
    users = pl.col(f"active_users_m{month}")
    return pl.when(users > 0).then(pl.col(f"{metric}_m{month}") / users)


_WEEKS, _WEEKS_BEFORE = _per_user("active_weeks", 0), _per_user("active_weeks", 3)

FEATURES = (
    _feature("active_users_30d", "people", pl.col("active_users_m0"), "active_users", 30),
    _feature("active_users_90d_ago", "people", pl.col("active_users_m3"), "active_users", 120),
    _growth("active_users_growth_30d", "active_users", 1),
    _growth("active_users_growth_90d", "active_users", 3),
    _growth("active_users_growth_180d", "active_users", 6),
    _feature("events_30d", "events", pl.col("events_m0"), "events", 30),
    _feature("events_90d_ago", "events", pl.col("events_m3"), "events", 120),
    _growth("events_growth_30d", "events", 1),
    _growth("events_growth_90d", "events", 3),
    _growth("events_growth_360d", "events", 12, direction=0),
    _feature("active_days_per_user_30d", "days", _per_user("active_days", 0), "active_days", 30),
    _feature(
        "active_days_per_user_change_90d",
        "days",
        _per_user("active_days", 0) - _per_user("active_days", 3),
        "active_days",
        120,
    ),
    _feature(
        "sessions_per_user_30d", "sessions", _per_user("sessions", 0), "sessions", 30, direction=1
    ),
    _feature("sessions_per_user_90d_ago", "sessions", _per_user("sessions", 3), "sessions", 120),
    _feature("weekly_stickiness_30d", "share of the last four weeks", _WEEKS / 4, "stickiness", 30),
    _feature(
        "weekly_stickiness_change_90d",
        "share of four weeks",
        (_WEEKS - _WEEKS_BEFORE) / 4,
        "stickiness",
        120,
        direction=1,
    ),
    _feature("power_users_30d", "people", pl.col("power_users_m0"), "power_users", 30),
    _feature("power_users_90d_ago", "people", pl.col("power_users_m3"), "power_users", 120),
)
