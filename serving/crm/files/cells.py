"""How a value of ours stands in a file, and what a cell of a file says: in CSV and in Parquet.

A cell that somebody wrote into a file and that is no value of its field's type is handed on as the
text it is: it is not ours, and will be left alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from typing import Any, Final

import polars as pl

from data import spreadsheet
from serving.crm.target import Value
from serving.outbox.objects import Field

__all__ = ["POLARS", "csv_cell", "csv_value", "parquet_cell", "parquet_value", "plain"]

POLARS: Final[Mapping[str, Any]] = {
    "text": pl.String,
    "lines": pl.String,
    "number": pl.Float64,
    "whole": pl.Int64,
    "day": pl.Date,
    "flag": pl.Boolean,
}
_FLAGS: Final = {"true": True, "false": False}  # a spreadsheet writes them in capitals
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def plain(value: Value, field: Field) -> Value:
    """Bring a value into the one form in which a file can give it back.

    Text loses what no file of text can hold, a number that is none is empty, and so is empty text.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if field.type in {"text", "lines"}:
        text = str(value)
        if text.isprintable():  # most are: this is only faster
            return text or None
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        return _UNSEEN.sub("", lines).encode("utf-8", "replace").decode() or None
    return _TYPES[field.type](value)


def csv_cell(value: Value) -> str:
    """Write a value as the text of a CSV cell; text that looks like a formula is guarded."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return spreadsheet.guarded(value) if isinstance(value, str) else repr(value)


def csv_value(cell: str, field: Field) -> Value:
    """Read the text of a CSV cell as what its field holds, else as the text it is."""
    if not cell:
        return None
    if field.type in {"text", "lines"}:
        return plain(spreadsheet.bare(cell), field)
    with suppress(ValueError, KeyError, OverflowError):
        return _READ[field.type](cell.strip())
    return cell


def parquet_cell(value: Value, field: Field) -> object:
    """Write a value as Parquet's own type."""
    if field.type == "day" and isinstance(value, str):
        return date.fromisoformat(value)
    return value


def parquet_value(cell: Any, field: Field) -> Value:  # noqa: ANN401 - what Polars gives
    """Read a Parquet value: days as ISO dates, empty text and a number that is none as empty."""
    return plain(cell.isoformat() if isinstance(cell, date) else cell, field)


def _day(value: object) -> str:
    return date.fromisoformat(str(value)).isoformat()


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _whole(text: str) -> int:
    value = float(text)
    if value != int(value):
        raise ValueError(text)
    return int(text) if text.lstrip("+-").isdigit() else int(value)


_TYPES: Final[Mapping[str, Callable[[Any], Value]]] = {
    "number": float,
    "whole": int,
    "day": _day,
    "flag": bool,
}
_READ: Final[Mapping[str, Callable[[str], Value]]] = {
    "number": _finite,
    "whole": _whole,
    "day": _day,
    "flag": lambda text: _FLAGS[text.lower()],
}
