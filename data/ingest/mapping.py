"""From a raw frame to rows under contract: our names, our types, and a reason for every other row.

Everything here is lazy and row by row, so that a log larger than memory streams through it.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from data import schemas
from data.errors import ContractError, SettingsError
from data.ingest import casting, timestamps
from data.ingest.casting import ParseErrors, SourceColumn

__all__ = ["MappedTable", "RawTable", "check_columns", "map_table"]

_REASON_COLUMN: Final = "reason"


@dataclass(frozen=True)
class RawTable:
    """One file, query result or frame as it came, before we know what it is worth."""

    name: str
    fingerprint: str
    frame: pl.LazyFrame


@dataclass(frozen=True)
class MappedTable:
    """A frame under our names and types, and what may be wrong with its rows."""

    frame: pl.LazyFrame
    columns: tuple[str, ...]
    rules: tuple[tuple[str, pl.Expr], ...]

    def with_rule(self, reason: str, violated: pl.Expr) -> "MappedTable":
        """Judge the rows by one more rule, after the others."""
        return replace(self, rules=(*self.rules, (reason, violated)))

    def head(self, rows: int) -> "MappedTable":
        """The first rows only."""
        return replace(self, frame=self.frame.head(rows))

    def valid_rows(self) -> pl.LazyFrame:
        """The rows without fault."""
        broken = [fault.fill_null(value=False) for _, fault in self.rules]
        return self.frame.filter(~pl.any_horizontal(broken)).select(self.columns)

    def with_reject_reason(self) -> pl.LazyFrame:
        """Every row under our names, with ``reason``: its first fault, or null."""
        first = pl.coalesce(pl.when(fault).then(pl.lit(why)) for why, fault in self.rules)
        return self.frame.select(*self.columns, first.alias(_REASON_COLUMN))

    def reject_counts(self) -> pl.LazyFrame:
        """Reason → rows, one row of the frame under its first reason only."""
        first = pl.coalesce(pl.when(fault).then(pl.lit(why)) for why, fault in self.rules)
        return (
            self.frame.select(first.alias(_REASON_COLUMN))
            .drop_nulls()
            .group_by(_REASON_COLUMN)
            .agg(pl.len())
        )


def map_table(
    table: str, frame: pl.LazyFrame, mapping: Mapping[str, str], zone: str | None
) -> MappedTable:
    """Put a raw frame under our names and types.

    Parameters
    ----------
    table : str
        One of ``contracts.TABLES``.
    frame : polars.LazyFrame
        As it came; the required columns must be there.
    mapping : mapping of str to str
        Our column name → theirs.
    zone : str or None
        Zone of times stored without one.

    Returns
    -------
    MappedTable
        The contract's columns, null where the frame has none, then for accounts its further
        columns.

    Raises
    ------
    ContractError
        If a column is of a type that cannot hold what its name promises.
    """
    schema = frame.collect_schema()
    typed: list[pl.Expr] = []
    flags: ParseErrors = []
    unreadable: ParseErrors = []
    for name, promised in schemas.TABLES[table].columns().items():
        kind, source = promised.dtype, _find_source_column(table, name, mapping, schema)
        if source is None:
            typed.append(pl.lit(None, dtype=kind).alias(name))
            continue
        column = SourceColumn(table, name, pl.col(source), schema[source])
        value, doubts = _cast_column(column, kind, zone)
        typed.append(value.alias(name))
        flags += doubts
        unreadable += [(why, pl.col(why) & pl.col(name).is_null()) for why, _ in doubts]
    further = _extra_columns(mapping, schema) if table == "accounts" else []
    columns = (
        *schemas.TABLES[table].column_names(),
        *(item.meta.output_name() for item in further),
    )
    return MappedTable(
        frame.select(*typed, *further, *(flag.alias(why) for why, flag in flags)),
        columns,
        (*unreadable, *schemas.validation_rules(table)),
    )


def check_columns(
    table: str, schema_by_file: Mapping[str, pl.Schema], mapping: Mapping[str, str]
) -> None:
    """Refuse a table that lacks a column it must have, or a mapping that leads nowhere.

    Parameters
    ----------
    table : str
        One of ``contracts.TABLES``.
    schema_by_file : mapping of str to polars.Schema
        Of its files; a required column must be in each, a mapped one in any.
    mapping : mapping of str to str
        Our column name → theirs.

    Raises
    ------
    ContractError
        If a column is missing.
    SettingsError
        If the mapping names a column that the table does not have in our words.
    """
    _check_mapping(table, mapping)
    nowhere = [
        name
        for name, source in mapping.items()
        if not any(source in schema for schema in schema_by_file.values())
    ]
    for file, schema in schema_by_file.items():
        required = schemas.REQUIRED_COLUMNS[table]
        missing = [name for name in required if mapping.get(name, name) not in schema]
        missing += [name for name in nowhere if name not in missing]
        if missing:
            named = (f"{n} (mapped to {mapping[n]})" if n in mapping else n for n in missing)
            where = f" in {file}" if len(schema_by_file) > 1 else ""
            raise ContractError(
                f"{table}: missing column(s) {', '.join(named)}{where}; found {', '.join(schema)}."
                f" Map the warehouse's names under [columns.{table}] in expansion.toml."
            )


def _check_mapping(table: str, mapping: Mapping[str, str]) -> None:
    ours = schemas.TABLES[table].column_names()
    for name in mapping:
        if name not in ours and table != "accounts":  # accounts keep any attribute
            near = difflib.get_close_matches(name, ours, n=1, cutoff=0.0)[0]
            raise SettingsError(
                f"[columns.{table}] maps {name}, which is no column of ours. Did you mean {near}?"
                " Our name goes on the left, the warehouse's on the right."
            )


def _find_source_column(
    table: str, name: str, mapping: Mapping[str, str], schema: pl.Schema
) -> str | None:
    if name in mapping or name in schema:
        source = mapping.get(name, name)
        return source if source in schema else None
    return "email" if (table, name) == ("users", "email_domain") and "email" in schema else None


def _cast_column(
    column: SourceColumn, dtype: pl.DataType, zone: str | None
) -> tuple[pl.Expr, ParseErrors]:
    if isinstance(dtype, pl.Datetime):
        return timestamps.parse_timestamps(column, zone)
    if isinstance(dtype, pl.Float64):
        return casting.cast_number(column)
    return casting.cast_text(column), []


def _extra_columns(mapping: Mapping[str, str], schema: pl.Schema) -> list[pl.Expr]:
    """Accounts' own columns, kept for display; an address among them keeps its domain only."""
    ours = schemas.AccountSchema.column_names()
    taken = {mapping.get(name, name) for name in ours} | set(ours)
    named = {source: name for name, source in mapping.items()}
    return [
        (
            casting.redact_emails(pl.col(column))
            if isinstance(dtype, pl.String)
            else pl.col(column)
        ).alias(named.get(column, column))
        for column, dtype in schema.items()
        if column not in taken
    ]
