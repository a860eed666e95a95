"""Rows of a daily table, and how they are folded: here at once, or bucket by bucket on workers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Protocol

import polars as pl

__all__ = ["NAME_DTYPE", "Aggregation", "Aggregator", "TableScan"]

# Names repeat by the million: as categories they are grouped as numbers, not as text.
NAME_DTYPE: Final = pl.Categorical()
# What is made of rows. Made of some keys' rows, it is what all rows would say of these keys.
Aggregation = Callable[[pl.LazyFrame], pl.DataFrame]


@dataclass(frozen=True, eq=False)
class TableScan:
    """Which rows of a daily table are asked for.

    Attributes
    ----------
    files : sequence of pathlib.Path
        The kept tables that hold them.
    schema : mapping of str to polars.DataType
        Their columns.
    accounts : polars.Series, optional
        The accounts that exist; all by default.
    early_accounts : polars.DataFrame, optional
        ``account_id`` and ``created_day`` of accounts of which the log tells from before they were
        created: none of it was known by then.
    since : datetime.date, optional
        Rows of earlier days are left out.
    """

    files: Sequence[Path]
    schema: Mapping[str, pl.DataType]
    accounts: pl.Series | None = None
    early_accounts: pl.DataFrame | None = None
    since: date | None = None

    def scan(self) -> pl.LazyFrame:
        """Look at them from this machine."""
        return self.apply_filters(self._scan_files() if self.files else self.empty())

    def count_rows(self) -> int:
        """Count all rows of the files, asked for or not: the files say it themselves."""
        if not self.files:
            return 0
        height: int = self._scan_files().select(pl.len()).collect().item()
        return height

    def empty(self) -> pl.LazyFrame:
        """Look at no row of the table."""
        return pl.LazyFrame(schema=dict(self.schema))

    def is_known_account(self) -> pl.Expr:
        """Say of a row whether its account exists."""
        if self.accounts is None:
            return pl.lit(value=True)
        return pl.col("account_id").is_in(self.accounts.cast(NAME_DTYPE).implode())

    def apply_filters(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Keep, of rows of the table, those that are asked for; tell when each was known."""
        ours = rows.filter(self.is_known_account())
        if self.since is not None:
            ours = ours.filter(pl.col("day") >= self.since)
        if self.early_accounts is None:
            return ours
        return (
            ours.join(self.early_accounts.lazy(), on="account_id", how="left")
            .with_columns(known_day=pl.max_horizontal("known_day", "created_day"))
            .drop("created_day")
        )

    def _scan_files(self) -> pl.LazyFrame:
        return pl.scan_parquet(list(self.files), glob=False)


class Aggregator(Protocol):
    """Makes one table of the rows of a daily table, on the engine that read the log."""

    def __call__(
        self, table: str, key: Sequence[str], aggregation: Aggregation, *, since: date | None = None
    ) -> pl.DataFrame:
        """Call ``aggregation`` on rows: on all of them, or on as many as fit, all of a key together."""
