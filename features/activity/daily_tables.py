"""Daily tables of the event log, built once per partition and cached.

A cached table is named by the partition's identity and by the rules that read it, so it is rebuilt
only when one of them changes. Files are written atomically: a killed run leaves no partial file.
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
from data.config.settings import EngineConfig, RolesConfig, SeatsConfig
from data.ingest.table_loader import Partition, translate_source_errors
from data.io.atomic import atomic_write
from features.activity import cache, daily_aggregates, deduplication, first_seen, profile
from features.activity.scan import NAME_DTYPE, Aggregation, Aggregator, TableScan
from features.activity.tasks import BuildTask, DailyTableSpec, EventClassifier

__all__ = ["Activity", "build_activity"]

# Part of every cache key: increase it when partitions are read differently.
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
    "people.parquet": DailyTableSpec(daily_aggregates.aggregate_user_activity, _PEOPLE_SCHEMA),
    "volume.parquet": DailyTableSpec(daily_aggregates.aggregate_event_volume, _VOLUME_SCHEMA),
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
    f"{table}.parquet": key for table, key in daily_aggregates.FIRST_SEEN_KEYS.items()
}
_PROFILE_FILE: Final = "profile.json"


@dataclass(frozen=True)
class Activity:
    """The daily tables of a log, with the counts of rows read and rejected.

    Attributes
    ----------
    people : polars.LazyFrame
        Account, user, day, known_day → uses, seat_uses, hours
        (:func:`features.activity.daily_aggregates.aggregate_user_activity`).
    volume : polars.LazyFrame
        Account, day, known_day, role, feature → count, quantity_milli
        (:func:`features.activity.daily_aggregates.aggregate_event_volume`).
    first_uses : polars.LazyFrame
        Account, user, feature, day, known_day
        (:func:`features.activity.daily_aggregates.first_seen_user_feature`).
    first_people : polars.LazyFrame
        Account, user, used, seat, day, known_day
        (:func:`features.activity.daily_aggregates.first_seen_user`).
    first_features : polars.LazyFrame
        Account, role, feature, day, known_day
        (:func:`features.activity.daily_aggregates.first_seen_feature`).
    events : int
        Rows of the log.
    machine_events : int
        Valid rows without a user.
    quarantine : mapping of str to int
        Rejected rows, by reason.
    first_day, last_day : datetime.date or None
        Range of the valid events, whenever they became known; None without valid events.
    rebuilt : int
        Partitions that had to be read.
    aggregate : features.activity.scan.Aggregator
        Aggregates one of these five tables, by its name, on the engine that read the log.
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

    def find_log_starts(self, as_ofs: Sequence[datetime]) -> list[date | None]:
        """Return the first day of the log as known at each as-of; None if none was known."""
        first_days = (
            self.first_features.group_by("known_day")
            .agg(pl.col("day").min())
            .sort("known_day")
            .with_columns(pl.col("day").cum_min())
            .collect()
        )
        cutoffs = pl.Series([as_of.date() for as_of in as_ofs], dtype=pl.Date)
        positions, days = (
            first_days["known_day"].search_sorted(cutoffs),
            first_days["day"].to_list(),
        )
        return [days[position - 1] if position else None for position in positions]

    def __repr__(self) -> str:
        span = "no valid day" if self.first_day is None else f"{self.first_day} to {self.last_day}"
        rejected = sum(self.quarantine.values())
        return f"Activity({self.events:,} events, {span}; {rejected:,} in quarantine)"


@dataclass(frozen=True)
class _EventRules:
    """Rules by which events are classified; part of every cache key."""

    roles: RolesConfig
    seats: SeatsConfig
    known_at_reliable_from: date | None

    def classify_events(
        self, events: nw.LazyFrame[Any], extra_columns: Sequence[str] = ()
    ) -> nw.LazyFrame[Any]:
        """Classify events by these rules."""
        return daily_aggregates.classify_events(
            events,
            roles=self.roles,
            seats=self.seats,
            known_at_reliable_from=self.known_at_reliable_from,
            extra_columns=extra_columns,
        )

    def cache_key(self) -> str:
        sections = [self.roles.model_dump(), self.seats.model_dump()]
        return json.dumps([CACHE_VERSION, *sections, str(self.known_at_reliable_from)])


