"""Turning what a warehouse calls a time into an instant in UTC, or saying why it is none.

An instant needs a zone. A time stored without one is refused unless the settings declare the zone
it was written in; a bare date means midnight UTC in the columns that name a day.
"""

from typing import Final

import polars as pl

from data.errors import ContractError
from data.values import TEXT, Column, Faults

__all__ = ["DAYS", "NO_ZONE", "parse"]

DAYS: Final = frozenset(
    {"effective_date", "renewal_date", "created_date", "created_at", "deactivated_at", "known_at"}
)
NO_ZONE: Final = "has no time zone"
_INSTANT: Final = pl.Datetime("us", "UTC")
_WITH_SECONDS, _WITHOUT_SECONDS = "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"


def parse(column: Column, zone: str | None) -> tuple[pl.Expr, Faults]:
    """Read one column of times.

    Parameters
    ----------
    column : Column
        As it arrived: times, dates or ISO 8601 text.
    zone : str or None
        The declared zone of times stored without one.

    Returns
    -------
    polars.Expr
        Instants in UTC, microseconds; null where the value is missing or unreadable.
    list of (str, polars.Expr)
        Reasons for which a row cannot be read.

    Raises
    ------
    ContractError
        If the whole column is of a type that is no time, or has no zone.
    """
    name, value, dtype = column.name, column.value, column.dtype
    if isinstance(dtype, pl.Null):
        return value.cast(_INSTANT), []
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return value.dt.convert_time_zone("UTC").cast(_INSTANT), []
    if isinstance(dtype, pl.Datetime) and zone:
        return _in_zone(value.cast(pl.Datetime("us")), zone), []
    if isinstance(dtype, pl.Date) and (name in DAYS or zone):
        return _midnight(name, value, zone), []
    if isinstance(dtype, pl.Datetime | pl.Date):
        raise zoneless(column.table, name)
    if isinstance(dtype, TEXT):
        return _from_text(name, value.cast(pl.String), zone)
    raise column.refusal("times with a zone, or ISO 8601 text such as 2024-03-01T09:30:00Z")


def zoneless(table: str, name: str) -> ContractError:
    """The refusal of a column whose times could mean any of two dozen instants."""
    return ContractError(
        f"{table}: {name} {NO_ZONE}, expected instants such as 2024-03-01T09:30:00Z. Store the"
        ' zone with the time, or declare the one it was written in: [tables] time_zone = "UTC" in'
        " expansion.toml."
    )


def _from_text(name: str, value: pl.Expr, zone: str | None) -> tuple[pl.Expr, Faults]:
    text = value.str.strip_chars()
    given = text.str.len_bytes() > 0
    iso = (
        text.str.replace(r" ?UTC$", "Z")
        .str.replace(r" ([+-]\d{2})", "$1")
        .str.replace(" ", "T", literal=True)
    )
    aware = pl.coalesce(_try(iso, f"{_WITH_SECONDS}%#z"), _try(iso, f"{_WITHOUT_SECONDS}%#z"))
    local = pl.coalesce(
        iso.str.strptime(pl.Datetime("us"), form, strict=False)
        for form in (_WITH_SECONDS, _WITHOUT_SECONDS)
    )
    day = text.str.strptime(pl.Date, "%Y-%m-%d", strict=False)
    instants, zoneless_rows = [aware], []
    if zone:
        instants.append(_in_zone(local, zone))
    else:
        zoneless_rows.append(local.is_not_null())
    if name in DAYS or zone:
        instants.append(_midnight(name, day, zone))
    else:
        zoneless_rows.append(day.is_not_null())
    instant = pl.coalesce(instants)
    unread = given & instant.is_null()
    without_zone = pl.any_horizontal(zoneless_rows) if zoneless_rows else pl.lit(value=False)
    return instant, [
        (f"{name} {NO_ZONE}", unread & without_zone),
        (f"{name} is not a time", unread & ~without_zone),
    ]


def _try(text: pl.Expr, form: str) -> pl.Expr:
    return text.str.strptime(_INSTANT, form, strict=False)


def _midnight(name: str, day: pl.Expr, zone: str | None) -> pl.Expr:
    """A calendar day is the same day everywhere; the day of an event began in its zone."""
    local = day.cast(pl.Datetime("us"))
    return local.dt.replace_time_zone("UTC") if name in DAYS else _in_zone(local, zone or "UTC")


def _in_zone(local: pl.Expr, zone: str) -> pl.Expr:
    """Wall-clock times as instants.

    In the hour that a clock shows twice the first is meant; a time in the hour it skips reads as
    if the clock had not been set forward yet.
    """

    def placed(at: pl.Expr) -> pl.Expr:
        return at.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")

    moved = pl.coalesce(placed(local), placed(local.dt.offset_by("1h")))
    return moved.dt.convert_time_zone("UTC")
