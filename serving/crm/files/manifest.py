"""What tells an importer that the files of a folder are whole, and keeps two writers apart."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from data import writing
from serving.crm.target import Denied, Finding, Transient

__all__ = ["MANIFEST", "locked", "look", "seal", "stand", "withdraw"]

MANIFEST: Final = "manifest.json"
_LOCK: Final = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other writers out of a folder; a writer that dies lets go of it.

    Raises
    ------
    serving.crm.target.Transient
        If another writer is in it.
    serving.crm.target.Denied
        If the folder is missing, or nothing can be written there.
    """
    stand(folder)
    try:
        opened = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise Denied(
            f"nothing can be written into {folder}: {error.strerror}; give this user the right, or"
            " name another as crm.files.folder."
        ) from error
    try:
        _hold(opened, folder)
        _sweep(folder)
        yield
    finally:
        os.close(opened)


def stand(folder: Path) -> None:
    """Refuse a folder that is not there.

    Raises
    ------
    serving.crm.target.Denied
        If it is not.
    """
    if not folder.is_dir():
        raise Denied(
            f"the folder {folder} is not there; `expansion crm setup` makes it, unless a share is"
            " to be mounted first."
        )


def withdraw(folder: Path) -> None:
    """Take the manifest away before a file changes."""
    (folder / MANIFEST).unlink(missing_ok=True)


def seal(folder: Path, files: Sequence[Path], about: Callable[[], Mapping[str, Any]]) -> None:
    """Write the manifest where it is missing and the files are there.

    Raises
    ------
    data.errors.DeliveryError
        If it cannot be written.
    """
    manifest = folder / MANIFEST
    if manifest.exists() or not any(file.exists() for file in files):
        return
    with locked(folder):
        told = about()
        rows = told["rows"]
        content = {
            "as_of": told["as_of"],
            "files": {
                file.name: {"rows": rows[file.name], **_sum(file)}
                for file in files
                if file.exists()
            },
        }
        text = json.dumps(content, indent=2) + "\n"
        writing.atomically(manifest, lambda draft: draft.write_text(text), durable=True)


def look(folder: Path) -> Finding:
    """Say whether a folder is there, and can be written to."""
    if not folder.is_dir():
        return Finding("folder", False, f"{folder} is not there; `expansion crm setup` makes it")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("folder", False, f"{folder} cannot be written to by this user")
    return Finding("folder", True, str(folder))


def _hold(opened: int, folder: Path) -> None:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Transient(f"another writer is at work in {folder}") from error


def _sweep(folder: Path) -> None:
    """Drop the drafts of writers that died; we hold the lock, so none is being written."""
    for draft in folder.glob(".*.draft"):
        draft.unlink(missing_ok=True)


def _sum(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
