"""Turning what a warehouse calls a time into an instant in UTC, or saying why it is none.

An instant needs a zone. A time stored without one is refused unless the settings declare the zone
it was written in; a bare date means midnight UTC in the columns that name a day.
"""

import difflib
import zoneinfo
from typing import Final

import polars as pl

from data.errors import ContractError, SettingsError
from data.ingest.casting import TEXT_TYPES, ParseErrors, SourceColumn

__all__ = [
    "DAY_COLUMNS",
    "NO_TIME_ZONE",
    "naive_timestamp_error",
    "parse_timestamps",
    "validate_time_zone",
]

DAY_COLUMNS: Final = frozenset(
    {"effective_date", "renewal_date", "created_date", "created_at", "deactivated_at", "known_at"}
)
NO_TIME_ZONE: Final = "has no time zone"
_UTC_DATETIME: Final = pl.Datetime("us", "UTC")
_LOCAL_FORMAT: Final = "%Y-%m-%dT%H:%M:%S%.f"
_DAY_PATTERN: Final = r"\d{4}-\d\d-\d\d"
_CLOCK_PATTERN: Final = r"[T ]\d\d:\d\d(:\d\d(\.\d+)?)?"


def parse_timestamps(column: SourceColumn, zone: str | None) -> tuple[pl.Expr, ParseErrors]:
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
        What to say of a null, and for which of the values.

    Raises
    ------
    ContractError
        If the whole column is of a type that is no time, or has no zone.
    """
    name, value, dtype = column.name, column.value, column.dtype
    if isinstance(dtype, pl.Null):
        return value.cast(_UTC_DATETIME), []
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return value.dt.convert_time_zone("UTC").cast(_UTC_DATETIME), []
    if isinstance(dtype, pl.Datetime) and zone:
        return _localize(value.cast(pl.Datetime("us")), zone), []
    if isinstance(dtype, pl.Date) and (name in DAY_COLUMNS or zone):
        return _to_midnight(name, value, zone), []
    if isinstance(dtype, pl.Datetime | pl.Date):
        raise naive_timestamp_error(column.table, name)
    if isinstance(dtype, TEXT_TYPES):
        return _parse_text(name, value.cast(pl.String), zone)
    raise column.type_error("times with a zone, or ISO 8601 text such as 2024-03-01T09:30:00Z")


def naive_timestamp_error(table: str, name: str) -> ContractError:
    """The refusal of a column whose times could mean any of two dozen instants."""
    return ContractError(
        f"{table}: {name} {NO_TIME_ZONE}, expected instants such as 2024-03-01T09:30:00Z. Store the"
        ' zone with the time, or declare the one it was written in: [tables] time_zone = "UTC" in'
        " expansion.toml."
    )


def validate_time_zone(zone: str | None) -> None:
    """Refuse a declared time zone that does not exist.

    Parameters
    ----------
    zone : str or None
        A name such as Europe/Berlin.

    Raises
    ------
    SettingsError
        If the IANA database does not know it.
    """
    known = zoneinfo.available_timezones() if zone else set()
    if zone and zone not in known:
        near = difflib.get_close_matches(zone, sorted(known), n=1, cutoff=0.0)[0]
        raise SettingsError(
            f"[tables] time_zone = {zone!r} is no time zone. Did you mean {near}? Expected a name"
            " from the IANA list, such as UTC or Europe/Berlin."
        )


def _parse_text(name: str, value: pl.Expr, zone: str | None) -> tuple[pl.Expr, ParseErrors]:
    text = value.str.strip_chars()
    iso = (
        text.str.replace(r" ?UTC$", "Z")
        .str.replace(r" ([+-]\d\d)", "$1")
        .str.replace(" ", "T", literal=True)
        .str.replace(r"T(\d\d:\d\d)($|[Z+-])", "T$1:00$2")
    )
    readings = [iso.str.strptime(_UTC_DATETIME, f"{_LOCAL_FORMAT}%#z", strict=False)]
    if zone:
        readings.append(
            _localize(iso.str.strptime(pl.Datetime("us"), _LOCAL_FORMAT, strict=False), zone)
        )
    if zone or name in DAY_COLUMNS:
        day = text.str.strptime(pl.Date, "%Y-%m-%d", strict=False)
        readings.append(_to_midnight(name, day, zone))
    unread = (f"{name} is not a time", text.str.len_bytes() > 0)
    local = (
        f"^{_DAY_PATTERN}{_CLOCK_PATTERN}$"
        if name in DAY_COLUMNS
        else f"^{_DAY_PATTERN}({_CLOCK_PATTERN})?$"
    )
    zoneless = (f"{name} {NO_TIME_ZONE}", text.str.contains(local))
    return pl.coalesce(readings), [unread] if zone else [zoneless, unread]


def _to_midnight(name: str, day: pl.Expr, zone: str | None) -> pl.Expr:
    """A calendar day is the same day everywhere; the day of an event began in its zone."""
    local = day.cast(pl.Datetime("us"))
    return (
        local.dt.replace_time_zone("UTC")
        if name in DAY_COLUMNS
        else _localize(local, zone or "UTC")
    )


def _localize(local: pl.Expr, zone: str) -> pl.Expr:
    """Wall-clock times as instants.

    In the hour that a clock shows twice the first is meant; a time in the hour it skips reads as
    if the clock had not been set forward yet.
    """

    def placed(at: pl.Expr) -> pl.Expr:
        return at.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")

    moved = pl.coalesce(placed(local), placed(local.dt.offset_by("1h")))
    return moved.dt.convert_time_zone("UTC")
