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

from data import schemas
from data.config.settings import EngineConfig, Roles, Seats
from data.ingest.table_loader import Partition, source_errors
from data.io.atomic import atomic_write
from features.activity import cache, daily_aggregates, deduplication, first_seen, profile
from features.activity.scan import NAME_DTYPE, Aggregation, Aggregator, TableScan
from features.activity.tasks import BuildTask, DailyTableSpec, EventClassifier

__all__ = ["Activity", "build_activity"]

# Part of every cache key: raise it when a partition is read differently.
CACHE_VERSION: Final = 6
_PARQUET_OPTIONS: Final[dict[str, Any]] = {"compression": "lz4", "row_group_size": 131_072}
_NAME_COLUMNS: Final = ("account_id", "user_id", "role", "feature")
_PEOPLE_SCHEMA: Final = {
    "account_id": NAME_DTYPE,
    "user_id": NAME_DTYPE,
    "day": pl.Date(),
    "known_day": pl.Date(),
    "uses": pl.Int64(),
    "seat_uses": pl.Int64(),
    "hours": pl.Int32(),
}
_VOLUME_SCHEMA: Final = {
    "account_id": NAME_DTYPE,
    "day": pl.Date(),
    "known_day": pl.Date(),
    "role": NAME_DTYPE,
    "feature": NAME_DTYPE,
    "count": pl.Int64(),
    "quantity_milli": pl.Int64(),
}
_FIRST_SEEN_SCHEMA: Final = {"day": pl.Date(), "known_day": pl.Date()}
_FIRST_USES_SCHEMA: Final = (
    dict.fromkeys(daily_aggregates.FIRST_USES_KEYS, NAME_DTYPE) | _FIRST_SEEN_SCHEMA
)
_FIRST_PEOPLE_SCHEMA: Final = {
    "account_id": NAME_DTYPE,
    "user_id": NAME_DTYPE,
    "used": pl.Boolean(),
    "seat": pl.Boolean(),
} | _FIRST_SEEN_SCHEMA
_FIRST_FEATURES_SCHEMA: Final = (
    dict.fromkeys(daily_aggregates.FIRST_FEATURES_KEYS, NAME_DTYPE) | _FIRST_SEEN_SCHEMA
)
_TABLE_SPECS: Final = {
    "people.parquet": DailyTableSpec(daily_aggregates.daily_user_activity, _PEOPLE_SCHEMA),
    "volume.parquet": DailyTableSpec(daily_aggregates.daily_event_volume, _VOLUME_SCHEMA),
    "first_uses.parquet": DailyTableSpec(
        daily_aggregates.first_seen_user_feature, _FIRST_USES_SCHEMA
    ),
    "first_people.parquet": DailyTableSpec(
        daily_aggregates.first_seen_user, _FIRST_PEOPLE_SCHEMA, source="people.parquet"
    ),
    "first_features.parquet": DailyTableSpec(
        daily_aggregates.first_seen_feature, _FIRST_FEATURES_SCHEMA, source="volume.parquet"
    ),
}
_READ_BY_MONTH_TABLES: Final = ("people.parquet", "volume.parquet")
_FIRST_SEEN_KEYS: Final = {
    f"{table}.parquet": key for table, key in daily_aggregates.FIRST_KEYS.items()
}
_PROFILE_FILE: Final = "survey.json"


