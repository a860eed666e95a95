"""The folder as a target: one file per kind, read and written as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from data.errors import DeliveryError, SettingsError
from serving.crm.files import cells, manifest, rows, sheets
from serving.crm.files.sheets import Columns, Format, Sheet
from serving.crm.target import (
    Answer,
    Change,
    Denied,
    Fields,
    Finding,
    Found,
    Kind,
    Pace,
    Ref,
    Transient,
    Value,
    Worked,
)
from serving.outbox.objects import FIELDS

if TYPE_CHECKING:
    from data.settings import Settings

__all__ = ["FILES", "Files", "target"]

FILES: Final[Mapping[Kind, str]] = {
    "account": "accounts",
    "opportunity": "opportunities",
    "task": "tasks",
}
_NAMES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "account": ("account_id",),
    "opportunity": ("key", "account_id"),
    "task": ("key", "opportunity", "account_id"),
}
_DONE: Final = "done_on"  # for whoever has done a task


class Files:
    """A folder as a CRM; ``called`` maps our names of fields, per kind, to those in the files."""

    name = "files"
    # A file is read and written as a whole, whatever the number of its rows.
    pace = Pace(rows_per_call=1_000_000)

    def __init__(
        self,
        folder: Path,
        form: Format = "csv",
        called: Mapping[Kind, Mapping[str, str]] | None = None,
    ) -> None:
        self._folder, self._form = folder, form
        self._columns = {kind: _columns(kind, (called or {}).get(kind, {})) for kind in FILES}
        self._failed = False

    def __repr__(self) -> str:
        return f"Files({str(self._folder)!r}, {self._form})"

    def shape(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as a file gives them back: see :mod:`serving.crm.files.cells`."""
        known = self._columns[kind].fields
        return {
            name: cells.plain(value, known[name]) for name, value in fields.items() if name in known
        }

    def read(self, refs: Sequence[Ref]) -> list[Found | None]:
        """Give what stands in the file of their kind; it is read once.

        Raises
        ------
        serving.crm.target.Denied
            If the folder is missing, or a file with rows of ours is: that is no wish to delete
            them all, rather a share that is not mounted.
        """
        if not refs:
            return []
        kind = refs[0].kind
        if any(ref.crm_id for ref in refs) and not self._file(kind).exists():
            raise Denied(
                f"{self._file(kind)} is gone, with rows that were delivered; put it back, or let"
                " `expansion crm setup` make an empty one to have them gone."
            )
        manifest.stand(self._folder)
        sheet, taken = self._load(kind), set[int]()
        return [rows.found(sheet, ref, taken) for ref in refs]

    def write(self, changes: Sequence[Change]) -> list[Answer]:
        """Set cells and add rows in the file of their kind, and put it in place at once.

        Raises
        ------
        serving.crm.target.Transient
            If another writer is at work in the folder.
        serving.crm.target.Denied
            If the folder is missing, the disk is full, or the file is not to be read or written.
        """
        if not changes:
            return []
        kind = changes[0].ref.kind
        try:
            with manifest.locked(self._folder):
                sheet = self._load(kind)
                answers = [rows.put(sheet, change) for change in changes]
                self._save(sheet, kind)
        except (DeliveryError, OSError) as error:
            self._failed = True
            raise Denied(str(error)) from error
        except (Denied, Transient):
            self._failed = True
            raise
        return answers

    def check(self, accounts: Sequence[Ref]) -> list[Finding]:  # noqa: ARG002
        """Look at the folder and at what became of the files; every account has a row here."""
        finding = manifest.look(self._folder)
        return [finding, *(self._look(kind) for kind in FILES)] if finding.well else [finding]

    def setup(self) -> list[str]:
        """Make the folder, and files without rows, from which an importer can be set up."""
        made = []
        if not self._folder.is_dir():
            _make(self._folder)
            made.append(f"the folder {self._folder}")
        missing = [kind for kind in FILES if not self._file(kind).exists()]
        if missing:
            with manifest.locked(self._folder):
                for kind in missing:
                    self._save(Sheet(self._columns[kind], self._form, {}, []), kind)
                    made.append(f"the file {self._file(kind).name}, without rows")
        return made

    def worked(self, since: date) -> list[Worked]:
        """Accounts with a task of ours in whose ``done_on`` somebody has put a day."""
        sheet = self._load("task")
        done = [(row, sheet.text(row, _DONE)) for row in sheet.rows]
        return [
            Worked(sheet.text(row, "account_id"), date.fromisoformat(day), "task done")
            for row, day in done
            if _is_day(day) and date.fromisoformat(day) >= since
        ]

    def close(self) -> None:
        """Say by a manifest that the files are whole, where that is not said already.

        Raises
        ------
        data.errors.DeliveryError
            If it cannot be written.
        """
        if self._failed or not self._folder.is_dir():
            return
        try:
            with suppress(Transient):  # another writer is at work: it will say so
                manifest.seal(self._folder, [self._file(kind) for kind in FILES], self._about)
        except Denied as error:
            raise DeliveryError(str(error)) from error

    def _about(self) -> dict[str, Any]:
        counted = {kind: self._load(kind) for kind in FILES}
        days = (str(day) for day in counted["account"].column("as_of") if day)
        rows = {self._file(kind).name: len(sheet.rows) for kind, sheet in counted.items()}
        return {"as_of": max(days, default=None), "rows": rows}

    def _look(self, kind: Kind) -> Finding:
        name = self._file(kind).name
        try:
            sheet = self._load(kind)
        except Denied as error:
            return Finding(name, False, str(error))
        if sheet.doubled:
            words = "several rows have the same key; delete all but one of each"
            return Finding(name, False, words, tuple(sorted(sheet.doubled))[:3])
        vague = _vague(sheet) if kind == "task" else []
        if vague:
            words = f"{_DONE} holds what is no day; write it as 2026-06-13"
            return Finding(name, False, words, tuple(vague[:3]))
        return Finding(name, True, f"{len(sheet.rows):,} rows")

    def _load(self, kind: Kind) -> Sheet:
        return sheets.load(self._file(kind), self._columns[kind], self._form)

    def _save(self, sheet: Sheet, kind: Kind) -> None:
        sheets.save(
            sheet,
            self._file(kind),
            self._columns[kind],
            self._form,
            before=lambda: manifest.withdraw(self._folder),
        )

    def _file(self, kind: Kind) -> Path:
        return self._folder / f"{FILES[kind]}.{self._form}"


