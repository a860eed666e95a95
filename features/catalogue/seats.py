"""Seats: utilization and its trend, the most direct signal.

60 → 90 % in three months is growth, 85–90 % for a year is a plateau.
"""

from functools import partial

import polars as pl

from features.catalogue.feature import Feature, days_until_limit, slope_per_month

_feature = partial(Feature, family="seats", requires="seats")
_seat_feature = partial(_feature, seat_window=True)
_count_feature = partial(Feature, family="seats", fill_value=0)
_login_feature = partial(Feature, family="seats", requires="users.created_at and seats")


def _utilization(back: int) -> pl.Expr:
    # Null and zero seats alike: no limit, so no utilization.
    licensed = pl.col(f"seats_m{back}")
    return pl.when(licensed > 0).then(pl.col(f"active_seats_m{back}") / licensed)


_UTILIZATION = _utilization(0)
_HALF_YEAR = [_utilization(back) for back in range(6)]
_ACTIVE, _ACTIVE_BEFORE = pl.col("active_seats_m0"), pl.col("active_seats_m3")
_LICENSED = pl.when(pl.col("seats") > 0).then("seats")
_HEADROOM = _LICENSED - _ACTIVE
# Users per 30 days; the added half keeps the ratio finite without new users.
_MONTHLY_NEW_USERS = (pl.col("new_users_90d") + 0.5) * (1 / 3)
_NEW_USERS_CHANGE = pl.col("new_users_60d") - pl.col("new_users_previous_60d")


