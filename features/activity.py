"""The only step that touches every event: a log partition becomes one narrow daily table.

Each partition is read once and its table kept, keyed by what the partition is and by what this code
makes of it. Written on Narwhals, so that the same function runs where the log lives.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import narwhals as nw
import polars as pl

from data import contracts
from data.errors import SourceError
from data.settings import Roles, Seats
from data.sources import Partition, reading
from data.writing import atomically
from features import repeats

__all__ = ["Activity", "build", "daily"]

# Part of every cache key: raise it when this module reads a partition differently.
VERSION: Final = 2
_SCHEMA: Final = {
    "account_id": pl.String,
    "user_id": pl.String,
    "day": pl.Date,
    "known_day": pl.Date,
    "role": pl.String,
    "feature": pl.String,
    "seat": pl.Boolean,
    "count": pl.Int64,
    "quantity_milli": pl.Int64,
}
_KEYS: Final = tuple(_SCHEMA)[:7]
_UTC: Final = ("UTC", "Etc/UTC")


@dataclass(frozen=True)
class Activity:
    """The daily tables of a log, and what was counted while making them.

    Attributes
    ----------
    daily : polars.LazyFrame
        Account, user, day, known_day, role, feature, seat → count, quantity_milli.
    events : int
        Rows of the log.
    quarantine : mapping of str to int
        Rows left out, by reason.
    first_day, last_day : datetime.date or None
        Span of the valid events; None when there are none.
    rebuilt : int
        Partitions that had to be read.
    """

    daily: pl.LazyFrame
    events: int
    quarantine: Mapping[str, int]
    first_day: date | None
    last_day: date | None
    rebuilt: int


def daily(
    events: nw.LazyFrame[pl.LazyFrame],
    *,
    roles: Roles,
    seats: Seats,
    known_at_reliable_from: date | None = None,
) -> nw.LazyFrame[pl.LazyFrame]:
    """Count a partition's events per account, user, day, day known, role and feature.

    Parameters
    ----------
    events : narwhals.LazyFrame
        Rows under :class:`data.contracts.Events`.
    roles : data.settings.Roles
        Which event names play which role; all others are feature use.
    seats : data.settings.Seats
        Which event names make a seat active.
    known_at_reliable_from : datetime.date, optional
        Earlier ``known_at`` stamps are not believed; the timestamp stands in.

    Returns
    -------
    narwhals.LazyFrame
        One row per key, with ``count`` and ``quantity_milli``: the quantity in whole thousandths,
        since sums of floats depend on their order.

    Raises
    ------
    data.errors.SourceError
        If the engine's session runs in another zone than UTC, and so would count other days.
    """
    _refuse_other_zone(events)
    names = nw.col("event").fill_null("use")
    role = nw.lit("use")
    for name in type(roles).model_fields:
        role = nw.when(names.is_in(list(getattr(roles, name)))).then(nw.lit(name)).otherwise(role)
    seat = names.is_in(list(seats.events)) if seats.events else nw.col("role") == "use"
    believed = nw.col("known_at")
    if known_at_reliable_from is not None:
        floor = nw.lit(known_at_reliable_from)
        believed = nw.when(believed.dt.date() >= floor).then(believed)
    day = nw.col("timestamp").dt.date()
    known_day = believed.dt.date().fill_null(day)
    return (
        events.with_columns(role=role, feature=nw.coalesce("feature", "event", nw.lit("use")))
        .with_columns(seat=seat, day=day, known_day=nw.max_horizontal(day, known_day))
        .group_by(*_KEYS)
        .agg(
            nw.len().cast(nw.Int64).alias("count"),
            # Halves go up: engines differ in how they round, and in how wide they sum.
            (nw.col("quantity").fill_null(1.0) * 1000 + 0.5)
            .floor()
            .cast(nw.Int64)
            .sum()
            .cast(nw.Int64)
            .alias("quantity_milli"),
        )
    )


def _refuse_other_zone(events: nw.LazyFrame[pl.LazyFrame]) -> None:
    kind = events.collect_schema()["timestamp"]
    zone = kind.time_zone if isinstance(kind, nw.Datetime) else None
    if zone not in _UTC:
        raise SourceError(
            f"events: days are counted in UTC, but the engine's session runs in {zone}. Set its"
            " time zone to UTC."
        )


def build(
    partitions: Sequence[Partition],
    *,
    folder: Path,
    roles: Roles,
    seats: Seats,
    known_at_reliable_from: date | None = None,
    accounts: pl.Series | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Activity:
    """Make, or take from the cache, the daily table of each partition.

    Parameters
    ----------
    partitions : sequence of data.sources.Partition
        The product log.
    folder : pathlib.Path
        Where the tables are kept.
    roles, seats, known_at_reliable_from
        As for :func:`daily`.
    accounts : polars.Series, optional
        The accounts that exist; events of others are left out and counted. The kept tables hold
        them all, so that a new account does not make the log be read again.
    progress : callable, optional
        Told partitions done and partitions in all.

    Returns
    -------
    Activity
        A lazy view of the kept tables, with the counts of what was read and left out.

    Raises
    ------
    data.errors.SourceError
        If a partition cannot be read.
    data.errors.DeliveryError
        If a table cannot be kept, for want of space or rights.
    """
    rules = json.dumps(
        [VERSION, roles.model_dump(), seats.model_dump(), str(known_at_reliable_from)]
    )
    surveys = [_surveyed(partition, folder) for partition in partitions]
    surveyed = [(survey.span, survey) for survey in surveys if survey.span is not None]
    spans = [span for span, _ in surveyed]
    files, rebuilt = [], 0
    for done, (span, survey) in enumerate(surveyed):
        others = repeats.overlapping(span, spans) if any(s.has_ids for s in surveys) else []
        identities = sorted(other.partition.identity for other in others)
        faults = json.dumps(survey.faults)
        key = _digest(span.partition.identity, rules, faults, *identities)
        file = folder / f"{_digest(span.partition.name)}-{key}.parquet"
        if not file.exists():
            with reading(span.partition.name):
                rows, copies = repeats.first_copies(span, others)
                table = daily(
                    nw.from_native(rows),
                    roles=roles,
                    seats=seats,
                    known_at_reliable_from=known_at_reliable_from,
                ).to_native()
                _replace(table.sort(*_KEYS, nulls_last=False), file, copies)
            rebuilt += 1
        files.append(file)
        if progress:
            progress(done + 1, len(spans))
    return _activity(files, surveys, rebuilt, accounts)


@dataclass(frozen=True)
class _Survey:
    """What one pass over a partition tells before it is counted."""

    seen: int
    faults: Mapping[str, int]
    span: repeats.Span | None
    has_ids: bool


def _surveyed(partition: Partition, folder: Path) -> _Survey:
    """Take the survey of a partition from the cache, or make it."""
    file = folder / f"{_digest(partition.name)}-{_digest(partition.identity)}.json"
    found = json.loads(file.read_text()) if file.exists() else None
    # What lies in the future depends on the day of reading, so such a survey is made anew.
    if found is None or contracts.FUTURE in found["faults"]:
        with reading(partition.name):
            found = _survey(partition)
        told = json.dumps(found)
        atomically(file, lambda path: path.write_text(told))
        _drop_superseded(file)
    first, last = (found[end] and datetime.fromisoformat(found[end]) for end in ("first", "last"))
    span = repeats.Span(partition, first, last) if first else None
    return _Survey(found["seen"], found["faults"], span, found["has_ids"])


def _survey(partition: Partition) -> dict[str, Any]:
    found = (
        partition.valid()
        .select(
            valid=pl.len(),
            first=pl.col("timestamp").min(),
            last=pl.col("timestamp").max(),
            has_ids=pl.col("event_id").is_not_null().any(),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    faults = partition.faults()
    return {
        "seen": found["valid"] + sum(faults.values()),
        "faults": faults,
        "first": found["first"] and found["first"].isoformat(),
        "last": found["last"] and found["last"].isoformat(),
        "has_ids": bool(found["has_ids"]),
    }


def _activity(
    files: list[Path], surveys: Sequence[_Survey], rebuilt: int, accounts: pl.Series | None
) -> Activity:
    quarantine: Counter[str] = Counter()
    for survey in surveys:
        quarantine.update(survey.faults)
    for file in files:
        quarantine["event_id seen before"] += int(pl.read_parquet_metadata(file)["copies"])
    spans = [survey.span for survey in surveys if survey.span is not None]
    table = pl.scan_parquet(files) if files else pl.LazyFrame(schema=_SCHEMA)
    if accounts is not None:
        ours = pl.col("account_id").is_in(accounts.implode())
        foreign = table.filter(~ours).select(pl.col("count").sum()).collect(engine="streaming")
        quarantine[contracts.UNKNOWN_ACCOUNT] += foreign.item()
        table = table.filter(ours)
    return Activity(
        daily=table,
        events=sum(survey.seen for survey in surveys),
        quarantine=dict(sorted((+quarantine).items())),
        first_day=min((span.first.date() for span in spans), default=None),
        last_day=max((span.last.date() for span in spans), default=None),
        rebuilt=rebuilt,
    )


def _replace(table: pl.LazyFrame, file: Path, copies: int) -> None:
    frame = table.collect(engine="streaming")
    atomically(file, lambda path: frame.write_parquet(path, metadata={"copies": str(copies)}))
    _drop_superseded(file)


def _drop_superseded(file: Path) -> None:
    """Drop what an earlier state of the same partition left, so that the cache stays bounded."""
    for old in file.parent.glob(f"{file.name.split('-')[0]}-*{file.suffix}"):
        if old != file:
            old.unlink(missing_ok=True)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
