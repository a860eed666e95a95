"""The first day of a thing, as it was known from each day on."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from data.io.atomic import atomic_write
from features.activity import cache

__all__ = ["compact_closed_partitions", "first_seen_by_known_date"]

_MergeFunction = Callable[[Sequence[Path]], pl.DataFrame]
_MAX_GROUP_ROWS = 2_000_000  # grouping takes several times the memory of the rows


def first_seen_by_known_date(rows: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame:
    """Keep of each key the first day, as it was known from each day on: nearly always one row.

    Parameters
    ----------
    rows : polars.LazyFrame
        The key, ``day`` and ``known_day``.
    key : sequence of str
        What has a first day.

    Returns
    -------
    polars.DataFrame
        The same columns and ``several``: whether the key has more than one row. Each row's day
        precedes those of all rows of the key that were known before. In no order.
    """
    held = rows.select(*key, "day", "known_day").collect(engine="streaming")
    parts = held.height // _MAX_GROUP_ROWS + 1
    if parts == 1:
        return _first_seen(held.lazy(), key)
    # By the second name of the key: few accounts may have most rows, but no single user or feature.
    part = held.select((pl.col(key[1]).hash() % parts).cast(pl.UInt16)).to_series()
    return pl.concat([_first_seen(held.filter(part == n).lazy(), key) for n in range(parts)])


def _first_seen(rows: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame:
    day, known_day = (pl.col(name).to_physical().cast(pl.Int64) for name in ("day", "known_day"))
    found = (
        rows.group_by(key)
        # What was known earliest, and of that the first day, as one number that a minimum finds.
        .agg(pl.col("day").min(), earliest=(known_day * 2**20 + day).min())
        .collect(engine="streaming")
    )
    alone = day.eq(pl.col("earliest") % 2**20)
    known_on = (pl.col("earliest") // 2**20).cast(pl.Int32).cast(pl.Date)
    once = found.filter(alone).select(*key, "day", known_day=known_on, several=False)
    late = rows.join(found.filter(~alone).lazy(), on=list(key), how="semi")
    before = pl.col("day").cum_min().shift(1).over(key, order_by=["known_day", "day"])
    news = late.filter((pl.col("day") < before).fill_null(value=True))
    return pl.concat([once, news.with_columns(several=pl.lit(value=True)).collect()])


def compact_closed_partitions(
    entries: Sequence[cache.CacheEntry], last_days: Sequence[date], name: str, merge: _MergeFunction
) -> list[Path]:
    """Merge the first days of all but the newest partitions, and keep them merged.

    Most of what a partition tells of first days was known before it. So a weekly run reads the
    merged table and the partitions of the last month or two, not the rows of every month again.

    Parameters
    ----------
    entries : sequence of features.activity.cache.CacheEntry
        What is kept of each partition, under one set of rules.
    last_days : sequence of datetime.date
        The last day of each.
    name : str
        The ending of the table's files.
    merge : callable
        The first days that some such files tell of.

    Returns
    -------
    list of pathlib.Path
        The files that together tell every first day.

    Raises
    ------
    data.errors.DeliveryError
        If the merged table cannot be kept.
    """
    if not entries:
        return []
    month = (max(last_days).replace(day=1) - timedelta(days=1)).replace(day=1)
    dated = sorted(zip(last_days, entries, strict=True), key=lambda one: (one[0], one[1].partition))
    old = [table for last, table in dated if last < month]
    new = [table.file(name) for last, table in dated if last >= month]
    return [*_compact_entries(old, name, merge), *new]


def _compact_entries(
    entries: Sequence[cache.CacheEntry], name: str, merge: _MergeFunction
) -> list[Path]:
    """The merged table of some partitions, made from that of the first of them if there is one."""
    if len(entries) < 2:
        return [table.file(name) for table in entries]
    merged = _compacted_entry(entries)
    if not merged.is_complete([name]):
        # Most weeks only add to what was merged before.
        counts = range(len(entries) - 1, 1, -1)
        known = next((n for n in counts if _compacted_entry(entries[:n]).is_complete([name])), 0)
        files = [_compacted_entry(entries[:known]).file(name)] if known else []
        files += [table.file(name) for table in entries[known:]]
        write = partial(merge(files).write_parquet, metadata={"copies": "0"}, compression="lz4")
        atomic_write(merged.file(name), write)
    return [merged.file(name)]


def _compacted_entry(entries: Sequence[cache.CacheEntry]) -> cache.CacheEntry:
    """Where the merged table of some partitions lies."""
    state = cache.hash_strings(*(f"{table.partition}-{table.state}" for table in entries))
    return cache.CacheEntry(
        entries[0].folder, cache.hash_strings("first days"), entries[0].rules, state
    )