def target(settings: Settings) -> Files:
    """Open the folder that the settings name; it need not be there yet.

    Raises
    ------
    data.errors.SettingsError
        If a name in the mapping is not one of ours, or two columns would have one name.
    """
    rules = settings.crm.files
    folder = settings.base / rules.folder if rules.folder else settings.state_folder / "crm"
    called: dict[Kind, Mapping[str, str]] = {
        "account": rules.accounts,
        "opportunity": rules.opportunities,
        "task": rules.tasks,
    }
    return Files(folder.resolve(), rules.format, called)


def _columns(kind: Kind, called: Mapping[str, str]) -> Columns:
    where, known = f"crm.files.{FILES[kind]}", FIELDS[kind]
    unknown = sorted(set(called) - set(known))
    if unknown:
        raise SettingsError(
            f"{where}: unknown field {unknown[0]!r}; it may name {', '.join(known)}."
        )
    # A field that is called "" is not wanted.
    fields = {name: field for name, field in known.items() if called.get(name) != ""}
    columns = Columns(kind, _NAMES[kind], fields, called, (_DONE,) if kind == "task" else ())
    if len(columns.typed()) < len(_NAMES[kind]) + len(fields) + len(columns.theirs):
        raise SettingsError(f"{where}: two columns would have one name; give each its own.")
    return columns


def _vague(sheet: Sheet) -> list[str]:
    texts = (sheet.text(row, _DONE) for row in sheet.rows)
    return [text for text in texts if text and not _is_day(text)]


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise Denied(
            f"the folder {folder} cannot be made: {error.strerror}; make it yourself, or name"
            " another as crm.files.folder."
        ) from error