def _sign_agreement(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return the common sign of two changes, else 0; null where the first is unknown."""
    return pl.when(one.sign() == other.sign()).then(one.sign()).when(one.is_not_null()).then(0)


def _plateau_months() -> pl.Expr:
    """Return consecutive months back in which utilization stayed within a tenth of today's."""
    streak = pl.lit(0)
    is_flat: pl.Expr = pl.lit(value=True)
    for back in range(1, 13):
        near = ((_utilization(back) - _UTILIZATION).abs() <= 0.1).fill_null(value=False)
        # Before the log began no activity is recorded: that is not a plateau.
        logged = pl.col("log_days") >= pl.col("seat_window_days") + back * 30
        is_flat = is_flat & near & logged
        streak = streak + is_flat.cast(pl.Int32)
    return pl.when(_UTILIZATION.is_not_null()).then(streak)


def _utilization_change(name: str, months: int) -> Feature:
    change = _UTILIZATION - _utilization(months)
    return _seat_feature(
        name, "share of seats", change, "seat_utilization", months * 30, direction=1
    )


def _new_users(name: str, days: int) -> Feature:
    return _count_feature(name, "people", pl.col(name), "new_users", days, direction=1)


def _people_over_seats(name: str, days: int) -> Feature:
    excess = pl.col(f"people_{days}d").cast(pl.Int64) - _LICENSED
    return _feature(name, "people beyond the licensed seats", excess, "people", days, direction=1)


def _people_kept(name: str, unit: str, value: pl.Expr) -> Feature:
    known = pl.when(pl.col("provisioned") > 0).then(value)
    return _login_feature(name, unit, known, "people", 90, direction=1)


def _provisioned_change(name: str, days: int) -> Feature:
    change = (pl.col("provisioned") - pl.col(f"provisioned_{days}d_ago")) / _LICENSED
    return _login_feature(
        name, "people per licensed seat", change, "provisioned", days, direction=1
    )


_ACTIVE_SEATS = (
    _count_feature("active_seats", "seats", _ACTIVE, "seat_utilization", seat_window=True),
    _count_feature(
        "active_seats_90d_ago", "seats", _ACTIVE_BEFORE, "seat_utilization", 90, seat_window=True
    ),
)
_UTILIZATION_TRENDS = (
    _seat_feature(
        "seat_utilization", "share of seats", _UTILIZATION, "seat_utilization", direction=1
    ),
    _utilization_change("seat_utilization_change_30d", 1),
    _utilization_change("seat_utilization_change_60d", 2),
    _utilization_change("seat_utilization_change_90d", 3),
    _utilization_change("seat_utilization_change_180d", 6),
    _utilization_change("seat_utilization_change_360d", 12),
    _seat_feature(
        "seat_utilization_slope_180d",
        "share of seats per month",
        slope_per_month(_HALF_YEAR),
        "seat_utilization",
        150,
        direction=1,
    ),
    _seat_feature(
        "seat_utilization_volatility_180d",
        "share of seats",
        pl.concat_list(_HALF_YEAR).list.std(),
        "plateau",
        150,
    ),
    _seat_feature(
        "seat_utilization_peak_360d",
        "share of seats",
        pl.max_horizontal([pl.col(f"active_seats_m{back}") for back in range(12)]) / _LICENSED,
        "seat_utilization",
        330,
    ),
    _seat_feature("plateau_months", "months", _plateau_months(), "plateau", 60),
    _seat_feature(
        "seat_days_above_80_percent",
        "days in a row, at most 90",
        # A lower bound where the log is shorter: no activity is known before it.
        pl.when(_LICENSED.is_not_null()).then("days_above"),
        "seat_days_high",
        direction=1,
    ),
    _seat_feature(
        "seat_agreement_60d",
        "1 both rise, -1 both fall, 0 else",
        _sign_agreement(_UTILIZATION - _utilization(2), _NEW_USERS_CHANGE),
        "seat_agreement",
        90,
        direction=1,
    ),
    _seat_feature("seat_headroom", "seats", _HEADROOM, "headroom", direction=-1),
    _seat_feature(
        "seat_headroom_months",
        "months of arrivals",
        _HEADROOM / _MONTHLY_NEW_USERS,
        "headroom",
        90,
        direction=-1,
    ),
    _seat_feature(
        "seat_days_to_ceiling",
        "days",
        days_until_limit(_HEADROOM, "active_seats"),
        "headroom",
        90,
        direction=-1,
    ),
    _seat_feature(
        "seat_growth_90d",
        "active seats per licensed seat",
        (_ACTIVE - _ACTIVE_BEFORE) / _LICENSED,
        "seat_utilization",
        90,
        direction=1,
    ),
)
_NEW_USERS = (
    _new_users("new_users_30d", 30),
    _count_feature(
        "new_users_previous_30d", "people", pl.col("new_users_previous_30d"), "new_users", 60
    ),
    _new_users("new_users_60d", 60),
    _new_users("new_users_90d", 90),
    _new_users("new_users_180d", 180),
    _count_feature(
        "new_users_change_60d", "people", _NEW_USERS_CHANGE, "new_users", 120, direction=1
    ),
    _count_feature(
        "new_users_acceleration_90d",
        "people",
        pl.col("new_users_90d").cast(pl.Int64) - pl.col("new_users_previous_90d"),
        "new_users",
        180,
        direction=1,
    ),
    _feature(
        "new_users_per_seat_90d",
        "people per licensed seat",
        pl.col("new_users_90d") / _LICENSED,
        "new_users",
        90,
        direction=1,
    ),
    Feature(
        "days_since_new_user",
        "days",
        pl.col("since_new_user_days"),
        "new_user_recency",
        family="seats",
        direction=-1,
    ),
    _count_feature(
        "new_users_months_6m",
        "people",
        pl.col("months_with_new_users_6m"),
        "new_user_recency",
        180,
        direction=1,
    ),
)
_PEOPLE = (
    _count_feature("people_90d", "people", pl.col("people_90d"), "people", 90),
    _people_over_seats("people_90d_over_seats", 90),
    _people_over_seats("people_180d_over_seats", 180),
    _people_over_seats("people_360d_over_seats", 360),
    _feature(
        "people_180d_per_seat",
        "people per licensed seat",
        pl.col("people_180d") / _LICENSED,
        "people",
        180,
        direction=1,
    ),
    _people_kept(
        "people_kept_90d_per_seat", "people per licensed seat", pl.col("retained_90d") / _LICENSED
    ),
    _people_kept(
        "people_kept_90d_over_seats",
        "people beyond the licensed seats",
        pl.col("retained_90d").cast(pl.Int64) - _LICENSED,
    ),
    _count_feature(
        "users_rolling_off",
        "people",
        pl.col("rolling_off"),
        "rolling_off",
        seat_window=True,
        direction=-1,
    ),
    _seat_feature(
        "rolling_off_per_seat",
        "share of seats",
        pl.col("rolling_off") / _LICENSED,
        "rolling_off",
        direction=-1,
    ),
    _count_feature(
        "lost_users",
        "people",
        pl.col("lost_users"),
        "rolling_off",
        30,
        seat_window=True,
        direction=-1,
    ),
    _count_feature(
        "returned_users", "people", pl.col("returned_users"), "people", 30, seat_window=True
    ),
)
_LOGINS = (
    Feature(
        "provisioned_users",
        "people",
        pl.col("provisioned"),
        "provisioned",
        family="seats",
        requires="users.created_at",
    ),
    _login_feature(
        "provisioned_per_seat",
        "people per licensed seat",
        pl.col("provisioned") / _LICENSED,
        "provisioned",
        direction=1,
    ),
    _provisioned_change("provisioned_per_seat_change_30d", 30),
    _provisioned_change("provisioned_per_seat_change_60d", 60),
    _provisioned_change("provisioned_per_seat_change_90d", 90),
    _provisioned_change("provisioned_per_seat_change_180d", 180),
)
FEATURES = (
    _feature("licensed_seats", "seats", _LICENSED, "licensed_seats"),
    *_ACTIVE_SEATS,
    *_UTILIZATION_TRENDS,
    *_NEW_USERS,
    *_PEOPLE,
    *_LOGINS,
)
