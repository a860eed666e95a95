"""Daily aggregates and first-seen dates of a log partition.

The only step that processes every event. It is written in Narwhals, so that the same functions run
on Polars and on Spark.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import narwhals as nw

from data.config.settings import RolesConfig, SeatsConfig
from data.errors import SourceError

__all__ = [
    "EVENT_VOLUME_KEYS",
    "FIRST_SEEN_KEYS",
    "USER_ACTIVITY_KEYS",
    "aggregate_event_volume",
    "aggregate_user_activity",
    "classify_events",
    "first_seen_feature",
    "first_seen_user",
    "first_seen_user_feature",
]

USER_ACTIVITY_KEYS: Final = ("account_id", "user_id", "day", "known_day")
EVENT_VOLUME_KEYS: Final = ("account_id", "day", "known_day", "role", "feature")
FIRST_SEEN_KEYS: Final = {
    "first_uses": ("account_id", "user_id", "feature"),
    "first_people": ("account_id", "user_id", "used", "seat"),
    "first_features": ("account_id", "role", "feature"),
}
_UTC_ZONES: Final = ("UTC", "Etc/UTC")

LazyFrame = nw.LazyFrame[Any]


def classify_events(
    events: LazyFrame,
    *,
    roles: RolesConfig,
    seats: SeatsConfig,
    known_at_reliable_from: date | None = None,
    extra_columns: Sequence[str] = (),
) -> LazyFrame:
    """Add role, feature, day and known_day to each event.

    Events are rows of :class:`data.schemas.EventSchema`. ``known_at`` stamps before
    ``known_at_reliable_from`` are ignored; the timestamp is used instead. ``extra_columns`` are
    kept: the file, where several are read at once.

    Raises ``SourceError`` if the engine's session time zone is not UTC, so that days would differ.

    Returns
    -------
    narwhals.LazyFrame
        ``account_id``, ``user_id``, ``day``, ``hour`` (UTC), ``known_day``, ``role``, ``feature``,
        ``seat``, ``quantity``.
    """
    _require_utc(events)
    event_name = nw.col("event").fill_null("use")
    role = nw.lit("use")
    for name in type(roles).model_fields:
        role = (
            nw.when(event_name.is_in(list(getattr(roles, name)))).then(nw.lit(name)).otherwise(role)
        )
    seat = event_name.is_in(list(seats.events)) if seats.events else nw.col("role") == "use"
    known_at = nw.col("known_at")
    if known_at_reliable_from is not None:
        floor = nw.lit(known_at_reliable_from)
        known_at = nw.when(known_at.dt.date() >= floor).then(known_at)
    day = nw.col("timestamp").dt.date()
    known_day = known_at.dt.date().fill_null(day)
    return events.with_columns(
        role=role, feature=nw.coalesce("feature", "event", nw.lit("use"))
    ).select(
        *extra_columns,
        "account_id",
        "user_id",
        "role",
        "feature",
        "quantity",
        seat=seat,
        day=day,
        hour=nw.col("timestamp").dt.hour().cast(nw.Int32),
        known_day=nw.max_horizontal(day, known_day),
    )


def aggregate_user_activity(events: LazyFrame, extra_keys: Sequence[str] = ()) -> LazyFrame:
    """Count feature use and seat activity of classified events, and of ``extra_keys``.

    Machine traffic and other roles do not count as feature use.

    Returns
    -------
    narwhals.LazyFrame
        ``USER_ACTIVITY_KEYS`` → ``uses`` (feature uses), ``seat_uses`` (events that make a seat
        active) and ``hours``: the clock hours with feature use as 24 bits, the first hour lowest.
    """
    is_use, is_seat_event = nw.col("role") == "use", nw.col("seat")
    rows = events.filter(~nw.col("user_id").is_null(), is_use | is_seat_event).with_columns(
        uses=is_use.cast(nw.Int64),
        seat_uses=is_seat_event.cast(nw.Int64),
        hours=nw.when(is_use)
        .then((nw.lit(2) ** nw.col("hour")).cast(nw.Int32))
        .otherwise(nw.lit(0))
        .cast(nw.Int32),
    )
    return _group_with_bit_or(
        rows,
        (*extra_keys, *USER_ACTIVITY_KEYS),
        sums=["uses", "seat_uses"],
        bits=["hours"],
    )


def aggregate_event_volume(events: LazyFrame, extra_keys: Sequence[str] = ()) -> LazyFrame:
    """Count classified events and sum their quantities.

    Returns
    -------
    narwhals.LazyFrame
        ``EVENT_VOLUME_KEYS`` → ``count`` and ``quantity_milli``: the quantity in whole thousandths,
        since sums of floats depend on their order.
    """
    return events.group_by(*extra_keys, *EVENT_VOLUME_KEYS).agg(
        nw.len().cast(nw.Int64).alias("count"),
        # Round half up explicitly: engines differ in rounding and in the width of sums.
        (nw.col("quantity").fill_null(1.0) * 1000 + 0.5)
        .floor()
        .cast(nw.Int64)
        .sum()
        .cast(nw.Int64)
        .alias("quantity_milli"),
    )


def first_seen_user_feature(events: LazyFrame, extra_keys: Sequence[str] = ()) -> LazyFrame:
    """Return the day of each user's first use of each feature, from classified events.

    Returns
    -------
    narwhals.LazyFrame
        The keys of the table, ``day`` and ``known_day``; several rows per key where uses
        became known with different lags.
    """
    is_user_use = (nw.col("role") == "use") & ~nw.col("user_id").is_null()
    return _aggregate_first_day_by_lag("first_uses", events.filter(is_user_use), extra_keys)


def first_seen_user(user_activity: LazyFrame, extra_keys: Sequence[str] = ()) -> LazyFrame:
    """Return the first days on which each user used a feature, and had an active seat.

    From :func:`aggregate_user_activity`; rows as from :func:`first_seen_user_feature`. ``used`` and
    ``seat`` state which of the two the day refers to.
    """
    flagged = user_activity.with_columns(used=nw.col("uses") > 0, seat=nw.col("seat_uses") > 0)
    return _aggregate_first_day_by_lag("first_people", flagged, extra_keys)


def first_seen_feature(event_volume: LazyFrame, extra_keys: Sequence[str] = ()) -> LazyFrame:
    """Return the first day of each feature of an account, by users or machines.

    From :func:`aggregate_event_volume`; rows as from :func:`first_seen_user_feature`.
    """
    return _aggregate_first_day_by_lag("first_features", event_volume, extra_keys)


def _group_with_bit_or(
    rows: LazyFrame, keys: Sequence[str], *, sums: Sequence[str], bits: Sequence[str]
) -> LazyFrame:
    """Group rows; sum some columns, and join the bits of others, which Narwhals cannot do.

    Nulls are ignored; row order is unspecified.
    """
    native: Any = rows.to_native()
    if rows.implementation.is_polars():
        import polars as pl  # noqa: PLC0415

        grouped = native.group_by(*keys).agg(pl.col(sums).sum(), pl.col(bits).bitwise_or())
    elif rows.implementation.is_pyspark():
        from pyspark.sql import functions  # noqa: PLC0415 - an extra

        grouped = native.groupBy(*keys).agg(
            *(functions.sum(name).alias(name) for name in sums),
            *(functions.bit_or(name).alias(name) for name in bits),
        )
    else:
        raise TypeError(f"no bitwise OR aggregation on {rows.implementation}")
    frame: LazyFrame = nw.from_native(grouped)
    return frame


def _aggregate_first_day_by_lag(
    table: str, rows: LazyFrame, extra_keys: Sequence[str]
) -> LazyFrame:
    """Return the first day of each key, by reporting lag.

    One row per lag is enough for any point-in-time filter: among rows of equal lag, the
    earliest day became known first.
    """
    return (
        rows.with_columns(lag=nw.col("known_day") - nw.col("day"))
        .group_by(*extra_keys, *FIRST_SEEN_KEYS[table], "lag")
        .agg(nw.col("day", "known_day").min())
        .drop("lag")
    )


def _require_utc(events: LazyFrame) -> None:
    dtype = events.collect_schema()["timestamp"]
    zone = dtype.time_zone if isinstance(dtype, nw.Datetime) else None
    if zone not in _UTC_ZONES:
        raise SourceError(
            f"events: days are counted in UTC, but the engine's session runs in {zone}. Set its"
            " time zone to UTC."
        )
