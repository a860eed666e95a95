"""The first day of a thing, as it was known from each day on."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from data.writing import atomically
from features import kept

__all__ = ["earliest", "settled"]

_Merge = Callable[[Sequence[Path]], pl.DataFrame]
_ROWS_AT_ONCE = 2_000_000  # grouping takes several times the memory of the rows


def earliest(rows: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame:
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
    parts = held.height // _ROWS_AT_ONCE + 1
    if parts == 1:
        return _earliest(held.lazy(), key)
    # By the second name of the key: few accounts may have most rows, but no single user or feature.
    part = held.select((pl.col(key[1]).hash() % parts).cast(pl.UInt16)).to_series()
    return pl.concat([_earliest(held.filter(part == n).lazy(), key) for n in range(parts)])


def _earliest(held: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame:
    day, known_day = (pl.col(name).to_physical().cast(pl.Int64) for name in ("day", "known_day"))
    found = (
        held.group_by(key)
        # What was known earliest, and of that the first day, as one number that a minimum finds.
        .agg(pl.col("day").min(), earliest=(known_day * 2**20 + day).min())
        .collect(engine="streaming")
    )
    alone = day.eq(pl.col("earliest") % 2**20)
    known_on = (pl.col("earliest") // 2**20).cast(pl.Int32).cast(pl.Date)
    once = found.filter(alone).select(*key, "day", known_day=known_on, several=False)
    late = held.join(found.filter(~alone).lazy(), on=list(key), how="semi")
    before = pl.col("day").cum_min().shift(1).over(key, order_by=["known_day", "day"])
    news = late.filter((pl.col("day") < before).fill_null(value=True))
    return pl.concat([once, news.with_columns(several=pl.lit(value=True)).collect()])


def settled(
    tables: Sequence[kept.Kept], last_days: Sequence[date], name: str, merge: _Merge
) -> list[Path]:
    """Merge the first days of all but the newest partitions, and keep them merged.

    Most of what a partition tells of first days was known before it. So a weekly run reads the
    merged table and the partitions of the last month or two, not the rows of every month again.

    Parameters
    ----------
    tables : sequence of features.kept.Kept
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
    if not tables:
        return []
    month = (max(last_days).replace(day=1) - timedelta(days=1)).replace(day=1)
    dated = sorted(zip(last_days, tables, strict=True), key=lambda one: (one[0], one[1].partition))
    old = [table for last, table in dated if last < month]
    new = [table.file(name) for last, table in dated if last >= month]
    return [*_merged(old, name, merge), *new]


def _merged(tables: Sequence[kept.Kept], name: str, merge: _Merge) -> list[Path]:
    """The merged table of some partitions, made from that of the first of them if there is one."""
    if len(tables) < 2:
        return [table.file(name) for table in tables]
    merged = _place(tables)
    if not merged.whole([name]):
        # Most weeks only add to what was merged before.
        counts = range(len(tables) - 1, 1, -1)
        known = next((n for n in counts if _place(tables[:n]).whole([name])), 0)
        files = [_place(tables[:known]).file(name)] if known else []
        files += [table.file(name) for table in tables[known:]]
        write = partial(merge(files).write_parquet, metadata={"copies": "0"}, compression="lz4")
        atomically(merged.file(name), write)
    return [merged.file(name)]


def _place(tables: Sequence[kept.Kept]) -> kept.Kept:
    """Where the merged table of some partitions lies."""
    state = kept.digest(*(f"{table.partition}-{table.state}" for table in tables))
    return kept.Kept(tables[0].folder, kept.digest("first days"), tables[0].rules, state)