@dataclass(frozen=True)
class Activity:
    """The daily tables of a log, and what was counted while making them.

    Attributes
    ----------
    people : polars.LazyFrame
        Account, user, day, known_day → uses, seat_uses, hours (:func:`features.activity.daily_aggregates.daily_user_activity`).
    volume : polars.LazyFrame
        Account, day, known_day, role, feature → count, quantity_milli
        (:func:`features.activity.daily_aggregates.daily_event_volume`).
    first_uses : polars.LazyFrame
        Account, user, feature, day, known_day (:func:`features.activity.daily_aggregates.first_seen_user_feature`).
    first_people : polars.LazyFrame
        Account, user, used, seat, day, known_day (:func:`features.activity.daily_aggregates.first_seen_user`).
    first_features : polars.LazyFrame
        Account, role, feature, day, known_day (:func:`features.activity.daily_aggregates.first_seen_feature`).
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
    aggregate : features.activity.scan.Aggregator
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
    aggregate: Aggregator = field(repr=False)

    def log_start_as_known(self, as_ofs: Sequence[datetime]) -> list[date | None]:
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
class _EventRules:
    """How events are read; part of every cache key."""

    roles: Roles
    seats: Seats
    known_at_reliable_from: date | None

    def classify_events(
        self, events: nw.LazyFrame[Any], also: Sequence[str] = ()
    ) -> nw.LazyFrame[Any]:
        """Say of each event what these rules make of it."""
        return daily_aggregates.classify_events(
            events,
            roles=self.roles,
            seats=self.seats,
            known_at_reliable_from=self.known_at_reliable_from,
            extra_columns=also,
        )

    def cache_key(self) -> str:
        dumped = [self.roles.model_dump(), self.seats.model_dump()]
        return json.dumps([CACHE_VERSION, *dumped, str(self.known_at_reliable_from)])


def build_activity(
    partitions: Sequence[Partition],
    *,
    folder: Path,
    roles: Roles,
    seats: Seats,
    known_at_reliable_from: date | None = None,
    accounts: pl.DataFrame | None = None,
    engine: EngineConfig | None = None,
    rebuild: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Activity:
    """Make, or take from the cache, the daily tables of each partition.

    Parameters
    ----------
    partitions : sequence of data.ingest.table_loader.Partition
        The product log.
    folder : pathlib.Path
        Where the tables are kept.
    roles, seats, known_at_reliable_from
        As for :func:`features.activity.daily_aggregates.classify_events`.
    accounts : polars.DataFrame, optional
        Rows under :class:`data.schemas.AccountSchema`: those that exist, and since when. Events of
        others are left out and counted; events from before an account was created count as known
        from then on. The kept tables hold them all, so that a new account does not make the log be
        read again.
    engine : data.config.settings.Engine, optional
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
    rules = _EventRules(roles, seats, known_at_reliable_from)
    at_work = _create_engine(engine or EngineConfig())
    surveys = _profile_partitions(partitions, folder, at_work, rebuild=rebuild)
    whole = [told for told in surveys if told.span is not None]
    spans = [told.span for told in whole if told.span is not None]
    any_ids = any(told.has_ids for told in whole)
    tables: list[cache.CacheEntry] = []
    due: list[BuildTask] = []
    for span, told in zip(spans, whole, strict=True):
        others = deduplication.overlapping_partitions(span, spans) if any_ids else []
        found = _cache_entry(folder, span, told, others, rules)
        if rebuild or not found.is_complete(_TABLE_SPECS):
            due.append(BuildTask(found, span, others, has_ids=told.has_ids))
        tables.append(found)
    for done, _ in enumerate(
        at_work.build_tables(due, rules.classify_events), start=len(tables) - len(due)
    ):
        if progress:
            progress(done + 1, len(tables))
    last_days = [span.last.date() for span in spans]
    files = {name: [found.file(name) for found in tables] for name in _READ_BY_MONTH_TABLES} | {
        name: first_seen.compact_closed_partitions(
            tables, last_days, name, partial(_merge_first_seen, at_work, name)
        )
        for name in _FIRST_SEEN_KEYS
    }
    used = [told.file for told in surveys]
    used += [found.file(name) for found in tables for name in _TABLE_SPECS]
    used += [file for some in files.values() for file in some]
    cache.touch(used)
    cache.evict(folder, used)
    rows = {
        name.removesuffix(".parquet"): TableScan(files[name], table.schema)
        for name, table in _TABLE_SPECS.items()
    }
    if accounts is not None:
        names, early = (
            accounts["account_id"],
            _find_early_accounts(rows["first_features"], accounts),
        )
        rows = {
            name: replace(of, accounts=names, early_accounts=early) for name, of in rows.items()
        }
    return _assemble_activity(
        tables, rows, surveys, len(due), partial(_aggregate_table, at_work, rows)
    )


