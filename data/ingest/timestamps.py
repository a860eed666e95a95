"""Timestamp parsing: convert source columns to UTC, or flag values that cannot be parsed.

A timestamp needs a time zone. Naive timestamps are rejected unless the settings declare their
zone; a bare date means midnight UTC in the columns that hold a day.
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
    """Parse times, dates or ISO 8601 text to UTC timestamps in microseconds.

    ``zone`` is the declared zone of naive timestamps.

    Raises ``ContractError`` if the column's type is not a time, or has no zone.
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
    """Return the error for a column of naive timestamps."""
    return ContractError(
        f"{table}: {name} {NO_TIME_ZONE}, expected timestamps such as 2024-03-01T09:30:00Z. Store"
        ' the zone with the time, or declare the zone of naive times: [tables] time_zone = "UTC" in'
        " expansion.toml."
    )


def validate_time_zone(zone: str | None) -> None:
    """Raise a SettingsError if the IANA database does not contain a declared time zone."""
    zones = zoneinfo.available_timezones() if zone else set()
    if zone and zone not in zones:
        closest = difflib.get_close_matches(zone, sorted(zones), n=1, cutoff=0.0)[0]
        raise SettingsError(
            f"[tables] time_zone = {zone!r} is not a time zone. Did you mean {closest}? Expected a"
            " name from the IANA list, such as UTC or Europe/Berlin."
        )


def _parse_text(name: str, value: pl.Expr, zone: str | None) -> tuple[pl.Expr, ParseErrors]:
    text = value.str.strip_chars()
    iso = (
        text.str.replace(r" ?UTC$", "Z")
        .str.replace(r" ([+-]\d\d)", "$1")
        .str.replace(" ", "T", literal=True)
        .str.replace(r"T(\d\d:\d\d)($|[Z+-])", "T$1:00$2")
    )
    parsed = [iso.str.strptime(_UTC_DATETIME, f"{_LOCAL_FORMAT}%#z", strict=False)]
    if zone:
        parsed.append(
            _localize(iso.str.strptime(pl.Datetime("us"), _LOCAL_FORMAT, strict=False), zone)
        )
    if zone or name in DAY_COLUMNS:
        day = text.str.strptime(pl.Date, "%Y-%m-%d", strict=False)
        parsed.append(_to_midnight(name, day, zone))
    not_a_time = (f"{name} is not a time", text.str.len_bytes() > 0)
    local_pattern = (
        f"^{_DAY_PATTERN}{_CLOCK_PATTERN}$"
        if name in DAY_COLUMNS
        else f"^{_DAY_PATTERN}({_CLOCK_PATTERN})?$"
    )
    naive = (f"{name} {NO_TIME_ZONE}", text.str.contains(local_pattern))
    return pl.coalesce(parsed), [not_a_time] if zone else [naive, not_a_time]


def _to_midnight(name: str, day: pl.Expr, zone: str | None) -> pl.Expr:
    """Return midnight UTC of a calendar day; an event's day starts in its own zone."""
    local = day.cast(pl.Datetime("us"))
    if name in DAY_COLUMNS:
        return local.dt.replace_time_zone("UTC")
    return _localize(local, zone or "UTC")


def _localize(local: pl.Expr, zone: str) -> pl.Expr:
    """Convert wall-clock times to UTC.

    Ambiguous times take the first occurrence; non-existent times are shifted forward by the gap.
    """

    def replace_zone(times: pl.Expr) -> pl.Expr:
        return times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")

    utc_times = pl.coalesce(replace_zone(local), replace_zone(local.dt.offset_by("1h")))
    return utc_times.dt.convert_time_zone("UTC")
