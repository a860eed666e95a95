"""Inputs of a backtest, prepared once: walk-forward models and the snapshots of every week."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from data.config.settings import Settings
from data.errors import HistoryError
from features.panel import builder
from training.backtest import expansions
from training.backtest.strategies import WEEK_DAYS
from training.evaluation import splits, walk_forward
from training.evaluation.walk_forward import WalkForwardFold
from training.model.propensity import Propensity
from training.pipeline.training_run import ProgressCallback, TrainingHistory, bind_stage

__all__ = ["BacktestInputs", "prepare_inputs"]

Folds = tuple[WalkForwardFold[Propensity], ...]


@dataclass(frozen=True, repr=False)
class BacktestInputs:
    """Everything prepared before the replay, from its first day on.

    There is one model per cutoff, in use from its cutoff; none, and the reason, if the history is
    too short. Weekly snapshots are as of the day of each weekly list.
    """

    history: TrainingHistory
    start: date
    folds: Folds
    no_model_reason: str
    weekly_snapshots: pl.DataFrame

    @property
    def end(self) -> date:
        """The first day not replayed."""
        return self.history.as_of.date()

    @property
    def day_count(self) -> int:
        """Number of days replayed."""
        return (self.end - self.start).days

    def compute_model_scores(self) -> pl.DataFrame:
        """Score each weekly snapshot by the latest model trained by then.

        The columns are ``account_id``, ``as_of`` and ``score``, the margin that ranks the list.
        """
        ends = [fold.cutoff.date() for fold in self.folds[1:]] + [date.max]
        parts = []
        for fold, end in zip(self.folds, ends, strict=True):
            snapshots = self.weekly_snapshots.filter(
                pl.col("as_of").is_between(fold.cutoff.date(), end, closed="left")
            )
            margin = fold.model.predict(snapshots).margin if snapshots.height else np.zeros(0)
            parts.append(snapshots.select("account_id", "as_of", score=pl.Series(margin)))
        return pl.concat(parts)


def prepare_inputs(
    history: TrainingHistory, settings: Settings, *, progress: ProgressCallback | None = None
) -> BacktestInputs:
    """Train the walk-forward models and build the snapshots of every week.

    The replay starts with the first model. If the history is too short for one, it starts with the
    first as-of of the panel and only strategies without a model are compared.

    Raises
    ------
    data.errors.HistoryError
        If no day remains whose expansions can be counted.
    """
    end = history.as_of.date()
    folds: Folds = ()
    no_model_reason = ""
    try:
        trained = _train_models(history, settings, progress)
        start = trained[0].cutoff.date()
        _require_counted_days(start, end, settings)
        # The last cutoff may be the as-of itself, after which nothing is replayed.
        folds = tuple(fold for fold in trained if fold.cutoff < history.as_of)
    except HistoryError as error:
        no_model_reason = str(error)
        panel = history.panel
        start = pl.concat([panel.snapshots["as_of"], panel.excluded["as_of"]]).min()  # type: ignore[assignment]
        _require_counted_days(start, end, settings)
    list_days = range(0, (end - start).days, WEEK_DAYS)
    weekly_panel = builder.build_panel(
        history.activity,
        history.tables,
        [splits.to_utc_midnight(start + timedelta(days=day)) for day in list_days],
        settings,
        progress=bind_stage(progress, "weeks"),
    )
    return BacktestInputs(history, start, folds, no_model_reason, weekly_panel.snapshots)


def _train_models(
    history: TrainingHistory, settings: Settings, progress: ProgressCallback | None
) -> Folds:
    """Train a model at every cutoff of the walk-forward validation on the data known then."""
    folds: list[WalkForwardFold[Propensity]] = []

    def predict(fold: WalkForwardFold[Propensity]) -> pl.DataFrame:
        folds.append(fold)
        return walk_forward.predict_fold(fold)

    walk_forward.run_walk_forward(
        history.panel.snapshots,
        history.contracts,
        settings.evaluation,
        settings.outcome,
        fit=lambda training_set, past_predictions: walk_forward.fit_and_calibrate(
            training_set,
            past_predictions,
            settings.model,
            horizon_days=settings.outcome.horizon_days,
        ),
        predict=predict,
        progress=bind_stage(progress, "models"),
    )
    return tuple(folds)


def _require_counted_days(start: date, end: date, settings: Settings) -> None:
    first = start + timedelta(days=settings.backtest.detection_window_days)
    if first >= (last := expansions.compute_maturity_date(end, settings.outcome)):
        raise HistoryError(
            f"a replay from {start} counts expansions from {first}"
            " (backtest.detection_window_days later), but labels have matured only before"
            f" {last}: no day is left. Set an earlier evaluation.first_as_of, or use a longer"
            " history."
        )
