"""Atomic file writes: readers never see a partial file."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import get_ident

import polars as pl

from data.errors import DeliveryError
from data.io import csv_injection

__all__ = ["atomic_write", "validate_extension", "write_table"]


def atomic_write(file: Path, write: Callable[[Path], object], *, durable: bool = False) -> None:
    """Write a temporary file next to the target, then rename it into place.

    Raises ``DeliveryError`` if the file cannot be written; the previous content is unchanged.

    Parameters
    ----------
    file : pathlib.Path
        File to create or replace; its folder is created if necessary.
    write : callable
        Writes the path it receives.
    durable : bool
        Whether to fsync, so that the file survives a power loss after this call returns.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}-{get_ident()}.draft")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        if durable:
            _fsync(draft)
        draft.replace(file)
        if durable:
            _fsync(file.parent)
    except (OSError, pl.exceptions.ComputeError) as error:
        raise DeliveryError(
            f"{file} could not be written: {_system_message(error, draft)}; free some space or use"
            " another folder. The previous content is unchanged."
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def validate_extension(file: Path) -> None:
    """Raise if :func:`write_table` does not support the file's extension, before work is done.

    Raises ``DeliveryError`` if the extension is neither .parquet nor .csv.
    """
    if file.suffix not in {".parquet", ".csv"}:
        raise DeliveryError(f"{file.name} has an unsupported extension; expected .parquet or .csv.")


def write_table(frame: pl.DataFrame, file: Path) -> None:
    """Write a frame as Parquet or CSV, by the file's extension.

    In a CSV, text that a spreadsheet would evaluate as a formula is escaped.

    Raises ``DeliveryError`` if the extension is not supported, or the file cannot be written.
    """
    validate_extension(file)
    if file.suffix == ".parquet":
        atomic_write(file, frame.write_parquet, durable=True)
        return
    list_columns = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    flat = frame.with_columns(pl.col(name).list.join("; ") for name in list_columns)
    text_columns = [name for name, dtype in flat.schema.items() if dtype == pl.String]
    escaped = flat.with_columns(csv_injection.escape_formula_column(name) for name in text_columns)
    atomic_write(file, escaped.write_csv, durable=True)


def _fsync(path: Path) -> None:
    """Flush a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _system_message(error: OSError | pl.exceptions.ComputeError, draft: Path) -> str:
    """Return the system's error message, without Polars' wrapping."""
    message = getattr(error, "strerror", None) or str(error).rpartition("IO error: ")[2]
    # A failed write of the Parquet footer does not state its cause: write again to get it.
    if "thrift" in message:
        try:
            with draft.open("ab") as file:
                file.write(b"again")
        except OSError as retry_error:
            message = retry_error.strerror or message
    return re.split(r" \(os error|\n", message)[0]
