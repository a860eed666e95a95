"""A table that people and importers share with us, in one file: as it stands, and as we leave it.

Columns and rows that are not ours stay as they are. Ours stand first, sorted, so that the same
content is the same bytes, in whatever order it came about.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from data import writing
from serving.crm.files import cells
from serving.crm.target import Denied, Fields, Kind, Value
from serving.outbox.objects import Field

__all__ = ["TEXT", "Columns", "Format", "Sheet", "load", "save"]

Format = Literal["csv", "parquet"]
TEXT: Final = Field("text", "")
_DAY: Final = Field("day", "")


@dataclass(frozen=True)
class Columns:
    """What one kind of object is written as.

    Attributes
    ----------
    kind : {"account", "opportunity", "task"}
        What a row is.
    names : tuple of str
        Columns that say which object a row is: the first is its key, the last its account.
    fields : mapping of str to Field
        The fields that are carried, under our names.
    called : mapping of str to str
        What a field's column is called in the file, where not by our name.
    theirs : tuple of str
        Columns of days that we make and people fill.
    """

    kind: Kind
    names: tuple[str, ...]
    fields: Mapping[str, Field]
    called: Mapping[str, str]
    theirs: tuple[str, ...] = ()

    def column(self, name: str) -> str:
        """What the column of a field is called in the file."""
        return self.called.get(name, name)

    def typed(self) -> dict[str, Field]:
        """All columns of ours, in order, and what each holds."""
        named = {name: TEXT for name in self.names}
        ours = {self.column(name): field for name, field in self.fields.items()}
        return named | ours | dict.fromkeys(self.theirs, _DAY)


class Sheet:
    """Rows of one kind, cell by cell, as they stand in the file."""

    def __init__(
        self, columns: Columns, form: Format, names: Mapping[str, Any], rows: list[dict[str, Any]]
    ) -> None:
        self._columns, self._form = columns, form
        self.key = columns.names[0]
        self._typed = columns.typed()
        self.others = {name: kind for name, kind in names.items() if name not in self._typed}
        self.rows = rows
        self.doubled: set[str] = set()
        self._by_key: dict[str, dict[str, Any]] = {}
        self._unkeyed: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            self._enter(row)

    def __repr__(self) -> str:
        return f"Sheet({len(self.rows):,} rows of {self._columns.kind})"

    def row(self, key: str | None) -> dict[str, Any] | None:
        """The row of a key; where somebody has copied it, the first."""
        return self._by_key.get(key) if key else None

    def unkeyed(self, account_id: str) -> list[dict[str, Any]]:
        """The rows of an account that somebody else has made: those without a key."""
        return self._unkeyed.get(account_id, [])

    def add(self, key: str) -> dict[str, Any]:
        """Make an empty row with a key."""
        row: dict[str, Any] = {}
        self.rows.append(row)
        self.claim(row, key)
        return row

    def claim(self, row: dict[str, Any], key: str) -> None:
        """Put our key on a row that has none."""
        self.put(row, self.key, key)
        self._by_key[key] = row

    def text(self, row: Mapping[str, Any], name: str) -> str:
        """What a column of text says in a row; empty where it says nothing."""
        value = self._value(row.get(name), self._typed[name])
        return "" if value is None else str(value)

    def fields(self, row: Mapping[str, Any]) -> dict[str, Value]:
        """The values of all fields that are carried, under our names."""
        return {
            name: self._value(row.get(self._columns.column(name)), field)
            for name, field in self._columns.fields.items()
        }

    def column(self, name: str) -> Iterator[Value]:
        """The values of one field, row by row; none where it is not carried."""
        if name in self._columns.fields:
            column, field = self._columns.column(name), self._columns.fields[name]
            yield from (self._value(row.get(column), field) for row in self.rows)

    def set(self, row: dict[str, Any], fields: Fields) -> None:
        """Set fields, given under our names."""
        for name, value in fields.items():
            if name in self._columns.fields:
                self.put(row, self._columns.column(name), value)

    def put(self, row: dict[str, Any], column: str, value: Value) -> None:
        """Set one cell."""
        field = self._typed[column]
        kept = cells.plain(value, field)
        is_text = self._form == "csv"
        row[column] = cells.csv_cell(kept) if is_text else cells.parquet_cell(kept, field)

    def sorted(self) -> list[dict[str, Any]]:
        """All rows, by account and key; those without a key last, as they stand."""
        names = self._columns.names

        def place(row: Mapping[str, Any]) -> tuple[bool, str, str]:
            key = self.text(row, names[0])
            return not key, self.text(row, names[-1]) if key else "", key

        return sorted(self.rows, key=place)

    def _enter(self, row: dict[str, Any]) -> None:
        key = self.text(row, self.key)
        if key in self._by_key:
            self.doubled.add(key)
        elif key:
            self._by_key[key] = row
        else:
            account_id = self.text(row, self._columns.names[-1])
            self._unkeyed.setdefault(account_id, []).append(row)

    def _value(self, cell: Any, field: Field) -> Value:  # noqa: ANN401 - what the file holds
        if cell is None:
            return None
        return (
            cells.csv_value(cell, field)
            if self._form == "csv"
            else cells.parquet_value(cell, field)
        )


def load(file: Path, columns: Columns, form: Format) -> Sheet:
    """Read a file as it stands; one that is not there has no rows.

    Raises
    ------
    serving.crm.target.Denied
        If it cannot be read, or is no longer such a table.
    """
    try:
        names, rows = (_load_csv if form == "csv" else _load_parquet)(file, columns)
    except FileNotFoundError:
        return Sheet(columns, form, {}, [])
    except (OSError, ValueError, csv.Error, pl.exceptions.PolarsError) as error:
        told = str(error).strip().partition("\n")[0]
        raise Denied(
            f"{file} cannot be read: {told}; mend it, or put an older copy back."
        ) from error
    missing = [name for name in columns.names if name not in names]
    if missing:
        raise Denied(
            f"{file} has no column {missing[0]!r}, by which its rows are known (found:"
            f" {', '.join(list(names)[:5]) or 'none'}); put it back."
        )
    return Sheet(columns, form, names, rows)


def save(
    sheet: Sheet, file: Path, columns: Columns, form: Format, *, before: Callable[[], object]
) -> None:
    """Put a file in place, whole, and on the disk when this returns; one that differs not, stays.

    ``before`` is called before a file changes.

    Raises
    ------
    data.errors.DeliveryError
        If it cannot be written; what stood there stands there still.
    """
    typed, rows = columns.typed(), sheet.sorted()
    names = [*typed, *sheet.others]
    if form == "csv":
        content = _csv_bytes(names, rows)
        if not _holds(file, content):
            before()
            writing.atomically(file, lambda draft: draft.write_bytes(content), durable=True)
        return
    types = {name: cells.POLARS[field.type] for name, field in typed.items()} | sheet.others
    frame = pl.DataFrame(
        [pl.Series(name, [row.get(name) for row in rows], dtype=types[name]) for name in names]
    )
    if not _same(file, frame):
        before()
        writing.atomically(file, frame.write_parquet, durable=True)


def _load_csv(file: Path, columns: Columns) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:  # noqa: ARG001
    with file.open(encoding="utf-8-sig", newline="") as opened:
        lines = csv.reader(opened, strict=True)
        names = next(lines, [])
        if len(set(names)) < len(names):
            raise ValueError("two of its columns have the same name")
        rows = []
        for line in lines:
            if not any(line):
                continue
            if len(line) != len(names):
                raise ValueError(
                    f"expected {len(names)} cells in line {lines.line_num}, found {len(line)}"
                )
            rows.append(dict(zip(names, line, strict=True)))
    return dict.fromkeys(names), rows


def _load_parquet(file: Path, columns: Columns) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    with file.open("rb") as opened:
        frame = pl.read_parquet(opened)
    for name, field in columns.typed().items():
        if name in frame.columns:
            frame = frame.with_columns(pl.col(name).cast(cells.POLARS[field.type]))
    return dict(frame.schema), frame.rows(named=True)


def _csv_bytes(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    lines = csv.writer(text)  # RFC 4180: lines end with CR LF, and a cell with a line end is quoted
    lines.writerow(names)
    lines.writerows([row.get(name, "") for name in names] for row in rows)
    return text.getvalue().encode()


def _holds(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


def _same(file: Path, frame: pl.DataFrame) -> bool:
    """Whether a Parquet file says the same already; its bytes may be another version's."""
    if not file.is_file():
        return False
    standing = pl.read_parquet(file)
    return standing.schema == frame.schema and standing.equals(frame)
