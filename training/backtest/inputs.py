"""Inputs of a backtest, prepared once: walk-forward models and weekly snapshots."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from data.config.settings import Settings
from data.errors import HistoryError
from features.panel import builder
from training.backtest import expansions, weekly_rankings
from training.backtest.weekly_rankings import WalkForwardModels
from training.evaluation import splits
from training.pipeline.training_run import TrainingHistory

__all__ = ["BacktestInputs", "prepare_inputs"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BacktestInputs:
    """Everything prepared before the replay.

    Attributes
    ----------
    history : TrainingHistory
        Tables, daily activity, and contracts.
    start : datetime.date
        The first day replayed.
    models : WalkForwardModels or None
        One model per cutoff.
    no_model_reason : str
        Why there is no model, if so.
    weekly_snapshots : polars.DataFrame
        Snapshots as of the day of each weekly list.
    """

    history: TrainingHistory
    start: date
    models: WalkForwardModels | None
    no_model_reason: str
    weekly_snapshots: pl.DataFrame

    def __repr__(self) -> str:
        return (
            f"BacktestInputs(from {self.start}, {self.models!r},"
            f" {self.weekly_snapshots.height:,} snapshots)"
        )

    @property
    def end(self) -> date:
        """The first day not replayed."""
        return self.history.as_of.date()

    @property
    def day_count(self) -> int:
        """Number of days replayed."""
        return (self.end - self.start).days


def prepare_inputs(
    history: TrainingHistory, settings: Settings, *, progress: Progress | None = None
) -> BacktestInputs:
    """Train the walk-forward models and build the snapshots of every week.

    The replay starts with the first model. If the history is too short for one, it starts with the
    first as-of of the panel and only strategies without a model are compared.

    Raises
    ------
    data.errors.HistoryError
        If no day remains whose expansions can be counted.
    """
    models: WalkForwardModels | None = None
    no_model_reason = ""
    start: date = pl.concat(
        [history.panel.snapshots["as_of"], history.panel.excluded["as_of"]]
    ).min()  # type: ignore[assignment]
    try:
        models = weekly_rankings.train_walk_forward_models(
            history.panel.snapshots,
            history.contracts,
            settings,
            progress=_bind_stage(progress, "models"),
        )
        _require_counted_days(models.first_day, history.as_of.date(), settings)
        start = models.first_day
        # The last cutoff may be the as-of itself, after which nothing is replayed.
        models = WalkForwardModels(
            tuple(fold for fold in models.folds if fold.cutoff < history.as_of)
        )
    except HistoryError as error:
        models, no_model_reason = None, str(error)
        _require_counted_days(start, history.as_of.date(), settings)
    as_ofs = [
        splits.to_utc_midnight(day)
        for day in weekly_rankings.list_weekly_dates(start, history.as_of.date())
    ]
    weekly_panel = builder.build_panel(
        history.activity, history.tables, as_ofs, settings, progress=_bind_stage(progress, "weeks")
    )
    return BacktestInputs(history, start, models, no_model_reason, weekly_panel.snapshots)


def _require_counted_days(start: date, end: date, settings: Settings) -> None:
    first = start + timedelta(days=settings.backtest.detection_window_days)
    if first >= (last := expansions.compute_maturity_date(end, settings.outcome)):
        raise HistoryError(
            f"a replay from {start} counts expansions from {first}"
            " (backtest.detection_window_days later), but labels have matured only before"
            f" {last}: no day is left. Set an earlier evaluation.first_as_of, or use a longer"
            " history."
        )


def _bind_stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)
