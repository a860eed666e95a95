"""Filtered scans of a daily table, aggregated at once or bucket by bucket on workers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Protocol

import polars as pl

__all__ = ["NAME_DTYPE", "Aggregation", "Aggregator", "TableScan"]

# Names repeat millions of times: categories are grouped as numbers, not as text.
NAME_DTYPE: Final = pl.Categorical()
# Aggregates rows by key; rows of a subset of the keys give the same result for those keys.
Aggregation = Callable[[pl.LazyFrame], pl.DataFrame]


@dataclass(frozen=True, eq=False)
class TableScan:
    """A filtered scan of a daily table.

    All ``accounts`` are known by default. ``early_accounts`` have ``account_id`` and
    ``created_day`` of accounts with activity from before they were created: none of it counts as
    known before that day. Rows of days before ``since`` are left out.
    """

    files: Sequence[Path]
    schema: Mapping[str, pl.DataType]
    accounts: pl.Series | None = None
    early_accounts: pl.DataFrame | None = None
    since: date | None = None

    def scan(self) -> pl.LazyFrame:
        """Scan the files on this machine."""
        return self.apply_filters(self._scan_files() if self.files else self.empty())

    def count_rows(self) -> int:
        """Count all rows of the files before filtering, from the files' metadata."""
        if not self.files:
            return 0
        height: int = self._scan_files().select(pl.len()).collect().item()
        return height

    def empty(self) -> pl.LazyFrame:
        """Return a frame of the table without rows."""
        return pl.LazyFrame(schema=dict(self.schema))

    def is_known_account(self) -> pl.Expr:
        """Return whether a row's account is known."""
        if self.accounts is None:
            return pl.lit(value=True)
        return pl.col("account_id").is_in(self.accounts.cast(NAME_DTYPE).implode())

    def apply_filters(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Filter the table's rows and correct the day each was known."""
        known_rows = rows.filter(self.is_known_account())
        if self.since is not None:
            known_rows = known_rows.filter(pl.col("day") >= self.since)
        if self.early_accounts is None:
            return known_rows
        return (
            known_rows.join(self.early_accounts.lazy(), on="account_id", how="left")
            .with_columns(known_day=pl.max_horizontal("known_day", "created_day"))
            .drop("created_day")
        )

    def _scan_files(self) -> pl.LazyFrame:
        return pl.scan_parquet(list(self.files), glob=False)


class Aggregator(Protocol):
    """Aggregates a daily table on the engine that read the log."""

    def __call__(
        self, table: str, key: Sequence[str], aggregation: Aggregation, *, since: date | None = None
    ) -> pl.DataFrame:
        """Call ``aggregation`` on all rows, or on parts in which all rows of a key are together."""
