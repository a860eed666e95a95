"""Turning what a warehouse calls a time into an instant in UTC, or saying why it is none.

An instant needs a zone. A time stored without one is refused unless the settings declare the zone
it was written in; a bare date means midnight UTC in the columns that name a day.
"""

import difflib
import zoneinfo
from typing import Final

import polars as pl

from data.errors import ContractError, SettingsError
from data.values import TEXT, Column, Faults

__all__ = ["DAYS", "NO_ZONE", "check_zone", "parse", "zoneless"]

DAYS: Final = frozenset(
    {"effective_date", "renewal_date", "created_date", "created_at", "deactivated_at", "known_at"}
)
NO_ZONE: Final = "has no time zone"
_INSTANT: Final = pl.Datetime("us", "UTC")
_LOCAL: Final = "%Y-%m-%dT%H:%M:%S%.f"
_DAY: Final = r"\d{4}-\d\d-\d\d"
_CLOCK: Final = r"[T ]\d\d:\d\d(:\d\d(\.\d+)?)?"


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
        What to say of a null, and for which of the values.

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


def check_zone(zone: str | None) -> None:
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


def _from_text(name: str, value: pl.Expr, zone: str | None) -> tuple[pl.Expr, Faults]:
    text = value.str.strip_chars()
    iso = (
        text.str.replace(r" ?UTC$", "Z")
        .str.replace(r" ([+-]\d\d)", "$1")
        .str.replace(" ", "T", literal=True)
        .str.replace(r"T(\d\d:\d\d)($|[Z+-])", "T$1:00$2")
    )
    readings = [iso.str.strptime(_INSTANT, f"{_LOCAL}%#z", strict=False)]
    if zone:
        readings.append(_in_zone(iso.str.strptime(pl.Datetime("us"), _LOCAL, strict=False), zone))
    if zone or name in DAYS:
        day = text.str.strptime(pl.Date, "%Y-%m-%d", strict=False)
        readings.append(_midnight(name, day, zone))
    unread = (f"{name} is not a time", text.str.len_bytes() > 0)
    local = f"^{_DAY}{_CLOCK}$" if name in DAYS else f"^{_DAY}({_CLOCK})?$"
    zoneless = (f"{name} {NO_ZONE}", text.str.contains(local))
    return pl.coalesce(readings), [unread] if zone else [zoneless, unread]


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
