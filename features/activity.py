"""The daily tables of a log: each partition is read once, and what it says is kept.

A kept table is named by what the partition is and by what this code makes of it, so it is rebuilt
only when one of them changes. It is written beside and moved into place: a killed run leaves no
half of one.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import narwhals as nw
import polars as pl

from data import contracts
from data.settings import Engine, Roles, Seats
from data.sources import Partition, reading
from data.writing import atomically
from features import daily, firsts, kept, repeats, survey
from features.due import DailyTable, Due, Named
from features.rows import NAME, Fold, Made, Rows

__all__ = ["Activity", "build"]

# Part of every cache key: raise it when a partition is read differently.
VERSION: Final = 6
_WRITTEN: Final[dict[str, Any]] = {"compression": "lz4", "row_group_size": 131_072}
_NAMES: Final = ("account_id", "user_id", "role", "feature")
_PEOPLE: Final = {
    "account_id": NAME,
    "user_id": NAME,
    "day": pl.Date(),
    "known_day": pl.Date(),
    "uses": pl.Int64(),
    "seat_uses": pl.Int64(),
    "hours": pl.Int32(),
}
_VOLUME: Final = {
    "account_id": NAME,
    "day": pl.Date(),
    "known_day": pl.Date(),
    "role": NAME,
    "feature": NAME,
    "count": pl.Int64(),
    "quantity_milli": pl.Int64(),
}
_FIRST: Final = {"day": pl.Date(), "known_day": pl.Date()}
_FIRST_USES: Final = dict.fromkeys(daily.FIRST_USES_KEYS, NAME) | _FIRST
_FIRST_PEOPLE: Final = {
    "account_id": NAME,
    "user_id": NAME,
    "used": pl.Boolean(),
    "seat": pl.Boolean(),
} | _FIRST
_FIRST_FEATURES: Final = dict.fromkeys(daily.FIRST_FEATURES_KEYS, NAME) | _FIRST
_TABLES: Final = {
    "people.parquet": DailyTable(daily.people, _PEOPLE),
    "volume.parquet": DailyTable(daily.volume, _VOLUME),
    "first_uses.parquet": DailyTable(daily.first_uses, _FIRST_USES),
    "first_people.parquet": DailyTable(daily.first_people, _FIRST_PEOPLE, of="people.parquet"),
    "first_features.parquet": DailyTable(
        daily.first_features, _FIRST_FEATURES, of="volume.parquet"
    ),
}
_READ_BY_MONTH: Final = ("people.parquet", "volume.parquet")
_FIRST_OF: Final = {f"{table}.parquet": key for table, key in daily.FIRST_KEYS.items()}
_SURVEY: Final = "survey.json"


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
    first_people : polars.LazyFrame
        Account, user, used, seat, day, known_day (:func:`features.daily.first_people`).
    first_features : polars.LazyFrame
        Account, role, feature, day, known_day (:func:`features.daily.first_features`).
    events : int
        Rows of the log.
    machine_events : int
        Valid rows that name no user.
    quarantine : mapping of str to int
        Rows left out, by reason.
    first_day, last_day : datetime.date or None
        Span of the valid events, whenever they became known; None when there are none.
    rebuilt : int
        Partitions that had to be read.
    fold : features.rows.Fold
        Makes one table of one of these five, by its name, on the engine that read the log.
    """

    people: pl.LazyFrame
    volume: pl.LazyFrame
    first_uses: pl.LazyFrame
    first_people: pl.LazyFrame
    first_features: pl.LazyFrame
    events: int
    machine_events: int
    quarantine: Mapping[str, int]
    first_day: date | None
    last_day: date | None
    rebuilt: int
    fold: Fold = field(repr=False)

    def began(self, as_ofs: Sequence[datetime]) -> list[date | None]:
        """Tell, for each as-of, the first day of the log of which it knew; None if of none."""
        found = (
            self.first_features.group_by("known_day")
            .agg(pl.col("day").min())
            .sort("known_day")
            .with_columns(pl.col("day").cum_min())
            .collect()
        )
        asked = pl.Series([as_of.date() for as_of in as_ofs], dtype=pl.Date)
        known, days = found["known_day"].search_sorted(asked), found["day"].to_list()
        return [days[place - 1] if place else None for place in known]

    def __repr__(self) -> str:
        span = "no valid day" if self.first_day is None else f"{self.first_day} to {self.last_day}"
        left_out = sum(self.quarantine.values())
        return f"Activity({self.events:,} events, {span}; {left_out:,} in quarantine)"


