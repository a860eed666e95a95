"""Engagement: deeper use compounds seat growth."""

import polars as pl

from features.catalogue.feature import Feature


def _engagement_feature(
    name: str, unit: str, value: pl.Expr, signal: str, window_days: int, *, direction: int = 0
) -> Feature:
    return Feature(
        name=name,
        family="engagement",
        unit=unit,
        value=value,
        signal_group=signal,
        window_days=window_days,
        fill_value=0,
        direction=1 if direction else 0,
    )


def _compute_per_user(month: int, metric: str = "active_days") -> pl.Expr:
    users = pl.col(f"active_users_m{month}")
    return pl.when(users > 0).then(pl.col(f"{metric}_m{month}") / users)


def _log_growth(now: str, before: str) -> pl.Expr:
    """Return the log ratio, one added to each side so that zero is defined."""
    return (pl.col(now) + 1).log() - (pl.col(before) + 1).log()


FEATURES = (
    _engagement_feature(
        "active_users_30d", "people", pl.col("active_users_m0"), "active_users", 30
    ),
    _engagement_feature(
        "active_users_90d_ago", "people", pl.col("active_users_m3"), "active_users", 120
    ),
    _engagement_feature(
        "active_users_growth_30d",
        "log ratio",
        _log_growth("active_users_m0", "active_users_m1"),
        "active_users",
        60,
        direction=1,
    ),
    _engagement_feature(
        "active_users_growth_90d",
        "log ratio",
        _log_growth("active_users_m0", "active_users_m3"),
        "active_users",
        120,
        direction=1,
    ),
    _engagement_feature(
        "active_users_growth_180d",
        "log ratio",
        _log_growth("active_users_m0", "active_users_m6"),
        "active_users",
        210,
        direction=1,
    ),
    _engagement_feature("events_30d", "events", pl.col("events_m0"), "events", 30),
    _engagement_feature("events_90d_ago", "events", pl.col("events_m3"), "events", 120),
    _engagement_feature(
        "events_growth_30d",
        "log ratio",
        _log_growth("events_m0", "events_m1"),
        "events",
        60,
        direction=1,
    ),
    _engagement_feature(
        "events_growth_90d",
        "log ratio",
        _log_growth("events_m0", "events_m3"),
        "events",
        120,
        direction=1,
    ),
    _engagement_feature(
        "events_growth_360d", "log ratio", _log_growth("events_m0", "events_m12"), "events", 390
    ),
    _engagement_feature(
        "active_days_per_user_30d", "days", _compute_per_user(0), "active_days", 30
    ),
    _engagement_feature(
        "active_days_per_user_change_90d",
        "days",
        _compute_per_user(0) - _compute_per_user(3),
        "active_days",
        120,
    ),
    _engagement_feature(
        "sessions_per_user_30d",
        "sessions",
        _compute_per_user(0, "sessions"),
        "sessions",
        30,
        direction=1,
    ),
    _engagement_feature(
        "sessions_per_user_90d_ago", "sessions", _compute_per_user(3, "sessions"), "sessions", 120
    ),
    _engagement_feature(
        "weekly_stickiness_30d",
        "share of the last four weeks",
        _compute_per_user(0, "active_weeks") / 4,
        "stickiness",
        30,
    ),
    _engagement_feature(
        "weekly_stickiness_change_90d",
        "share of four weeks",
        (_compute_per_user(0, "active_weeks") - _compute_per_user(3, "active_weeks")) / 4,
        "stickiness",
        120,
        direction=1,
    ),
    _engagement_feature("power_users_30d", "people", pl.col("power_users_m0"), "power_users", 30),
    _engagement_feature(
        "power_users_90d_ago", "people", pl.col("power_users_m3"), "power_users", 120
    ),
)
