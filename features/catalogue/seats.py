"""Seats: utilization and its trend, the most direct signal.

60 → 90 % in three months is growth, 85–90 % for a year is a plateau.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import polars as pl

from features.catalogue.feature import Feature

_seats_feature: Callable[..., Feature] = partial(Feature, family="seats", requires="seats")
_person_feature: Callable[..., Feature] = partial(
    Feature, family="seats", unit="people", fill_value=0
)


def _utilization(back: int) -> pl.Expr:
    # Null and zero seats alike: no limit, so no utilization.
    licensed = pl.col(f"seats_m{back}")
    return pl.when(licensed > 0).then(pl.col(f"active_seats_m{back}") / licensed)


_UTILIZATION = _utilization(0)
_LICENSED = pl.when(pl.col("seats") > 0).then("seats")
_HEADROOM = _LICENSED - pl.col("active_seats_m0")
_HALF_YEAR = pl.concat_list([_utilization(back) for back in range(6)])
# Users per 30 days; the added half keeps the ratio finite without new users.
_MONTHLY_NEW_USERS = (pl.col("new_users_90d") + 0.5) * (1 / 3)

_NEW_USERS_CHANGE = pl.col("new_users_60d") - pl.col("new_users_previous_60d")


def _sign_agreement(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Return the common sign of two changes, else 0; null where the first is unknown."""
    return pl.when(one.sign() == other.sign()).then(one.sign()).when(one.is_not_null()).then(0)


def _utilization_change(months: int, **rest: Any) -> Feature:  # noqa: ANN401 - passed on to Feature
    return _seats_feature(
        name=f"seat_utilization_change_{months * 30}d",
        unit="share of seats",
        value=_UTILIZATION - _utilization(months),
        signal_group="seat_utilization",
        window_days=months * 30,
        seat_window=True,
        **rest,
    )


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


