"""The daily tables of a log: each partition is read once, and what it says is kept.

A kept table is named by what the partition is and by what this code makes of it, so it is rebuilt
only when one of them changes. It is written beside and moved into place: a killed run leaves no
half of one.
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
from data.settings import Roles, Seats
from data.sources import Partition, reading
from data.writing import atomically
from features import daily, repeats

__all__ = ["Activity", "build"]

# Part of every cache key: raise it when a partition is read differently.
VERSION: Final = 3
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


@dataclass(frozen=True)
class Activity:
    """The daily tables of a log, and what was counted while making them.

    Attributes
    ----------
    people : polars.LazyFrame
        Account, user, day, known_day → uses, seat_uses (:func:`features.daily.people`).
    volume : polars.LazyFrame
        Account, day, known_day, role, feature → count, quantity_milli
        (:func:`features.daily.volume`).
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
    files: list[_Kept] = []
    rebuilt = 0
    for done, (span, survey) in enumerate(zip(spans, whole, strict=True)):
        others = repeats.overlapping(span, spans) if any(s.has_ids for s in whole) else []
        kept = _Kept.of(folder, span, survey, others, rules)
        if rebuild or not kept.whole():
            _make(kept, span, others, rules, has_ids=survey.has_ids)
            rebuilt += 1
        files.append(kept)
        if progress:
            progress(done + 1, len(spans))
    return _activity(files, surveys, rebuilt, accounts)


@dataclass(frozen=True)
class _Kept:
    """Where the two tables of a partition are kept."""

    people: Path
    volume: Path

    @classmethod
    def of(
        cls,
        folder: Path,
        span: repeats.Span,
        survey: "_Survey",
        others: Sequence[repeats.Span],
        rules: _Rules,
    ) -> "_Kept":
        identities = sorted(other.partition.identity for other in others)
        faults = json.dumps(survey.faults)
        key = _digest(span.partition.identity, rules.key(), faults, *identities)
        name = f"{_digest(span.partition.name)}-{key}"
        return cls(folder / f"{name}.people.parquet", folder / f"{name}.volume.parquet")

    def whole(self) -> bool:
        """Whether both tables are there and readable; a damaged one is made again."""
        try:
            return all("copies" in pl.read_parquet_metadata(f) for f in (self.people, self.volume))
        except (OSError, pl.exceptions.PolarsError):
            return False


def _make(
    kept: _Kept, span: repeats.Span, others: Sequence[repeats.Span], rules: _Rules, *, has_ids: bool
) -> None:
    """Read a partition and keep its two tables.

    In no order: all that is made of them is sums, extremes and counts, and sorting names would
    take longer than counting them.
    """
    with reading(span.partition.name):
        rows, copies = repeats.first_copies(span, others) if has_ids else (span.rows(), 0)
        events = daily.named(
            nw.from_native(rows),
            roles=rules.roles,
            seats=rules.seats,
            known_at_reliable_from=rules.known_at_reliable_from,
        )
        made = pl.collect_all(
            [daily.people(events).to_native(), daily.volume(events).to_native()],
            engine="streaming",
        )
    tables = [
        table.with_columns(pl.col(name).cast(_NAME) for name in _NAMES if name in table.columns)
        for table in made
    ]
    for file, table in zip((kept.people, kept.volume), tables, strict=True):
        _keep(table, file, copies)


def _keep(table: pl.DataFrame, file: Path, copies: int) -> None:
    atomically(file, lambda path: table.write_parquet(path, metadata={"copies": str(copies)}))
    _drop_superseded(file)


@dataclass(frozen=True)
class _Survey:
    """What one pass over a partition tells before it is counted."""

    seen: int
    machine: int
    faults: Mapping[str, int]
    span: repeats.Span | None
    has_ids: bool


def _surveyed(partition: Partition, folder: Path, *, rebuild: bool) -> _Survey:
    """Take the survey of a partition from the cache, or make it."""
    file = folder / f"{_digest(partition.name)}-{_digest(partition.identity)}.survey.json"
    found = None if rebuild else _read_json(file)
    # What lies in the future depends on the day of reading, so such a survey is made anew.
    if found is None or contracts.FUTURE in found["faults"]:
        with reading(partition.name):
            found = _survey(partition)
        told = json.dumps(found)
        atomically(file, lambda path: path.write_text(told))
        _drop_superseded(file)
    first, last = (found[end] and datetime.fromisoformat(found[end]) for end in ("first", "last"))
    span = repeats.Span(partition, found["seen"], first, last) if first else None
    return _Survey(found["seen"], found["machine"], found["faults"], span, found["has_ids"])


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
    files: Sequence[_Kept], surveys: Sequence[_Survey], rebuilt: int, accounts: pl.Series | None
) -> Activity:
    quarantine: Counter[str] = Counter()
    for survey in surveys:
        quarantine.update(survey.faults)
    for kept in files:
        quarantine["event_id seen before"] += int(pl.read_parquet_metadata(kept.volume)["copies"])
    people = _scan([kept.people for kept in files], _PEOPLE)
    volume = _scan([kept.volume for kept in files], _VOLUME)
    if accounts is not None:
        ours = pl.col("account_id").is_in(accounts.cast(_NAME).implode())
        foreign = volume.filter(~ours).select(pl.col("count").sum()).collect(engine="streaming")
        quarantine[contracts.UNKNOWN_ACCOUNT] += foreign.item()
        people, volume = people.filter(ours), volume.filter(ours)
    spans = [survey.span for survey in surveys if survey.span is not None]
    return Activity(
        people=people,
        volume=volume,
        events=sum(survey.seen for survey in surveys),
        machine_events=sum(survey.machine for survey in surveys),
        quarantine=dict(sorted((+quarantine).items())),
        first_day=min((span.first.date() for span in spans), default=None),
        last_day=max((span.last.date() for span in spans), default=None),
        rebuilt=rebuilt,
    )


def _scan(files: list[Path], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    return pl.scan_parquet(files) if files else pl.LazyFrame(schema=dict(schema))


def _drop_superseded(file: Path) -> None:
    """Drop what an earlier state of the same partition left, so that the cache stays bounded."""
    kind = ".".join(file.name.split(".")[1:])
    for old in file.parent.glob(f"{file.name.split('-')[0]}-*.{kind}"):
        if old != file:
            old.unlink(missing_ok=True)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