@dataclass(frozen=True)
class _Rules:
    """How events are read; part of every cache key."""

    roles: Roles
    seats: Seats
    known_at_reliable_from: date | None

    def named(self, events: nw.LazyFrame[Any], also: Sequence[str] = ()) -> nw.LazyFrame[Any]:
        """Say of each event what these rules make of it."""
        return daily.named(
            events,
            roles=self.roles,
            seats=self.seats,
            known_at_reliable_from=self.known_at_reliable_from,
            also=also,
        )

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
    accounts: pl.DataFrame | None = None,
    engine: Engine | None = None,
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
    accounts : polars.DataFrame, optional
        Rows under :class:`data.contracts.Accounts`: those that exist, and since when. Events of
        others are left out and counted; events from before an account was created count as known
        from then on. The kept tables hold them all, so that a new account does not make the log be
        read again.
    engine : data.settings.Engine, optional
        Who reads the log and folds it; Polars by default. What is kept is the same.
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
    at_work = _opened(engine or Engine())
    surveys = _surveyed(partitions, folder, at_work, rebuild=rebuild)
    whole = [told for told in surveys if told.span is not None]
    spans = [told.span for told in whole if told.span is not None]
    any_ids = any(told.has_ids for told in whole)
    tables: list[kept.Kept] = []
    due: list[Due] = []
    for span, told in zip(spans, whole, strict=True):
        others = repeats.overlapping(span, spans) if any_ids else []
        found = _kept(folder, span, told, others, rules)
        if rebuild or not found.whole(_TABLES):
            due.append(Due(found, span, others, has_ids=told.has_ids))
        tables.append(found)
    for done, _ in enumerate(at_work.make(due, rules.named), start=len(tables) - len(due)):
        if progress:
            progress(done + 1, len(tables))
    last_days = [span.last.date() for span in spans]
    files = {name: [found.file(name) for found in tables] for name in _READ_BY_MONTH} | {
        name: firsts.settled(tables, last_days, name, partial(_first_days, at_work, name))
        for name in _FIRST_OF
    }
    used = [told.file for told in surveys]
    used += [found.file(name) for found in tables for name in _TABLES]
    used += [file for some in files.values() for file in some]
    kept.use(used)
    kept.sweep(folder, used)
    rows = {
        name.removesuffix(".parquet"): Rows(files[name], table.schema)
        for name, table in _TABLES.items()
    }
    if accounts is not None:
        names, early = accounts["account_id"], _early(rows["first_features"], accounts)
        rows = {name: replace(of, accounts=names, early=early) for name, of in rows.items()}
    return _activity(tables, rows, surveys, len(due), partial(_folded, at_work, rows))


def _early(first_features: Rows, accounts: pl.DataFrame) -> pl.DataFrame | None:
    """The accounts of which something was known before they were created, if any."""
    created = accounts.lazy().select(
        pl.col("account_id").cast(NAME), created_day=pl.col("created_date").dt.date()
    )
    early = (
        first_features.scan()
        .group_by("account_id")
        .agg(pl.col("known_day").min())
        .join(created, on="account_id")
        .filter(pl.col("known_day") < pl.col("created_day"))
        .select("account_id", "created_day")
        .collect(engine="streaming")
    )
    return None if early.is_empty() else early


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


class _Engine(Protocol):
    """Who reads the log, and folds what was made of it."""

    def survey(self, partitions: Sequence[Partition]) -> Iterable[dict[str, Any]]:
        """Tell of each partition, in order, what :func:`features.survey.told` says."""

    def make(self, due: Sequence[Due], named: Named) -> Iterator[None]:
        """Make the tables that are due; say so after each partition."""

    def fold(self, rows: Rows, key: Sequence[str], made: Made) -> pl.DataFrame:
        """Make one table of rows; no two calls of ``made`` see rows of one key."""


def _opened(engine: Engine) -> _Engine:
    if engine.kind == "polars":
        return _Polars()
    from features import spark  # noqa: PLC0415 - an extra

    return spark.Spark(engine, _TABLES)


class _Polars:
    """Reads here, one partition after another."""

    def survey(self, partitions: Sequence[Partition]) -> Iterable[dict[str, Any]]:
        return map(_survey, partitions)

    def make(self, due: Sequence[Due], named: Named) -> Iterator[None]:
        for one in due:
            _make(one, named)
            yield

    def fold(self, rows: Rows, key: Sequence[str], made: Made) -> pl.DataFrame:  # noqa: ARG002 - all at once
        return made(rows.scan())


def _folded(
    engine: _Engine,
    tables: Mapping[str, Rows],
    table: str,
    key: Sequence[str],
    made: Made,
    *,
    since: date | None = None,
) -> pl.DataFrame:
    return engine.fold(replace(tables[table], since=since), key, made)


