"""Writing a file so that nobody ever reads half of it."""

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl

from data.errors import DeliveryError

__all__ = ["atomically", "table"]


def atomically(file: Path, write: Callable[[Path], object]) -> None:
    """Write beside a file, then move the finished draft into its place.

    Parameters
    ----------
    file : pathlib.Path
        What to make or replace; its folder is made if need be.
    write : callable
        Writes the path it is given.

    Raises
    ------
    data.errors.DeliveryError
        If the file cannot be written; what stood there before stands there still.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        draft.replace(file)
    except OSError as error:
        raise DeliveryError(
            f"{file} could not be written: {error.strerror or error}; free some space or name"
            " another place. What stood there before is unchanged."
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def table(frame: pl.DataFrame, file: Path) -> None:
    """Write a frame as Parquet or CSV, by the file's ending.

    Raises
    ------
    data.errors.DeliveryError
        If the ending is another, or the file cannot be written.
    """
    if file.suffix == ".parquet":
        atomically(file, frame.write_parquet)
    elif file.suffix == ".csv":
        lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
        flat = frame.with_columns(pl.col(name).list.join("; ") for name in lists)
        atomically(file, flat.write_csv)
    else:
        raise DeliveryError(f"{file.name} ends neither in .parquet nor in .csv; name it so.")