FEATURES = (
    _seats_feature(
        name="licensed_seats", unit="seats", value=_LICENSED, signal_group="licensed_seats"
    ),
    Feature(
        name="active_seats",
        family="seats",
        unit="seats",
        value=pl.col("active_seats_m0"),
        signal_group="seat_utilization",
        seat_window=True,
        fill_value=0,
    ),
    Feature(
        name="active_seats_90d_ago",
        family="seats",
        unit="seats",
        value=pl.col("active_seats_m3"),
        signal_group="seat_utilization",
        window_days=90,
        seat_window=True,
        fill_value=0,
    ),
    _seats_feature(
        name="seat_utilization",
        unit="share of seats",
        value=_UTILIZATION,
        signal_group="seat_utilization",
        seat_window=True,
        direction=1,
    ),
    *(_utilization_change(months, direction=1) for months in (1, 2, 3, 6, 12)),
    _seats_feature(
        name="seat_utilization_slope_180d",
        unit="share of seats per month",
        # Least-squares slope over six equal steps; the newest month is the first of the list.
        value=sum((_utilization(back) * (2.5 - back) for back in range(6)), start=pl.lit(0.0))
        * (1 / 17.5),
        signal_group="seat_utilization",
        window_days=150,
        seat_window=True,
        direction=1,
    ),
    _seats_feature(
        name="seat_utilization_volatility_180d",
        unit="share of seats",
        value=_HALF_YEAR.list.std(),
        signal_group="plateau",
        window_days=150,
        seat_window=True,
    ),
    _seats_feature(
        name="seat_utilization_peak_360d",
        unit="share of seats",
        value=pl.max_horizontal([pl.col(f"active_seats_m{back}") for back in range(12)])
        / _LICENSED,
        signal_group="seat_utilization",
        window_days=330,
        seat_window=True,
    ),
    _seats_feature(
        name="plateau_months",
        unit="months",
        value=_plateau_months(),
        signal_group="plateau",
        window_days=60,
        seat_window=True,
    ),
    _seats_feature(
        name="seat_days_above_80_percent",
        unit="days in a row, at most 90",
        # A lower bound where the log is shorter: no activity is known before it.
        value=pl.when(_LICENSED.is_not_null()).then("days_above"),
        signal_group="seat_days_high",
        seat_window=True,
        direction=1,
    ),
    _seats_feature(
        name="seat_agreement_60d",
        unit="1 both rise, -1 both fall, 0 else",
        value=_sign_agreement(_UTILIZATION - _utilization(2), _NEW_USERS_CHANGE),
        signal_group="seat_agreement",
        window_days=90,
        seat_window=True,
        direction=1,
    ),
    _seats_feature(
        name="seat_headroom",
        unit="seats",
        value=_HEADROOM,
        signal_group="headroom",
        seat_window=True,
        direction=-1,
    ),
    _seats_feature(
        name="seat_headroom_months",
        unit="months of arrivals",
        value=_HEADROOM / _MONTHLY_NEW_USERS,
        signal_group="headroom",
        window_days=90,
        seat_window=True,
        direction=-1,
    ),
    _seats_feature(
        name="seat_days_to_ceiling",
        unit="days",
        # Linear: at the pace of the last three months, capped at two years.
        value=pl.when(_HEADROOM <= 0)
        .then(0.0)
        .when(pl.col("active_seats_m0") > pl.col("active_seats_m3"))
        .then(
            (_HEADROOM * 90 / (pl.col("active_seats_m0") - pl.col("active_seats_m3"))).clip(0, 720)
        )
        .otherwise(pl.when(_HEADROOM.is_not_null()).then(720.0)),
        signal_group="headroom",
        window_days=90,
        seat_window=True,
        direction=-1,
    ),
    _seats_feature(
        name="seat_growth_90d",
        unit="active seats per licensed seat",
        value=(pl.col("active_seats_m0") - pl.col("active_seats_m3")) / _LICENSED,
        signal_group="seat_utilization",
        window_days=90,
        seat_window=True,
        direction=1,
    ),
    _person_feature(
        name="new_users_30d",
        value=pl.col("new_users_30d"),
        signal_group="new_users",
        window_days=30,
        direction=1,
    ),
    _person_feature(
        name="new_users_previous_30d",
        value=pl.col("new_users_previous_30d"),
        signal_group="new_users",
        window_days=60,
    ),
    _person_feature(
        name="new_users_60d",
        value=pl.col("new_users_60d"),
        signal_group="new_users",
        window_days=60,
        direction=1,
    ),
    _person_feature(
        name="new_users_90d",
        value=pl.col("new_users_90d"),
        signal_group="new_users",
        window_days=90,
        direction=1,
    ),
    _person_feature(
        name="new_users_180d",
        value=pl.col("new_users_180d"),
        signal_group="new_users",
        window_days=180,
        direction=1,
    ),
    _person_feature(
        name="new_users_change_60d",
        value=_NEW_USERS_CHANGE,
        signal_group="new_users",
        window_days=120,
        direction=1,
    ),
    _person_feature(
        name="new_users_acceleration_90d",
        value=pl.col("new_users_90d").cast(pl.Int64) - pl.col("new_users_previous_90d"),
        signal_group="new_users",
        window_days=180,
        direction=1,
    ),
    _seats_feature(
        name="new_users_per_seat_90d",
        unit="people per licensed seat",
        value=pl.col("new_users_90d") / _LICENSED,
        signal_group="new_users",
        window_days=90,
        direction=1,
    ),
    Feature(
        name="days_since_new_user",
        family="seats",
        unit="days",
        value=pl.col("since_new_user_days"),
        signal_group="new_user_recency",
        direction=-1,
    ),
    _person_feature(
        name="new_users_months_6m",
        value=pl.col("months_with_new_users_6m"),
        signal_group="new_user_recency",
        window_days=180,
        direction=1,
    ),
    _person_feature(
        name="people_90d", value=pl.col("people_90d"), signal_group="people", window_days=90
    ),
    *(
        _seats_feature(
            name=f"people_{days}d_over_seats",
            unit="people beyond the licensed seats",
            value=pl.col(f"people_{days}d").cast(pl.Int64) - _LICENSED,
            signal_group="people",
            window_days=days,
            direction=1,
        )
        for days in (90, 180, 360)
    ),
    _seats_feature(
        name="people_180d_per_seat",
        unit="people per licensed seat",
        value=pl.col("people_180d") / _LICENSED,
        signal_group="people",
        window_days=180,
        direction=1,
    ),
    *(
        Feature(
            name=name,
            family="seats",
            unit=unit,
            value=pl.when(pl.col("provisioned") > 0).then(value),
            signal_group="people",
            window_days=90,
            requires="users.created_at and seats",
            direction=1,
        )
        for name, unit, value in (
            (
                "people_kept_90d_per_seat",
                "people per licensed seat",
                pl.col("retained_90d") / _LICENSED,
            ),
            (
                "people_kept_90d_over_seats",
                "people beyond the licensed seats",
                pl.col("retained_90d").cast(pl.Int64) - _LICENSED,
            ),
        )
    ),
    _person_feature(
        name="users_rolling_off",
        value=pl.col("rolling_off"),
        signal_group="rolling_off",
        seat_window=True,
        direction=-1,
    ),
    _seats_feature(
        name="rolling_off_per_seat",
        unit="share of seats",
        value=pl.col("rolling_off") / _LICENSED,
        signal_group="rolling_off",
        seat_window=True,
        direction=-1,
    ),
    _person_feature(
        name="lost_users",
        value=pl.col("lost_users"),
        signal_group="rolling_off",
        window_days=30,
        seat_window=True,
        direction=-1,
    ),
    _person_feature(
        name="returned_users",
        value=pl.col("returned_users"),
        signal_group="people",
        window_days=30,
        seat_window=True,
    ),
    Feature(
        name="provisioned_users",
        family="seats",
        unit="people",
        value=pl.col("provisioned"),
        signal_group="provisioned",
        requires="users.created_at",
    ),
    Feature(
        name="provisioned_per_seat",
        family="seats",
        unit="people per licensed seat",
        value=pl.col("provisioned") / _LICENSED,
        signal_group="provisioned",
        requires="users.created_at and seats",
        direction=1,
    ),
    *(
        Feature(
            name=f"provisioned_per_seat_change_{days}d",
            family="seats",
            unit="people per licensed seat",
            value=(pl.col("provisioned") - pl.col(f"provisioned_{days}d_ago")) / _LICENSED,
            signal_group="provisioned",
            window_days=days,
            requires="users.created_at and seats",
            direction=1,
        )
        for days in (30, 60, 90, 180)
    ),
)
