"""The lists of every week: what the model of the day, and simple columns, said on each Monday."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.settings import Settings
from training import model, splits, walk
from training.walk import Step

__all__ = ["Models", "models", "of_column", "of_models", "weeks"]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Models:
    """The models of a walk forward, each from the cut at which it was trained."""

    steps: tuple[Step[model.Propensity], ...]

    def __repr__(self) -> str:
        cuts = ", ".join(f"{step.cut:%Y-%m-%d}" for step in self.steps)
        return f"Models(trained {cuts})"

    @property
    def first(self) -> date:
        """The first day on which there is a model."""
        return self.steps[0].cut.date()

    def ranked(self, snapshots: pl.DataFrame) -> pl.DataFrame:
        """Score each snapshot by the model that was the last to be trained by then.

        Returns
        -------
        polars.DataFrame
            ``account_id``, ``as_of``, ``score``: the margin, by which the weekly list ranks.
        """
        ends = [step.cut.date() for step in self.steps[1:]] + [date.max]
        parts = []
        for step, end in zip(self.steps, ends, strict=True):
            asked = snapshots.filter(
                pl.col("as_of").is_between(step.cut.date(), end, closed="left")
            )
            margin = step.model.estimate(asked).margin if asked.height else np.zeros(0)
            parts.append(asked.select("account_id", "as_of", score=pl.Series(margin)))
        return pl.concat(parts)


def models(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Models:
    """Train a model at every cut of the walk forward, on what the cut knew.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`.
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    settings : data.settings.Settings
        Outcome, model, and where the cuts are.
    progress : callable, optional
        Told cuts done and cuts in all.

    Raises
    ------
    data.errors.HistoryError
        If none could be trained.
    """
    steps: list[Step[model.Propensity]] = []

    def learn(known: splits.Known, seen: pl.DataFrame | None) -> model.Propensity:
        return walk.learned(known, seen, settings.model, horizon_days=settings.outcome.horizon_days)

    def say(step: Step[model.Propensity]) -> pl.DataFrame:
        steps.append(step)
        return walk.said(step)

    walk.forward(
        snapshots,
        contracts,
        settings,
        learn=learn,
        say=say,
        progress=progress,
    )
    return Models(tuple(steps))


def weeks(start: date, end: date) -> list[date]:
    """The days on which a list is made: the first, and every seventh after it, before the end."""
    return [start + timedelta(days=day) for day in range(0, (end - start).days, 7)]


def of_models(
    trained: Models, snapshots: pl.DataFrame, accounts: pl.Series, start: date, days: int
) -> Array:
    """Score accounts on the days of the lists by the model of the day; see :func:`of_column`."""
    return _placed(trained.ranked(snapshots), accounts, start, days)


def of_column(
    score: pl.Expr, snapshots: pl.DataFrame, accounts: pl.Series, start: date, days: int
) -> Array:
    """Score accounts on the days of the lists by an expression over their snapshots.

    Returns
    -------
    numpy.ndarray, shape (n_accounts, days)
        nan where an account has no snapshot that day, or no value.
    """
    return _placed(snapshots.select("account_id", "as_of", score=score), accounts, start, days)


def _placed(scored: pl.DataFrame, accounts: pl.Series, start: date, days: int) -> Array:
    rows = scored.join(
        pl.DataFrame({"account_id": accounts}).with_row_index("row"), on="account_id"
    ).with_columns(column=(pl.col("as_of") - pl.lit(start)).dt.total_days())
    table = np.full((len(accounts), days), np.nan)
    score = rows["score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    table[rows["row"].to_numpy(), rows["column"].to_numpy()] = score
    return table
