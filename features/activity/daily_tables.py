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

import polars as pl

from data import schemas
from data.config.settings import EngineConfig, RolesConfig, SeatsConfig
from data.ingest.table_loader import Partition
from features.activity import cache, daily_aggregates, deduplication, first_seen, profile
from features.activity.polars_engine import PolarsEngine
from features.activity.scan import NAME_DTYPE, Aggregation, Aggregator, TableScan
from features.activity.tasks import (
    FIRST_SEEN_FILES,
    READ_BY_MONTH_FILES,
    TABLE_SPECS,
    BuildTask,
    EventClassifier,
)

__all__ = ["Activity", "build_activity"]

# Part of every cache key: increase it when partitions are read differently.
CACHE_VERSION: Final = 6


@dataclass(frozen=True)
class Activity:
    """The daily tables of a log, with the counts of rows read and rejected.

    Attributes
    ----------
    people, volume, first_uses, first_people, first_features : polars.LazyFrame
        From :func:`~features.activity.daily_aggregates.aggregate_user_activity`,
        :func:`~features.activity.daily_aggregates.aggregate_event_volume`,
        :func:`~features.activity.daily_aggregates.first_seen_user_feature`,
        :func:`~features.activity.daily_aggregates.first_seen_user` and
        :func:`~features.activity.daily_aggregates.first_seen_feature`.
    events, machine_events : int
        Rows of the log; valid rows without a user.
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
        positions = first_days["known_day"].search_sorted(cutoffs)
        days = first_days["day"].to_list()
        return [days[position - 1] if position else None for position in positions]

    def __repr__(self) -> str:
        span = "no valid day" if self.first_day is None else f"{self.first_day} to {self.last_day}"
        rejected = sum(self.quarantine.values())
        return f"Activity({self.events:,} events, {span}; {rejected:,} in quarantine)"


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

    Raises ``SourceError`` if a partition cannot be read. Raises ``DeliveryError`` if a table cannot
    be written, for lack of space or permissions.

    Parameters
    ----------
    folder : pathlib.Path
        Cache folder.
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
    """
    classify = partial(
        daily_aggregates.classify_events,
        roles=roles,
        seats=seats,
        known_at_reliable_from=known_at_reliable_from,
    )
    rules = cache.hash_strings(
        json.dumps(
            [CACHE_VERSION, roles.model_dump(), seats.model_dump(), str(known_at_reliable_from)]
        )
    )
    activity_engine = _create_engine(engine or EngineConfig())
    profiles = profile.load_profiles(
        partitions, folder, activity_engine.profile_partitions, rebuild=rebuild
    )
    entries, tasks = _plan_tasks(profiles, folder, rules, rebuild=rebuild)
    for completed, _ in enumerate(
        activity_engine.build_tables(tasks, classify), start=len(entries) - len(tasks)
    ):
        if progress:
            progress(completed + 1, len(entries))
    last_days = [summary.span.last.date() for summary in profiles if summary.span is not None]
    files = {name: [entry.file(name) for entry in entries] for name in READ_BY_MONTH_FILES} | {
        name: first_seen.compact_closed_partitions(
            entries, last_days, name, partial(_merge_first_seen, activity_engine, name)
        )
        for name in FIRST_SEEN_FILES
    }
    used_files = [summary.file for summary in profiles]
    used_files += [entry.file(name) for entry in entries for name in TABLE_SPECS]
    used_files += [file for table_files in files.values() for file in table_files]
    cache.touch(used_files)
    cache.evict(folder, used_files)
    scans = _scan_tables(files, accounts)

    def aggregate(
        table: str, key: Sequence[str], aggregation: Aggregation, *, since: date | None = None
    ) -> pl.DataFrame:
        return activity_engine.aggregate(replace(scans[table], since=since), key, aggregation)

    return _assemble_activity(entries, scans, profiles, len(tasks), aggregate)


def _plan_tasks(
    profiles: Sequence[profile.PartitionProfile], folder: Path, rules: str, *, rebuild: bool
) -> tuple[list[cache.CacheEntry], list[BuildTask]]:
    """Return each partition's cache entry, and the tasks of those that have to be built."""
    entries: list[cache.CacheEntry] = []
    tasks: list[BuildTask] = []
    spans = [summary.span for summary in profiles if summary.span is not None]
    any_ids = any(summary.has_ids for summary in profiles)
    for summary in profiles:
        if (span := summary.span) is None:
            continue
        overlapping = deduplication.find_overlapping_partitions(span, spans) if any_ids else []
        # The key covers everything that determines the content.
        state = cache.hash_strings(
            span.partition.identity,
            json.dumps(summary.reject_counts),
            *sorted(other.partition.identity for other in overlapping),
        )
        entry = cache.CacheEntry(folder, cache.hash_strings(span.partition.name), rules, state)
        if rebuild or not entry.is_complete(TABLE_SPECS):
            tasks.append(BuildTask(entry, span, overlapping, has_ids=summary.has_ids))
        entries.append(entry)
    return entries, tasks


def _scan_tables(
    files: Mapping[str, Sequence[Path]], accounts: pl.DataFrame | None
) -> dict[str, TableScan]:
    """Return a scan of each table, filtered to the known accounts if these are given."""
    scans = {
        name.removesuffix(".parquet"): TableScan(files[name], table.schema)
        for name, table in TABLE_SPECS.items()
    }
    if accounts is None:
        return scans
    early_accounts = _find_early_accounts(scans["first_features"], accounts)
    return {
        name: replace(scan, accounts=accounts["account_id"], early_accounts=early_accounts)
        for name, scan in scans.items()
    }


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


class _ActivityEngine(Protocol):
    """Engine that reads the log and aggregates the daily tables: Polars or Spark."""

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
        return PolarsEngine()
    from features.activity.spark import spark_engine  # noqa: PLC0415 - an extra

    return spark_engine.SparkEngine(engine)


def _merge_first_seen(engine: _ActivityEngine, name: str, files: Sequence[Path]) -> pl.DataFrame:
    """Merge the first-seen dates of several files, for all accounts."""
    key = FIRST_SEEN_FILES[name]
    merged = engine.aggregate(
        TableScan(files, TABLE_SPECS[name].schema),
        key,
        partial(first_seen.first_seen_by_known_date, key=key),
    )
    return merged.drop("several")


def _assemble_activity(
    entries: Sequence[cache.CacheEntry],
    scans: Mapping[str, TableScan],
    profiles: Sequence[profile.PartitionProfile],
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
