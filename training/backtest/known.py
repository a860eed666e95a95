"""What a replay rests on, made once: the models of the walk forward, and every week's snapshots."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from data.errors import HistoryError
from data.settings import Settings
from features import panel
from training import splits
from training.backtest import expansions, lists
from training.backtest.lists import Models
from training.pipeline import History

__all__ = ["Known", "known"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Known:
    """What is made once, before anything is replayed.

    Attributes
    ----------
    past : training.pipeline.History
        Tables, daily activity, and contracts.
    start : datetime.date
        The first day replayed.
    models : training.backtest.lists.Models or None
        Those of the walk forward.
    why_none : str
        Why there is no model, where there is none.
    weekly : polars.DataFrame
        Snapshots as of the day of each weekly list.
    """

    past: History
    start: date
    models: Models | None
    why_none: str
    weekly: pl.DataFrame

    def __repr__(self) -> str:
        return f"Known(from {self.start} on, {self.models!r}, {self.weekly.height:,} snapshots)"

    @property
    def end(self) -> date:
        """The first day not replayed."""
        return self.past.as_of.date()

    @property
    def days(self) -> int:
        """Days replayed."""
        return (self.end - self.start).days


def known(past: History, settings: Settings, *, progress: Progress | None = None) -> Known:
    """Train the models of the walk forward, and build the snapshots of every week.

    The replay starts with the first of them; where there is none in time, with the first as-of of
    the panel, and the ways that need no model run alone.

    Raises
    ------
    data.errors.HistoryError
        If no day is left whose expansions could be counted.
    """
    trained: Models | None = None
    why_none = ""
    start: date = pl.concat([past.panel.snapshots["as_of"], past.panel.excluded["as_of"]]).min()  # type: ignore[assignment]
    try:
        trained = lists.models(
            past.panel.snapshots, past.contracts, settings, progress=_stage(progress, "models")
        )
        _refuse_too_short(trained.first, past.as_of.date(), settings)
        start = trained.first
        # The walk's last cut may be the as-of itself, after which nothing is replayed.
        trained = Models(tuple(step for step in trained.steps if step.cut < past.as_of))
    except HistoryError as error:
        trained, why_none = None, str(error)
        _refuse_too_short(start, past.as_of.date(), settings)
    as_ofs = [splits.midnight(day) for day in lists.weeks(start, past.as_of.date())]
    built = panel.build(
        past.activity, past.tables, as_ofs, settings, progress=_stage(progress, "weeks")
    )
    return Known(past, start, trained, why_none, built.snapshots)


def _refuse_too_short(start: date, end: date, settings: Settings) -> None:
    first = start + timedelta(days=settings.backtest.caught_within_days)
    if first >= (last := expansions.settled_days(end, settings.outcome)):
        raise HistoryError(
            f"a replay from {start} on counts expansions from {first} on"
            f" (backtest.caught_within_days later), but they are settled before {last} only: no day"
            " is left. Let evaluation.first_as_of be earlier, or come back with a longer history."
        )


def _stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)