def build_activity(
    partitions: Sequence[Partition],
    *,
    folder: Path,
    roles: RolesConfig,
    seats: SeatsConfig,
    known_at_reliable_from: date | None = None,
    accounts: pl.DataFrame | None = None,
    engine: EngineConfig | None = None,
    rebuild: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Activity:
    """Build the daily tables of each partition, or reuse the cached ones.

    Parameters
    ----------
    partitions : sequence of data.ingest.table_loader.Partition
        The product log.
    folder : pathlib.Path
        Cache folder.
    roles, seats, known_at_reliable_from
        As for :func:`features.activity.daily_aggregates.classify_events`.
    accounts : polars.DataFrame, optional
        Rows of :class:`data.schemas.AccountSchema`: the known accounts and their creation dates.
        Events of other accounts are left out and counted; events from before an account was created
        count as known from then on. The cached tables hold all accounts, so that a new account does
        not cause the log to be read again.
    engine : data.config.settings.EngineConfig, optional
        Engine that reads and aggregates the log; Polars by default. The cached tables are the same.
    rebuild : bool
        Read every partition again and ignore the cache.
    progress : callable, optional
        Receives the number of completed partitions and the total.

    Returns
    -------
    Activity
        A lazy view of the cached tables, with the counts of rows read and rejected.

    Raises
    ------
    data.errors.SourceError
        If a partition cannot be read.
    data.errors.DeliveryError
        If a table cannot be written, for lack of space or permissions.
    """
    rules = _EventRules(roles, seats, known_at_reliable_from)
    activity_engine = _create_engine(engine or EngineConfig())
    profiles = _profile_partitions(partitions, folder, activity_engine, rebuild=rebuild)
    non_empty = [summary for summary in profiles if summary.span is not None]
    spans = [summary.span for summary in non_empty if summary.span is not None]
    any_ids = any(summary.has_ids for summary in non_empty)
    entries: list[cache.CacheEntry] = []
    tasks: list[BuildTask] = []
    for span, summary in zip(spans, non_empty, strict=True):
        overlapping = deduplication.find_overlapping_partitions(span, spans) if any_ids else []
        entry = _create_cache_entry(folder, span, summary, overlapping, rules)
        if rebuild or not entry.is_complete(_TABLE_SPECS):
            tasks.append(BuildTask(entry, span, overlapping, has_ids=summary.has_ids))
        entries.append(entry)
    for completed, _ in enumerate(
        activity_engine.build_tables(tasks, rules.classify_events), start=len(entries) - len(tasks)
    ):
        if progress:
            progress(completed + 1, len(entries))
    last_days = [span.last.date() for span in spans]
    files = {name: [entry.file(name) for entry in entries] for name in _READ_BY_MONTH_TABLES} | {
        name: first_seen.compact_closed_partitions(
            entries, last_days, name, partial(_merge_first_seen, activity_engine, name)
        )
        for name in _FIRST_SEEN_KEYS
    }
    used_files = [summary.file for summary in profiles]
    used_files += [entry.file(name) for entry in entries for name in _TABLE_SPECS]
    used_files += [file for table_files in files.values() for file in table_files]
    cache.touch(used_files)
    cache.evict(folder, used_files)
    scans = {
        name.removesuffix(".parquet"): TableScan(files[name], table.schema)
        for name, table in _TABLE_SPECS.items()
    }
    if accounts is not None:
        known_accounts, early_accounts = (
            accounts["account_id"],
            _find_early_accounts(scans["first_features"], accounts),
        )
        scans = {
            name: replace(scan, accounts=known_accounts, early_accounts=early_accounts)
            for name, scan in scans.items()
        }
    return _assemble_activity(
        entries, scans, profiles, len(tasks), partial(_aggregate_table, activity_engine, scans)
    )


def _find_early_accounts(first_features: TableScan, accounts: pl.DataFrame) -> pl.DataFrame | None:
    """Return accounts with activity known before they were created, or None."""
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


def _create_cache_entry(
    folder: Path,
    span: deduplication.PartitionSpan,
    partition_profile: "_PartitionProfile",
    overlapping: Sequence[deduplication.PartitionSpan],
    rules: _EventRules,
) -> cache.CacheEntry:
    """Return a partition's cache entry, keyed by everything that determines its content."""
    identities = sorted(other.partition.identity for other in overlapping)
    state = cache.hash_strings(
        span.partition.identity, json.dumps(partition_profile.reject_counts), *identities
    )
    return cache.CacheEntry(
        folder,
        cache.hash_strings(span.partition.name),
        cache.hash_strings(rules.cache_key()),
        state,
    )


class _ActivityEngine(Protocol):
    """Engine that reads the log and aggregates the daily tables."""

    def profile_partitions(self, partitions: Sequence[Partition]) -> Iterable[dict[str, Any]]:
        """Return each partition's profile, in order."""

    def build_tables(self, tasks: Sequence[BuildTask], classify: EventClassifier) -> Iterator[None]:
        """Build the tables of each task; yield after each partition."""

    def aggregate(
        self, rows: TableScan, key: Sequence[str], aggregation: Aggregation
    ) -> pl.DataFrame:
        """Aggregate rows into one table; one call of the aggregation gets all rows of a key."""


def _create_engine(engine: EngineConfig) -> _ActivityEngine:
    if engine.kind == "polars":
        return _PolarsEngine()
    from features.activity.spark import spark_engine  # noqa: PLC0415 - an extra

    return spark_engine.SparkEngine(engine, _TABLE_SPECS)


class _PolarsEngine:
    """Polars on this machine, one partition after another."""

    def profile_partitions(self, partitions: Sequence[Partition]) -> Iterable[dict[str, Any]]:
        return map(_profile_partition, partitions)

    def build_tables(self, tasks: Sequence[BuildTask], classify: EventClassifier) -> Iterator[None]:
        for task in tasks:
            _build_partition(task, classify)
            yield

    def aggregate(
        self,
        rows: TableScan,
        key: Sequence[str],  # noqa: ARG002 - all at once
        aggregation: Aggregation,
    ) -> pl.DataFrame:
        return aggregation(rows.scan())


def _aggregate_table(
    engine: _ActivityEngine,
    tables: Mapping[str, TableScan],
    table: str,
    key: Sequence[str],
    aggregation: Aggregation,
    *,
    since: date | None = None,
) -> pl.DataFrame:
    return engine.aggregate(replace(tables[table], since=since), key, aggregation)


def _merge_first_seen(engine: _ActivityEngine, name: str, files: Sequence[Path]) -> pl.DataFrame:
    """Merge the first-seen dates of several files, for all accounts."""
    key = _FIRST_SEEN_KEYS[name]
    merged = engine.aggregate(
        TableScan(files, _TABLE_SPECS[name].schema),
        key,
        partial(first_seen.first_seen_by_known_date, key=key),
    )
    return merged.drop("several")


def _build_partition(task: BuildTask, classify: EventClassifier) -> None:
    """Build and cache the tables of one partition.

    Row order is unspecified: consumers only aggregate, and sorting names would take longer than
    counting them.
    """
    span = task.span
    with translate_source_errors(span.partition.name):
        valid_rows, duplicates = (
            deduplication.drop_duplicate_events(span, task.overlapping)
            if task.has_ids
            else (span.valid_rows(), 0)
        )
        events = _to_categorical(
            classify(nw.from_native(valid_rows)).to_native(), in_memory=span.fits_in_memory
        )
        # Sequential, so that each table can reuse the memory of the one before.
        built: dict[str, pl.DataFrame] = {}
        for name, table in _TABLE_SPECS.items():
            source = events if table.source is None else built[table.source].lazy()
            plan = table.build(nw.from_native(source)).to_native()
            built[name] = plan.collect(engine="streaming")
    for name, frame in built.items():
        # Sorted by day, so that a month can be read without the rest.
        rows = frame.sort("day") if name in _READ_BY_MONTH_TABLES else frame
        write = partial(
            rows.write_parquet, metadata={"copies": str(duplicates)}, **_PARQUET_OPTIONS
        )
        atomic_write(task.entry.file(name), write)


def _to_categorical(events: pl.LazyFrame, *, in_memory: bool) -> pl.LazyFrame:
    """Cast names to categories once for all tables; hold a partition in memory if it fits."""
    categorical = events.with_columns(pl.col(_NAME_COLUMNS).cast(NAME_DTYPE))
    return categorical.collect(engine="streaming").lazy() if in_memory else categorical


@dataclass(frozen=True)
class _PartitionProfile:
    """Profile of a partition from one pass over its rows."""

    file: Path
    row_count: int
    machine_events: int
    reject_counts: Mapping[str, int]
    span: deduplication.PartitionSpan | None
    has_ids: bool


def _profile_partitions(
    partitions: Sequence[Partition], folder: Path, engine: _ActivityEngine, *, rebuild: bool
) -> list[_PartitionProfile]:
    """Load the partitions' profiles from the cache, or compute them."""
    files = [
        cache.CacheEntry(
            folder,
            cache.hash_strings(partition.name),
            "any",
            cache.hash_strings(partition.identity),
        ).file(_PROFILE_FILE)
        for partition in partitions
    ]
    payloads = [None if rebuild else _read_json(file) for file in files]
    # Future events depend on the current day, so such a profile is computed again.
    missing = [
        position
        for position, payload in enumerate(payloads)
        if not payload or schemas.FUTURE_TIMESTAMP in payload["reject_counts"]
    ]
    profiled = engine.profile_partitions([partitions[position] for position in missing])
    for position, payload in zip(missing, profiled, strict=True):
        payloads[position] = payload
        atomic_write(files[position], partial(Path.write_text, data=json.dumps(payload)))
    return [
        _parse_profile(file, partition, payload)
        for file, partition, payload in zip(files, partitions, payloads, strict=True)
        if payload
    ]


def _parse_profile(
    file: Path, partition: Partition, payload: Mapping[str, Any]
) -> _PartitionProfile:
    first, last = (
        payload[end] and datetime.fromisoformat(payload[end]) for end in ("first", "last")
    )
    span = deduplication.PartitionSpan(partition, payload["rows"], first, last) if first else None
    return _PartitionProfile(
        file,
        payload["rows"],
        payload["machine_events"],
        payload["reject_counts"],
        span,
        payload["has_ids"],
    )


def _read_json(file: Path) -> dict[str, Any] | None:
    """Return a cached profile, or None if it is missing or damaged."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _profile_partition(partition: Partition) -> dict[str, Any]:
    with translate_source_errors(partition.name):
        rows = profile.build_profile_plan(partition.with_reject_reason()).collect(
            engine="streaming"
        )
    return profile.profile_to_json(rows.rows(named=True))


def _assemble_activity(
    entries: Sequence[cache.CacheEntry],
    scans: Mapping[str, TableScan],
    profiles: Sequence[_PartitionProfile],
    rebuilt: int,
    aggregate: Aggregator,
) -> Activity:
    quarantine: Counter[str] = Counter()
    for summary in profiles:
        quarantine.update(summary.reject_counts)
    for entry in entries:
        duplicates = pl.read_parquet_metadata(entry.file("volume.parquet"))["copies"]
        quarantine["duplicate event_id"] += int(duplicates)
    quarantine[schemas.UNKNOWN_ACCOUNT] += _count_unknown_accounts(scans["volume"])
    spans = [summary.span for summary in profiles if summary.span is not None]
    return Activity(
        **{name: scan.scan() for name, scan in scans.items()},
        events=sum(summary.row_count for summary in profiles),
        machine_events=sum(summary.machine_events for summary in profiles),
        quarantine=dict(sorted((+quarantine).items())),
        first_day=min((span.first.date() for span in spans), default=None),
        last_day=max((span.last.date() for span in spans), default=None),
        rebuilt=rebuilt,
        aggregate=aggregate,
    )


def _count_unknown_accounts(volume: TableScan) -> int:
    """Count events of accounts that are not in the accounts table."""
    rows = replace(volume, accounts=None).scan().filter(~volume.is_known_account())
    events = rows.select(pl.col("count").sum()).collect(engine="streaming")
    return int(events.item())
