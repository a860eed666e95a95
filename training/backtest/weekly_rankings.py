"""Weekly rankings: scores of walk-forward models and of single columns on each list day."""

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
    """The models of a walk-forward validation, each in use from its cutoff."""

    folds: tuple[WalkForwardFold[propensity.Propensity], ...]

    def __repr__(self) -> str:
        cutoffs = ", ".join(f"{fold.cutoff:%Y-%m-%d}" for fold in self.folds)
        return f"WalkForwardModels(trained {cutoffs})"

    @property
    def first_day(self) -> date:
        """The first day on which there is a model."""
        return self.folds[0].cutoff.date()

    def score_snapshots(self, snapshots: pl.DataFrame) -> pl.DataFrame:
        """Score each snapshot by the latest model trained by then.

        Returns
        -------
        polars.DataFrame
            ``account_id``, ``as_of``, ``score``: the margin that ranks the weekly list.
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
    """Train a model at every cutoff of the walk-forward validation on the data known then.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a panel.
    contracts : polars.DataFrame
        The subscription timeline.
    settings : Settings
        Outcome, model, and cutoffs.
    progress : callable, optional
        Called with the cutoffs done and the total number of cutoffs.

    Raises
    ------
    data.errors.HistoryError
        If no model could be trained.
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
    """Return the list days: the first day and every seventh after it, before the end."""
    return [start + timedelta(days=day) for day in range(0, (end - start).days, 7)]


def compute_model_scores(
    models: WalkForwardModels, snapshots: pl.DataFrame, accounts: pl.Series, start: date, days: int
) -> Array:
    """Score accounts on the list days by the model in use; see :func:`compute_column_scores`."""
    return _scores_to_matrix(models.score_snapshots(snapshots), accounts, start, days)


def compute_column_scores(
    score: pl.Expr, snapshots: pl.DataFrame, accounts: pl.Series, start: date, days: int
) -> Array:
    """Score accounts on the list days by an expression over their snapshots.

    Returns
    -------
    numpy.ndarray, shape (n_accounts, days)
        NaN if an account has no snapshot that day, or no value.
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
