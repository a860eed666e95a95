"""The daily tables of a log: each partition is read once, and what it says is kept.

A kept table is named by what the partition is and by what this code makes of it, so it is rebuilt
only when one of them changes. It is written beside and moved into place: a killed run leaves no
half of one.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import narwhals as nw
import polars as pl

from data import contracts
from data.settings import Roles, Seats
from data.sources import Partition, reading
from data.writing import atomically
from features import daily, kept, repeats

__all__ = ["Activity", "build"]

# Part of every cache key: raise it when a partition is read differently.
VERSION: Final = 4
# Names repeat by the million: as categories they are grouped as numbers, not as text.
_NAMES: Final = ("account_id", "user_id", "role", "feature")
_NAME: Final = pl.Categorical()
_PEOPLE: Final = {
    "account_id": _NAME,
    "user_id": _NAME,
    "day": pl.Date(),
    "known_day": pl.Date(),
    "uses": pl.Int64(),
    "seat_uses": pl.Int64(),
    "hours": pl.Int32(),
}
_VOLUME: Final = {
    "account_id": _NAME,
    "day": pl.Date(),
    "known_day": pl.Date(),
    "role": _NAME,
    "feature": _NAME,
    "count": pl.Int64(),
    "quantity_milli": pl.Int64(),
}
_FIRST_USES: Final = {
    "account_id": _NAME,
    "user_id": _NAME,
    "feature": _NAME,
    "day": pl.Date(),
    "known_day": pl.Date(),
}
_TABLES: Final = {
    "people.parquet": _PEOPLE,
    "volume.parquet": _VOLUME,
    "first_uses.parquet": _FIRST_USES,
}


@dataclass(frozen=True)
class Activity:
    """The daily tables of a log, and what was counted while making them.

    Attributes
    ----------
    people : polars.LazyFrame
        Account, user, day, known_day → uses, seat_uses, hours (:func:`features.daily.people`).
    volume : polars.LazyFrame
        Account, day, known_day, role, feature → count, quantity_milli
        (:func:`features.daily.volume`).
    first_uses : polars.LazyFrame
        Account, user, feature, day, known_day (:func:`features.daily.first_uses`).
    events : int
        Rows of the log.
    machine_events : int
        Valid rows that name no user.
    quarantine : mapping of str to int
        Rows left out, by reason.
    first_day, last_day : datetime.date or None
        Span of the valid events; None when there are none.
    rebuilt : int
        Partitions that had to be read.
    """

    people: pl.LazyFrame
    volume: pl.LazyFrame
    first_uses: pl.LazyFrame
    events: int
    machine_events: int
    quarantine: Mapping[str, int]
    first_day: date | None
    last_day: date | None
    rebuilt: int


@dataclass(frozen=True)
class _Rules:
    """How events are read; part of every cache key."""

    roles: Roles
    seats: Seats
    known_at_reliable_from: date | None

    def key(self) -> str:
        dumped = [self.roles.model_dump(), self.seats.model_dump()]
        return json.dumps([VERSION, *dumped, str(self.known_at_reliable_from)])


def build(
    partitions: Sequence[Partition],
    *,
    folder: Path,
    roles: Roles,
    seats: Seats,
    known_at_reliable_from: date | None = None,
    accounts: pl.Series | None = None,
    rebuild: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Activity:
    """Make, or take from the cache, the daily tables of each partition.

    Parameters
    ----------
    partitions : sequence of data.sources.Partition
        The product log.
    folder : pathlib.Path
        Where the tables are kept.
    roles, seats, known_at_reliable_from
        As for :func:`features.daily.named`.
    accounts : polars.Series, optional
        The accounts that exist; events of others are left out and counted. The kept tables hold
        them all, so that a new account does not make the log be read again.
    rebuild : bool
        Read every partition again, whatever is kept.
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
    rules = _Rules(roles, seats, known_at_reliable_from)
    surveys = [_surveyed(partition, folder, rebuild=rebuild) for partition in partitions]
    whole = [survey for survey in surveys if survey.span is not None]
    spans = [survey.span for survey in whole if survey.span is not None]
    tables: list[kept.Kept] = []
    rebuilt = 0
    for done, (span, survey) in enumerate(zip(spans, whole, strict=True)):
        others = repeats.overlapping(span, spans) if any(s.has_ids for s in whole) else []
        found = _kept(folder, span, survey, others, rules)
        if rebuild or not found.whole(_TABLES):
            _make(found, span, others, rules, has_ids=survey.has_ids)
            rebuilt += 1
        tables.append(found)
        if progress:
            progress(done + 1, len(spans))
    used = [survey.file for survey in surveys]
    used += [found.file(table) for found in tables for table in _TABLES]
    kept.use(used)
    kept.sweep(folder, used)
    return _activity(tables, surveys, rebuilt, accounts)


def _kept(
    folder: Path,
    span: repeats.Span,
    survey: "_Survey",
    others: Sequence[repeats.Span],
    rules: _Rules,
) -> kept.Kept:
    """Name what is kept of a partition by everything that decides what is in it."""
    identities = sorted(other.partition.identity for other in others)
    state = kept.digest(span.partition.identity, json.dumps(survey.faults), *identities)
    return kept.Kept(folder, kept.digest(span.partition.name), kept.digest(rules.key()), state)


