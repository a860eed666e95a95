"""Writing a file so that nobody ever reads half of it."""

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
    """Write beside a file, then move the finished draft into its place.

    Parameters
    ----------
    file : pathlib.Path
        What to make or replace; its folder is made if need be.
    write : callable
        Writes the path it is given.
    durable : bool
        Whether it must survive a loss of power from the moment that this returns.

    Raises
    ------
    data.errors.DeliveryError
        If the file cannot be written; what stood there before stands there still.
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
            f"{file} could not be written: {_system_message(error, draft)}; free some space or name another"
            " place. What stood there before is unchanged."
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def validate_extension(file: Path) -> None:
    """Refuse a name that :func:`write_table` could not write, before the work is done.

    Raises
    ------
    data.errors.DeliveryError
        If it ends neither in .parquet nor in .csv.
    """
    if file.suffix not in {".parquet", ".csv"}:
        raise DeliveryError(f"{file.name} ends neither in .parquet nor in .csv; name it so.")


def write_table(frame: pl.DataFrame, file: Path) -> None:
    """Write a frame as Parquet or CSV, by the file's ending.

    In a CSV, text that a spreadsheet would take for a formula gets an apostrophe before it.

    Raises
    ------
    data.errors.DeliveryError
        If the ending is another, or the file cannot be written.
    """
    validate_extension(file)
    if file.suffix == ".parquet":
        atomic_write(file, frame.write_parquet, durable=True)
        return
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    flat = frame.with_columns(pl.col(name).list.join("; ") for name in lists)
    texts = [name for name, kind in flat.schema.items() if kind == pl.String]
    safe = flat.with_columns(csv_injection.escape_formula_column(name) for name in texts)
    atomic_write(file, safe.write_csv, durable=True)


def _fsync(path: Path) -> None:
    """Wait until the disk has it."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _system_message(error: OSError | pl.exceptions.ComputeError, draft: Path) -> str:
    """What the system said, without what Polars puts around it."""
    told = getattr(error, "strerror", None) or str(error).rpartition("IO error: ")[2]
    if "thrift" in told:  # the last bytes of a Parquet file fail without saying why: ask again
        try:
            with draft.open("ab") as opened:
                opened.write(b"again")
        except OSError as again:
            told = again.strerror or told
    return re.split(r" \(os error|\n", told)[0]
