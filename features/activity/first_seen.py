"""First-seen dates by the date they became known, and their compaction."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from data.io.atomic import atomic_write
from features.activity import cache

__all__ = ["MAX_GROUP_ROWS", "compact_closed_partitions", "first_seen_by_known_date"]

_MergeFunction = Callable[[Sequence[Path]], pl.DataFrame]
MAX_GROUP_ROWS = 2_000_000  # grouping takes several times the memory of the rows


def first_seen_by_known_date(rows: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame:
    """Return each key's first ``day`` as known from each ``known_day`` on: nearly always one row.

    Returns
    -------
    polars.DataFrame
        The same columns and ``several``: whether the key has more than one row. Each row's day
        precedes those of all rows of the key that were known before. Row order is unspecified.
    """
    rows_in_memory = rows.select(*key, "day", "known_day").collect(engine="streaming")
    part_count = rows_in_memory.height // MAX_GROUP_ROWS + 1
    if part_count == 1:
        return _compute_first_seen(rows_in_memory.lazy(), key)
    # Split by the second key: one account may hold most rows, but no user or feature does.
    part = rows_in_memory.select((pl.col(key[1]).hash() % part_count).cast(pl.UInt16)).to_series()
    return pl.concat(
        [
            _compute_first_seen(rows_in_memory.filter(part == index).lazy(), key)
            for index in range(part_count)
        ]
    )


def _compute_first_seen(rows: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame:
    day, known_day = (pl.col(name).to_physical().cast(pl.Int64) for name in ("day", "known_day"))
    grouped = (
        rows.group_by(key)
        # The earliest known day and its first day, packed into one number for a single minimum.
        .agg(pl.col("day").min(), earliest=(known_day * 2**20 + day).min())
        .collect(engine="streaming")
    )
    is_single = day.eq(pl.col("earliest") % 2**20)
    known_on = (pl.col("earliest") // 2**20).cast(pl.Int32).cast(pl.Date)
    single_rows = grouped.filter(is_single).select(*key, "day", known_day=known_on, several=False)
    several_rows = rows.join(grouped.filter(~is_single).lazy(), on=list(key), how="semi")
    earlier_day = pl.col("day").cum_min().shift(1).over(key, order_by=["known_day", "day"])
    new_days = several_rows.filter((pl.col("day") < earlier_day).fill_null(value=True))
    return pl.concat([single_rows, new_days.with_columns(several=pl.lit(value=True)).collect()])


def compact_closed_partitions(
    entries: Sequence[cache.CacheEntry], last_days: Sequence[date], name: str, merge: _MergeFunction
) -> list[Path]:
    """Merge the first-seen tables of all but the newest partitions, and cache the result.

    Most first-seen dates of a partition were known before it. So a weekly run reads the merged
    table and the partitions of the last month or two, not the rows of every month again.

    ``last_days`` has the last day of each entry, ``name`` is the table's file in it. Returns the
    files that together hold every first-seen date.
    """
    if not entries:
        return []
    first_open_month = (max(last_days).replace(day=1) - timedelta(days=1)).replace(day=1)
    dated_entries = sorted(
        zip(last_days, entries, strict=True), key=lambda pair: (pair[0], pair[1].partition)
    )
    closed = [entry for last_day, entry in dated_entries if last_day < first_open_month]
    open_files = [
        entry.file(name) for last_day, entry in dated_entries if last_day >= first_open_month
    ]
    return [*_compact_entries(closed, name, merge), *open_files]


def _compact_entries(
    entries: Sequence[cache.CacheEntry], name: str, merge: _MergeFunction
) -> list[Path]:
    """Return the compacted table of several entries, extending an earlier compaction if any."""
    if len(entries) < 2:
        return [entry.file(name) for entry in entries]
    compacted = _create_compaction_entry(entries)
    if not compacted.is_complete([name]):
        files = [entry.file(name) for entry in entries]
        # Most weeks only extend the previous compaction.
        for count in range(len(entries) - 1, 1, -1):
            previous = _create_compaction_entry(entries[:count])
            if previous.is_complete([name]):
                files = [previous.file(name), *files[count:]]
                break
        write = partial(merge(files).write_parquet, metadata={"copies": "0"}, compression="lz4")
        atomic_write(compacted.file(name), write)
    return [compacted.file(name)]


def _create_compaction_entry(entries: Sequence[cache.CacheEntry]) -> cache.CacheEntry:
    """Return the cache entry of the compacted table."""
    state = cache.hash_strings(*(f"{entry.partition}-{entry.state}" for entry in entries))
    return cache.CacheEntry(
        entries[0].folder, cache.hash_strings("first days"), entries[0].rules, state
    )