def _make(
    found: kept.Kept,
    span: repeats.Span,
    others: Sequence[repeats.Span],
    rules: _Rules,
    *,
    has_ids: bool,
) -> None:
    """Read a partition and keep its tables.

    In no order: all that is made of them is sums, extremes and counts, and sorting names would
    take longer than counting them.
    """
    with reading(span.partition.name):
        rows, copies = repeats.first_copies(span, others) if has_ids else (span.rows(), 0)
        events = _named(rows, rules, held=span.is_small)
        made = pl.collect_all(
            [
                table(nw.from_native(events)).to_native()
                for table in (daily.people, daily.volume, daily.first_uses)
            ],
            engine="streaming",
        )
    for name, table in zip(_TABLES, made, strict=True):
        write = partial(table.write_parquet, metadata={"copies": str(copies)})
        atomically(found.file(name), write)


def _named(rows: pl.LazyFrame, rules: _Rules, *, held: bool) -> pl.LazyFrame:
    """Name the events once for all tables; a partition that fits in memory is held there."""
    events: pl.LazyFrame = daily.named(
        nw.from_native(rows),
        roles=rules.roles,
        seats=rules.seats,
        known_at_reliable_from=rules.known_at_reliable_from,
    ).to_native()
    numbered = events.with_columns(pl.col(_NAMES).cast(_NAME))
    return numbered.collect(engine="streaming").lazy() if held else numbered


@dataclass(frozen=True)
class _Survey:
    """What one pass over a partition tells before it is counted."""

    file: Path
    seen: int
    machine: int
    faults: Mapping[str, int]
    span: repeats.Span | None
    has_ids: bool


def _surveyed(partition: Partition, folder: Path, *, rebuild: bool) -> _Survey:
    """Take the survey of a partition from the cache, or make it."""
    name, state = kept.digest(partition.name), kept.digest(partition.identity)
    file = kept.Kept(folder, name, "any", state).file("survey.json")
    found = None if rebuild else _read_json(file)
    # What lies in the future depends on the day of reading, so such a survey is made anew.
    if found is None or contracts.FUTURE in found["faults"]:
        with reading(partition.name):
            found = _survey(partition)
        told = json.dumps(found)
        atomically(file, lambda path: path.write_text(told))
    first, last = (found[end] and datetime.fromisoformat(found[end]) for end in ("first", "last"))
    span = repeats.Span(partition, found["seen"], first, last) if first else None
    return _Survey(file, found["seen"], found["machine"], found["faults"], span, found["has_ids"])


def _read_json(file: Path) -> dict[str, Any] | None:
    """A kept survey, or None where there is none or it was damaged: it can be made again."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _survey(partition: Partition) -> dict[str, Any]:
    found = {
        row["reason"]: row
        for row in partition.judged()
        .group_by("reason")
        .agg(
            rows=pl.len(),
            machine=pl.col("user_id").is_null().sum(),
            first=pl.col("timestamp").min(),
            last=pl.col("timestamp").max(),
            ids=pl.col("event_id").count(),
        )
        .collect(engine="streaming")
        .rows(named=True)
    }
    valid = found.pop(None, None)
    faults = {reason: row["rows"] for reason, row in sorted(found.items())}
    rows = valid["rows"] if valid else 0
    return {
        "seen": rows + sum(faults.values()),
        "machine": valid["machine"] if valid else 0,
        "faults": faults,
        "first": valid["first"].isoformat() if valid else None,
        "last": valid["last"].isoformat() if valid else None,
        "has_ids": bool(valid and valid["ids"]),
    }


def _activity(
    tables: Sequence[kept.Kept],
    surveys: Sequence[_Survey],
    rebuilt: int,
    accounts: pl.Series | None,
) -> Activity:
    quarantine: Counter[str] = Counter()
    for survey in surveys:
        quarantine.update(survey.faults)
    for found in tables:
        copies = pl.read_parquet_metadata(found.file("volume.parquet"))["copies"]
        quarantine["event_id seen before"] += int(copies)
    people, volume, first_uses = (
        _scan([found.file(name) for found in tables], schema) for name, schema in _TABLES.items()
    )
    if accounts is not None:
        ours = pl.col("account_id").is_in(accounts.cast(_NAME).implode())
        foreign = volume.filter(~ours).select(pl.col("count").sum()).collect(engine="streaming")
        quarantine[contracts.UNKNOWN_ACCOUNT] += foreign.item()
        people, volume, first_uses = (rows.filter(ours) for rows in (people, volume, first_uses))
    spans = [survey.span for survey in surveys if survey.span is not None]
    return Activity(
        people=people,
        volume=volume,
        first_uses=first_uses,
        events=sum(survey.seen for survey in surveys),
        machine_events=sum(survey.machine for survey in surveys),
        quarantine=dict(sorted((+quarantine).items())),
        first_day=min((span.first.date() for span in spans), default=None),
        last_day=max((span.last.date() for span in spans), default=None),
        rebuilt=rebuilt,
    )


def _scan(files: list[Path], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    return pl.scan_parquet(files) if files else pl.LazyFrame(schema=dict(schema))
