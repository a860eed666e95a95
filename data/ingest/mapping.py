"""Column mapping: rename columns, cast types and flag invalid rows.

Everything is lazy and row by row, so a log larger than memory can be streamed.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from data import schemas
from data.errors import ContractError, SettingsError
from data.ingest import casting, timestamps
from data.ingest.casting import ParseErrors, SourceColumn

__all__ = ["MappedTable", "RawTable", "check_columns", "map_table"]


@dataclass(frozen=True)
class RawTable:
    """One file, query result or frame before mapping and validation."""

    name: str
    fingerprint: str
    frame: pl.LazyFrame


@dataclass(frozen=True)
class MappedTable:
    """A frame with mapped and cast columns, and the validation rules for its rows."""

    frame: pl.LazyFrame
    columns: tuple[str, ...]
    rules: tuple[tuple[str, pl.Expr], ...]

    def with_rule(self, reason: str, violated: pl.Expr) -> "MappedTable":
        """Add a validation rule after the existing ones."""
        return replace(self, rules=(*self.rules, (reason, violated)))

    def head(self, rows: int) -> "MappedTable":
        """Return only the first rows."""
        return replace(self, frame=self.frame.head(rows))

    def valid_rows(self) -> pl.LazyFrame:
        """Return the rows that violate no rule."""
        violations = [mask.fill_null(value=False) for _, mask in self.rules]
        return self.frame.filter(~pl.any_horizontal(violations)).select(self.columns)

    def with_reject_reason(self) -> pl.LazyFrame:
        """Return every row with ``reason``: the first violated rule, or null."""
        first_reason = pl.coalesce(
            pl.when(mask).then(pl.lit(reason)) for reason, mask in self.rules
        )
        return self.frame.select(*self.columns, first_reason.alias("reason"))

    def count_rejects(self) -> dict[str, int]:
        """Return rows per reject reason, sorted; a row counts under its first reason only."""
        reasons = self.with_reject_reason().select("reason").drop_nulls()
        counts = reasons.group_by("reason").agg(pl.len()).collect(engine="streaming")
        return dict(sorted(counts.iter_rows()))


def map_table(
    table: str, frame: pl.LazyFrame, mapping: Mapping[str, str], zone: str | None
) -> MappedTable:
    """Map a raw frame, which has the required columns, to the schema's column names and types.

    Columns that the frame lacks are null; for accounts, extra columns follow. ``mapping`` is schema
    column name → source column name, ``zone`` the time zone of naive timestamps.

    Raises ``ContractError`` if a column has a type that cannot be cast.
    """
    schema = frame.collect_schema()
    casts: list[pl.Expr] = []
    flags: ParseErrors = []
    parse_errors: ParseErrors = []
    for name, field in schemas.TABLES[table].columns().items():
        dtype, source = field.dtype, _find_source_column(table, name, mapping, schema)
        if source is None:
            casts.append(pl.lit(None, dtype=dtype).alias(name))
            continue
        column = SourceColumn(table, name, pl.col(source), schema[source])
        value, errors = _cast_column(column, dtype, zone)
        casts.append(value.alias(name))
        flags += errors
        parse_errors += [(reason, pl.col(reason) & pl.col(name).is_null()) for reason, _ in errors]
    extra = _extra_columns(mapping, schema) if table == "accounts" else []
    columns = (
        *schemas.TABLES[table].column_names(),
        *(item.meta.output_name() for item in extra),
    )
    return MappedTable(
        frame.select(*casts, *extra, *(flag.alias(reason) for reason, flag in flags)),
        columns,
        (*parse_errors, *schemas.build_validation_rules(table)),
    )


def check_columns(
    table: str, schema_by_file: Mapping[str, pl.Schema], mapping: Mapping[str, str]
) -> None:
    """Raise if a required column is missing in a file, or a mapped column in all files.

    Raises ``ContractError`` if a column is missing. Raises ``SettingsError`` if the mapping names a
    column that the schema does not have.
    """
    _check_mapping(table, mapping)
    unmatched = [
        name
        for name, source in mapping.items()
        if not any(source in schema for schema in schema_by_file.values())
    ]
    for file, schema in schema_by_file.items():
        required = schemas.REQUIRED_COLUMNS[table]
        missing = [name for name in required if mapping.get(name, name) not in schema]
        missing += [name for name in unmatched if name not in missing]
        if missing:
            labels = (f"{n} (mapped to {mapping[n]})" if n in mapping else n for n in missing)
            location = f" in {file}" if len(schema_by_file) > 1 else ""
            raise ContractError(
                f"{table}: missing column(s) {', '.join(labels)}{location}; found"
                f" {', '.join(schema)}. Map the warehouse's names under [columns.{table}] in"
                " expansion.toml."
            )


def _check_mapping(table: str, mapping: Mapping[str, str]) -> None:
    schema_columns = schemas.TABLES[table].column_names()
    for name in mapping:
        if name not in schema_columns and table != "accounts":  # accounts keep any attribute
            closest = difflib.get_close_matches(name, schema_columns, n=1, cutoff=0.0)[0]
            raise SettingsError(
                f"[columns.{table}] maps {name}, which is not a column of the schema. Did you mean"
                f" {closest}? The schema's name goes on the left, the warehouse's on the right."
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
    """Return the accounts' extra columns, for display; e-mail addresses keep only the domain."""
    schema_columns = schemas.AccountSchema.column_names()
    mapped = {mapping.get(name, name) for name in schema_columns} | set(schema_columns)
    name_by_source = {source: name for name, source in mapping.items()}
    return [
        (
            casting.redact_emails(pl.col(column))
            if isinstance(dtype, pl.String)
            else pl.col(column)
        ).alias(name_by_source.get(column, column))
        for column, dtype in schema.items()
        if column not in mapped
    ]
