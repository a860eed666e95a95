"""One-way export of accounts, opportunities and tasks to CSV or Parquet files.

The application database holds the last exported value of every field. Nothing is read back from
the files: the next export overwrites edits made in them. See docs/guides/files.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl
import sqlalchemy as sa

from data.io import atomic
from serving import store
from serving.delivery.crm import base
from serving.delivery.crm.fields import FIELDS, normalize_fields, parse_account_id
from serving.store.schema import APPLIED_OBJECTS

if TYPE_CHECKING:
    from data.config.settings import Settings

__all__ = ["FilesTarget", "create_target"]

_FILES: Final[Mapping[base.Kind, str]] = {
    "account": "accounts",
    "opportunity": "opportunities",
    "task": "tasks",
}
_TYPES: Final[Mapping[str, Any]] = {
    "text": pl.String,
    "multiline": pl.String,
    "number": pl.Float64,
    "integer": pl.Int64,
    "date": pl.String,  # ISO text, parsed when the frame is complete
    "boolean": pl.Boolean,
}


class FilesTarget:
    """Folder with one file per kind of object: a :class:`serving.delivery.crm.base.CrmTarget`.

    A change counts as applied once it is in its file. The rows of a file are the applied objects
    in the application database, with the changes of the current call applied.
    """

    name = "files"
    rate_limit = base.RateLimit(rows_per_call=1_000_000)  # every call writes a whole file

    def __init__(self, engine: sa.Engine, folder: Path, suffix: Literal["csv", "parquet"]) -> None:
        self._engine, self._folder, self._suffix = engine, folder, suffix

    def __repr__(self) -> str:
        return f"FilesTarget({str(self._folder)!r}, {self._suffix})"

    def normalize(self, kind: base.Kind, fields: base.Fields) -> dict[str, base.Value]:
        """Return the values as the files hold them."""
        return normalize_fields(kind, fields)

    def read(self, refs: Sequence[base.ObjectRef]) -> list[base.RemoteObject | None]:
        """Return the last exported values; the files themselves are not read."""
        rows = self._load_rows(refs[0].kind)
        return [
            base.RemoteObject(ref.key, rows[ref.key]) if ref.key in rows else None for ref in refs
        ]

    def write(self, changes: Sequence[base.FieldChange]) -> list[base.WriteResult]:
        """Apply changes to the exported rows and replace the file of their kind.

        Raises
        ------
        data.errors.DeliveryError
            If the file cannot be written; the previous file is unchanged then.
        """
        kind = changes[0].ref.kind
        rows = self._load_rows(kind)
        for change in changes:
            rows.setdefault(change.ref.key, {}).update(change.fields)
        self._write_file(kind, rows)
        return [base.Applied(change.ref.key) for change in changes]

    def preflight(self, accounts: Sequence[base.ObjectRef]) -> list[base.PreflightCheck]:  # noqa: ARG002
        """Check that the folder is writable and that no exported file is missing."""
        is_usable, message = True, f"{self._folder} is writable"
        if not self._folder.is_dir():
            message = f"{self._folder} is created by the first export"
        elif not os.access(self._folder, os.W_OK | os.X_OK):
            is_usable = False
            message = f"{self._folder} is not writable; change its permissions or crm.files.folder"
        folder = base.PreflightCheck("folder", is_usable, message)
        read_back = base.PreflightCheck(
            "edits", True, "not read back; the next export overwrites them"
        )
        return [folder, read_back, *(self._check_file(kind) for kind in FIELDS)]

    def provision(self) -> list[str]:
        """Write the files that are missing, with all rows that were exported before."""
        created = []
        for kind in FIELDS:
            if not self._get_path(kind).exists():
                rows = self._load_rows(kind)
                self._write_file(kind, rows)
                created.append(f"the file {self._get_path(kind)}, {len(rows):,} rows")
        return created

    def fetch_human_touches(self, since: date) -> list[base.HumanTouch]:  # noqa: ARG002
        """Return nothing: what people do with the files is not read."""
        return []

    def close(self) -> None:
        """Close the database connections."""
        self._engine.dispose()

    def _load_rows(self, kind: base.Kind) -> dict[str, dict[str, base.Value]]:
        """Return key → fields of every exported object; one without fields was never exported."""
        query = sa.select(APPLIED_OBJECTS.c.key, APPLIED_OBJECTS.c.fields).where(
            APPLIED_OBJECTS.c.target == self.name, APPLIED_OBJECTS.c.kind == kind
        )
        with store.read_transaction(self._engine) as connection:
            rows = {row.key: dict(row.fields) for row in connection.execute(query)}
        return {key: fields for key, fields in rows.items() if fields}

    def _write_file(self, kind: base.Kind, rows: Mapping[str, base.Fields]) -> None:
        keys = ("account_id",) if kind == "account" else ("key", "account_id")
        types = {name: _TYPES[field.type] for name, field in FIELDS[kind].items()}
        days = [name for name, field in FIELDS[kind].items() if field.type == "date"]
        records = [
            {
                "key": key,
                "account_id": key if kind == "account" else parse_account_id(key),
                **rows[key],
            }
            for key in sorted(rows)
        ]
        frame = pl.DataFrame(records, schema={**dict.fromkeys(keys, pl.String), **types})
        atomic.write_table(frame.with_columns(pl.col(days).str.to_date()), self._get_path(kind))

    def _check_file(self, kind: base.Kind) -> base.PreflightCheck:
        file, count = self._get_path(kind), len(self._load_rows(kind))
        if count and not file.exists():
            message = (
                f"missing, with {count:,} exported rows; `expansion crm setup` writes it again"
            )
            return base.PreflightCheck(file.name, False, message)
        return base.PreflightCheck(file.name, True, f"{count:,} rows")

    def _get_path(self, kind: base.Kind) -> Path:
        return self._folder / f"{_FILES[kind]}.{self._suffix}"


def create_target(settings: Settings) -> FilesTarget:
    """Open the export folder of the settings and the application database.

    Raises
    ------
    data.errors.DeliveryError
        If the database cannot be opened.
    """
    config = settings.crm.files
    folder = settings.base / config.folder if config.folder else settings.state_folder / "crm"
    return FilesTarget(store.open_engine(settings.database_url), folder.resolve(), config.format)
