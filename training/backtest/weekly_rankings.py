"""The lists of every week: what the model of the day, and simple columns, said on each Monday."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import Settings
from training.evaluation import splits, walk_forward
from training.evaluation.walk_forward import WalkForwardFold
from training.model import propensity

__all__ = [
    "WalkForwardModels",
    "compute_column_scores",
    "compute_model_scores",
    "list_weekly_dates",
    "train_walk_forward_models",
]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class WalkForwardModels:
    """The models of a walk forward, each from the cut at which it was trained."""

    folds: tuple[WalkForwardFold[propensity.Propensity], ...]

    def __repr__(self) -> str:
        cutoffs = ", ".join(f"{fold.cutoff:%Y-%m-%d}" for fold in self.folds)
        return f"Models(trained {cutoffs})"

    @property
    def first_day(self) -> date:
        """The first day on which there is a model."""
        return self.folds[0].cutoff.date()

    def score_snapshots(self, snapshots: pl.DataFrame) -> pl.DataFrame:
        """Score each snapshot by the model that was the last to be trained by then.

        Returns
        -------
        polars.DataFrame
            ``account_id``, ``as_of``, ``score``: the margin, by which the weekly list ranks.
        """
        ends = [fold.cutoff.date() for fold in self.folds[1:]] + [date.max]
        parts = []
        for step, end in zip(self.folds, ends, strict=True):
            fold_snapshots = snapshots.filter(
                pl.col("as_of").is_between(step.cutoff.date(), end, closed="left")
            )
            margin = (
                step.model.predict(fold_snapshots).margin if fold_snapshots.height else np.zeros(0)
            )
            parts.append(fold_snapshots.select("account_id", "as_of", score=pl.Series(margin)))
        return pl.concat(parts)


def train_walk_forward_models(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> WalkForwardModels:
    """Train a model at every cut of the walk forward, on what the cut knew.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.builder.Panel`.
    contracts : polars.DataFrame
        :func:`features.subscription_timeline.build_timeline`.
    settings : data.config.settings.Settings
        Outcome, model, and where the cuts are.
    progress : callable, optional
        Told cuts done and cuts in all.

    Raises
    ------
    data.errors.HistoryError
        If none could be trained.
    """
    folds: list[WalkForwardFold[propensity.Propensity]] = []

    def fit(
        training_set: splits.TrainingSet, past_predictions: pl.DataFrame | None
    ) -> propensity.Propensity:
        return walk_forward.fit_and_calibrate(
            training_set,
            past_predictions,
            settings.model,
            horizon_days=settings.outcome.horizon_days,
        )

    def predict(fold: WalkForwardFold[propensity.Propensity]) -> pl.DataFrame:
        folds.append(fold)
        return walk_forward.predict_fold(fold)

    walk_forward.run_walk_forward(
        snapshots,
        contracts,
        settings,
        fit=fit,
        predict=predict,
        progress=progress,
    )
    return WalkForwardModels(tuple(folds))


def list_weekly_dates(start: date, end: date) -> list[date]:
    """The days on which a list is made: the first, and every seventh after it, before the end."""
    return [start + timedelta(days=day) for day in range(0, (end - start).days, 7)]


def compute_model_scores(
    models: WalkForwardModels, snapshots: pl.DataFrame, accounts: pl.Series, start: date, days: int
) -> Array:
    """Score accounts on the days of the lists by the model of the day; see :func:`compute_column_scores`."""
    return _scores_to_matrix(models.score_snapshots(snapshots), accounts, start, days)


def compute_column_scores(
    score: pl.Expr, snapshots: pl.DataFrame, accounts: pl.Series, start: date, days: int
) -> Array:
    """Score accounts on the days of the lists by an expression over their snapshots.

    Returns
    -------
    numpy.ndarray, shape (n_accounts, days)
        nan where an account has no snapshot that day, or no value.
    """
    return _scores_to_matrix(
        snapshots.select("account_id", "as_of", score=score), accounts, start, days
    )


def _scores_to_matrix(scored: pl.DataFrame, accounts: pl.Series, start: date, days: int) -> Array:
    rows = scored.join(
        pl.DataFrame({"account_id": accounts}).with_row_index("row"), on="account_id"
    ).with_columns(column=(pl.col("as_of") - pl.lit(start)).dt.total_days())
    matrix = np.full((len(accounts), days), np.nan)
    score = rows["score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    matrix[rows["row"].to_numpy(), rows["column"].to_numpy()] = score
    return matrix
