"""What has to be made of the log, whichever engine makes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from features.kept import Kept
from features.repeats import Span

__all__ = ["DailyTable", "Due", "Named"]

# From rows under contract, and columns to keep besides, to named events.
Named = Callable[..., nw.LazyFrame[Any]]


@dataclass(frozen=True)
class DailyTable:
    """A table that is kept of each partition: what makes it, of what, and its columns.

    Attributes
    ----------
    made : callable
        From named events or from another table, and further columns to group by.
    schema : mapping of str to polars.DataType
        Its columns.
    of : str, optional
        The table that it is made of; of named events by default.
    """

    made: Callable[..., nw.LazyFrame[Any]]
    schema: Mapping[str, pl.DataType]
    of: str | None = None


@dataclass(frozen=True)
class Due:
    """A partition whose tables have to be made.

    Attributes
    ----------
    kept : features.kept.Kept
        Where they are kept.
    span : features.repeats.Span
        The partition.
    others : sequence of features.repeats.Span
        Those that may hold copies of its events.
    has_ids : bool
        Whether any of its events has an id to know copies by.
    """

    kept: Kept
    span: Span
    others: Sequence[Span]
    has_ids: bool