def _first_days(engine: _Engine, name: str, files: Sequence[Path]) -> pl.DataFrame:
    """The first days that some files tell of, whichever accounts exist."""
    key = _FIRST_OF[name]
    found = engine.fold(Rows(files, _TABLES[name].schema), key, partial(firsts.earliest, key=key))
    return found.drop("several")


def _make(due: Due, named: Named) -> None:
    """Read a partition and keep its tables.

    In no order of names: all that is made of them is sums, extremes and counts, and sorting names
    would take longer than counting them.
    """
    span = due.span
    with reading(span.partition.name):
        valid, copies = repeats.first_copies(span, due.others) if due.has_ids else (span.rows(), 0)
        events = _numbered(named(nw.from_native(valid)).to_native(), held=span.is_small)
        # One after the other: what one of them holds in memory the next can use.
        made: dict[str, pl.DataFrame] = {}
        for name, table in _TABLES.items():
            source = events if table.of is None else made[table.of].lazy()
            plan = table.made(nw.from_native(source)).to_native()
            made[name] = plan.collect(engine="streaming")
    for name, found in made.items():
        # By day, so that a month is read without the rest.
        rows = found.sort("day") if name in _READ_BY_MONTH else found
        write = partial(rows.write_parquet, metadata={"copies": str(copies)}, **_WRITTEN)
        atomically(due.kept.file(name), write)


def _numbered(events: pl.LazyFrame, *, held: bool) -> pl.LazyFrame:
    """Number the names once for all tables; a partition that fits in memory is held there."""
    numbered = events.with_columns(pl.col(_NAMES).cast(NAME))
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


def _surveyed(
    partitions: Sequence[Partition], folder: Path, engine: "_Engine", *, rebuild: bool
) -> list[_Survey]:
    """Take the surveys of the partitions from the cache, or make them."""
    files = [
        kept.Kept(folder, kept.digest(part.name), "any", kept.digest(part.identity)).file(_SURVEY)
        for part in partitions
    ]
    found = [None if rebuild else _read_json(file) for file in files]
    # What lies in the future depends on the day of reading, so such a survey is made anew.
    unknown = [
        place for place, told in enumerate(found) if not told or contracts.FUTURE in told["faults"]
    ]
    made = engine.survey([partitions[place] for place in unknown])
    for place, told in zip(unknown, made, strict=True):
        found[place] = told
        atomically(files[place], partial(Path.write_text, data=json.dumps(told)))
    return [
        _read_survey(file, partition, told)
        for file, partition, told in zip(files, partitions, found, strict=True)
        if told
    ]


def _read_survey(file: Path, partition: Partition, told: Mapping[str, Any]) -> _Survey:
    first, last = (told[end] and datetime.fromisoformat(told[end]) for end in ("first", "last"))
    span = repeats.Span(partition, told["seen"], first, last) if first else None
    return _Survey(file, told["seen"], told["machine"], told["faults"], span, told["has_ids"])


def _read_json(file: Path) -> dict[str, Any] | None:
    """A kept survey, or None where there is none or it was damaged: it can be made again."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _survey(partition: Partition) -> dict[str, Any]:
    with reading(partition.name):
        found = survey.counted(partition.judged()).collect(engine="streaming")
    return survey.told(found.rows(named=True))


def _activity(
    tables: Sequence[kept.Kept],
    rows: Mapping[str, Rows],
    surveys: Sequence[_Survey],
    rebuilt: int,
    fold: Fold,
) -> Activity:
    quarantine: Counter[str] = Counter()
    for told in surveys:
        quarantine.update(told.faults)
    for found in tables:
        copies = pl.read_parquet_metadata(found.file("volume.parquet"))["copies"]
        quarantine["event_id seen before"] += int(copies)
    quarantine[contracts.UNKNOWN_ACCOUNT] += _foreign(rows["volume"])
    spans = [told.span for told in surveys if told.span is not None]
    return Activity(
        **{name: asked.scan() for name, asked in rows.items()},
        events=sum(told.seen for told in surveys),
        machine_events=sum(told.machine for told in surveys),
        quarantine=dict(sorted((+quarantine).items())),
        first_day=min((span.first.date() for span in spans), default=None),
        last_day=max((span.last.date() for span in spans), default=None),
        rebuilt=rebuilt,
        fold=fold,
    )


def _foreign(volume: Rows) -> int:
    """How many events are of accounts that do not exist."""
    rows = replace(volume, accounts=None).scan().filter(~volume.ours())
    found = rows.select(pl.col("count").sum()).collect(engine="streaming")
    return int(found.item())