def _find_early_accounts(first_features: TableScan, accounts: pl.DataFrame) -> pl.DataFrame | None:
    """The accounts of which something was known before they were created, if any."""
    created = accounts.lazy().select(
        pl.col("account_id").cast(NAME_DTYPE), created_day=pl.col("created_date").dt.date()
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


def _cache_entry(
    folder: Path,
    span: deduplication.PartitionSpan,
    profile: "_PartitionProfile",
    overlapping: Sequence[deduplication.PartitionSpan],
    rules: _EventRules,
) -> cache.CacheEntry:
    """Name what is kept of a partition by everything that decides what is in it."""
    identities = sorted(other.partition.identity for other in overlapping)
    state = cache.hash_strings(
        span.partition.identity, json.dumps(profile.reject_counts), *identities
    )
    return cache.CacheEntry(
        folder,
        cache.hash_strings(span.partition.name),
        cache.hash_strings(rules.cache_key()),
        state,
    )


class _ActivityEngine(Protocol):
    """Who reads the log, and folds what was made of it."""

    def profile_partitions(self, partitions: Sequence[Partition]) -> Iterable[dict[str, Any]]:
        """Tell of each partition, in order, what :func:`features.activity.profile.profile_to_json` says."""

    def build_tables(self, due: Sequence[BuildTask], named: EventClassifier) -> Iterator[None]:
        """Make the tables that are due; say so after each partition."""

    def aggregate(self, rows: TableScan, key: Sequence[str], made: Aggregation) -> pl.DataFrame:
        """Make one table of rows; no two calls of ``made`` see rows of one key."""


def _create_engine(engine: EngineConfig) -> _ActivityEngine:
    if engine.kind == "polars":
        return _PolarsEngine()
    from features.activity.spark import spark_engine  # noqa: PLC0415 - an extra

    return spark_engine.SparkEngine(engine, _TABLE_SPECS)


class _PolarsEngine:
    """Reads here, one partition after another."""

    def profile_partitions(self, partitions: Sequence[Partition]) -> Iterable[dict[str, Any]]:
        return map(_profile_partition, partitions)

    def build_tables(self, due: Sequence[BuildTask], named: EventClassifier) -> Iterator[None]:
        for one in due:
            _build_partition(one, named)
            yield

    def aggregate(self, rows: TableScan, key: Sequence[str], made: Aggregation) -> pl.DataFrame:  # noqa: ARG002 - all at once
        return made(rows.scan())


def _aggregate_table(
    engine: _ActivityEngine,
    tables: Mapping[str, TableScan],
    table: str,
    key: Sequence[str],
    made: Aggregation,
    *,
    since: date | None = None,
) -> pl.DataFrame:
    return engine.aggregate(replace(tables[table], since=since), key, made)


def _merge_first_seen(engine: _ActivityEngine, name: str, files: Sequence[Path]) -> pl.DataFrame:
    """The first days that some files tell of, whichever accounts exist."""
    key = _FIRST_SEEN_KEYS[name]
    found = engine.aggregate(
        TableScan(files, _TABLE_SPECS[name].schema),
        key,
        partial(first_seen.first_seen_by_known_date, key=key),
    )
    return found.drop("several")


def _build_partition(task: BuildTask, named: EventClassifier) -> None:
    """Read a partition and keep its tables.

    In no order of names: all that is made of them is sums, extremes and counts, and sorting names
    would take longer than counting them.
    """
    span = task.span
    with source_errors(span.partition.name):
        valid, copies = (
            deduplication.drop_duplicate_events(span, task.overlapping)
            if task.has_ids
            else (span.valid_rows(), 0)
        )
        events = _to_categorical(
            named(nw.from_native(valid)).to_native(), in_memory=span.fits_in_memory
        )
        # One after the other: what one of them holds in memory the next can use.
        made: dict[str, pl.DataFrame] = {}
        for name, table in _TABLE_SPECS.items():
            source = events if table.source is None else made[table.source].lazy()
            plan = table.build(nw.from_native(source)).to_native()
            made[name] = plan.collect(engine="streaming")
    for name, found in made.items():
        # By day, so that a month is read without the rest.
        rows = found.sort("day") if name in _READ_BY_MONTH_TABLES else found
        write = partial(rows.write_parquet, metadata={"copies": str(copies)}, **_PARQUET_OPTIONS)
        atomic_write(task.entry.file(name), write)


def _to_categorical(events: pl.LazyFrame, *, in_memory: bool) -> pl.LazyFrame:
    """Number the names once for all tables; a partition that fits in memory is held there."""
    numbered = events.with_columns(pl.col(_NAME_COLUMNS).cast(NAME_DTYPE))
    return numbered.collect(engine="streaming").lazy() if in_memory else numbered


@dataclass(frozen=True)
class _PartitionProfile:
    """What one pass over a partition tells before it is counted."""

    file: Path
    row_count: int
    machine_events: int
    reject_counts: Mapping[str, int]
    span: deduplication.PartitionSpan | None
    has_ids: bool


def _profile_partitions(
    partitions: Sequence[Partition], folder: Path, engine: "_ActivityEngine", *, rebuild: bool
) -> list[_PartitionProfile]:
    """Take the surveys of the partitions from the cache, or make them."""
    files = [
        cache.CacheEntry(
            folder, cache.hash_strings(part.name), "any", cache.hash_strings(part.identity)
        ).file(_PROFILE_FILE)
        for part in partitions
    ]
    found = [None if rebuild else _read_json(file) for file in files]
    # What lies in the future depends on the day of reading, so such a survey is made anew.
    unknown = [
        place
        for place, told in enumerate(found)
        if not told or schemas.FUTURE_TIMESTAMP in told["faults"]
    ]
    made = engine.profile_partitions([partitions[place] for place in unknown])
    for place, told in zip(unknown, made, strict=True):
        found[place] = told
        atomic_write(files[place], partial(Path.write_text, data=json.dumps(told)))
    return [
        _parse_profile(file, partition, told)
        for file, partition, told in zip(files, partitions, found, strict=True)
        if told
    ]


def _parse_profile(
    file: Path, partition: Partition, payload: Mapping[str, Any]
) -> _PartitionProfile:
    first, last = (
        payload[end] and datetime.fromisoformat(payload[end]) for end in ("first", "last")
    )
    span = deduplication.PartitionSpan(partition, payload["seen"], first, last) if first else None
    return _PartitionProfile(
        file, payload["seen"], payload["machine"], payload["faults"], span, payload["has_ids"]
    )


def _read_json(file: Path) -> dict[str, Any] | None:
    """A kept survey, or None where there is none or it was damaged: it can be made again."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _profile_partition(partition: Partition) -> dict[str, Any]:
    with source_errors(partition.name):
        found = profile.profile_plan(partition.with_reject_reason()).collect(engine="streaming")
    return profile.profile_to_json(found.rows(named=True))


def _assemble_activity(
    entries: Sequence[cache.CacheEntry],
    scans: Mapping[str, TableScan],
    profiles: Sequence[_PartitionProfile],
    rebuilt: int,
    aggregate: Aggregator,
) -> Activity:
    quarantine: Counter[str] = Counter()
    for told in profiles:
        quarantine.update(told.reject_counts)
    for found in entries:
        copies = pl.read_parquet_metadata(found.file("volume.parquet"))["copies"]
        quarantine["event_id seen before"] += int(copies)
    quarantine[schemas.UNKNOWN_ACCOUNT] += _count_unknown_accounts(scans["volume"])
    spans = [told.span for told in profiles if told.span is not None]
    return Activity(
        **{name: asked.scan() for name, asked in scans.items()},
        events=sum(told.row_count for told in profiles),
        machine_events=sum(told.machine_events for told in profiles),
        quarantine=dict(sorted((+quarantine).items())),
        first_day=min((span.first.date() for span in spans), default=None),
        last_day=max((span.last.date() for span in spans), default=None),
        rebuilt=rebuilt,
        aggregate=aggregate,
    )


def _count_unknown_accounts(volume: TableScan) -> int:
    """How many events are of accounts that do not exist."""
    rows = replace(volume, accounts=None).scan().filter(~volume.is_known_account())
    found = rows.select(pl.col("count").sum()).collect(engine="streaming")
    return int(found.item())
