"""Walk-forward validation: at each cutoff, fit on data known by then and predict the next period.

The blend weight and the calibration of a fold are fitted on predictions of earlier folds whose
labels had matured by its cutoff.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar

import polars as pl

from data.config.settings import EvaluationConfig, ModelConfig, OutcomeConfig
from data.errors import HistoryError
from training import labels
from training.dataset.training_set import TrainingSet
from training.evaluation import splits
from training.model import calibration, logistic, propensity
from training.model.calibration import Calibration
from training.model.propensity import Propensity

__all__ = [
    "KEYS",
    "WalkForwardFold",
    "fit_and_calibrate",
    "predict_fold",
    "run_walk_forward",
]

KEYS = ("account_id", "as_of")
_PREDICTION_COLUMNS = ("probability", "low", "high", "margin", "gbm_margin", "logistic_margin")
_ModelT = TypeVar("_ModelT")


@dataclass(frozen=True)
class WalkForwardFold(Generic[_ModelT]):
    """One fold of walk-forward validation.

    The model was fitted on the training set, which holds what was known at the cutoff (the refit
    date, 00:00 UTC), and on past predictions. The test snapshots reach from the cutoff to the next.
    """

    cutoff: datetime
    training_set: TrainingSet
    model: _ModelT
    test_snapshots: pl.DataFrame

    def __repr__(self) -> str:
        return (
            f"WalkForwardFold(cutoff {self.cutoff:%Y-%m-%d}: {self.training_set!r};"
            f" {self.test_snapshots.height:,} test snapshots)"
        )


def predict_fold(fold: WalkForwardFold[Propensity]) -> pl.DataFrame:
    """Return one fold's predictions for its test snapshots."""
    prediction = fold.model.predict(fold.test_snapshots)
    columns = {name: pl.Series(getattr(prediction, name)) for name in _PREDICTION_COLUMNS}
    return fold.test_snapshots.select(*KEYS, cutoff=pl.lit(fold.cutoff.date()), **columns)


def run_walk_forward(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    evaluation: EvaluationConfig,
    outcome: OutcomeConfig,
    *,
    fit: Callable[[TrainingSet, pl.DataFrame | None], _ModelT],
    predict: Callable[[WalkForwardFold[_ModelT]], pl.DataFrame],
    build_label: Callable[[int], pl.Expr] = labels.expansion_label,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pl.DataFrame, dict[date, str]]:
    """Run walk-forward validation over a history.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.builder.Panel`.
    contracts : polars.DataFrame
        The subscription timeline.
    evaluation : data.config.settings.EvaluationConfig
        The cutoffs.
    outcome : data.config.settings.OutcomeConfig
        Definition of an expansion, and the primary horizon.
    fit : callable
        Fits a model on the training set and on past predictions, with ``label`` where the label
        was known at the cutoff; None for the first fold. :func:`fit_and_calibrate` for a
        propensity.
    predict : callable
        Returns a fold's predictions with the key columns; :func:`predict_fold` for a propensity.
    build_label : callable
        Maps a horizon in days to a label expression, null while unknown.
    progress : callable, optional
        Called with the cutoffs done and the total.

    Returns
    -------
    predictions : polars.DataFrame
        One per snapshot from the first cutoff on, without outcomes, in the order of the cutoffs.
    skipped : dict of datetime.date to str
        Cutoffs at which no model could be fitted, with the reason.

    Raises
    ------
    data.errors.HistoryError
        If no model could be fitted at any cutoff.
    """
    plan = splits.split_walk_forward(
        snapshots["as_of"].unique().to_list(),
        first=evaluation.first_as_of,
        refit_months=evaluation.refit_months,
    )
    parts: list[pl.DataFrame] = []
    skipped: dict[date, str] = {}
    for done, split in enumerate(plan):
        training_set = splits.build_training_set(snapshots, contracts, split.cutoff, outcome)
        label = training_set.outcomes.select(*KEYS, label=build_label(outcome.horizon_days))
        past_predictions = pl.concat(parts, how="diagonal") if parts else None
        if past_predictions is not None:
            past_predictions = past_predictions.join(label, on=KEYS, maintain_order="left")
        try:
            fitted_model = fit(training_set, past_predictions)
        except HistoryError as error:
            skipped[split.cutoff.date()] = str(error)
        else:
            test_snapshots = snapshots.filter(pl.col("as_of").is_in(list(split.test_as_ofs)))
            parts.append(
                predict(WalkForwardFold(split.cutoff, training_set, fitted_model, test_snapshots))
            )
        if progress:
            progress(done + 1, len(plan))
    if not parts:
        reason = next(iter(skipped.values()), "the history has no as-of to test.")
        raise HistoryError(f"the history is too short for walk-forward validation: {reason}")
    return pl.concat(parts, how="diagonal"), skipped


def fit_and_calibrate(
    training_set: TrainingSet,
    past_predictions: pl.DataFrame | None,
    rules: ModelConfig,
    *,
    horizon_days: int,
    inputs: Sequence[str] = propensity.INPUTS,
    build_label: Callable[[int], pl.Expr] = labels.expansion_label,
) -> Propensity:
    """Fit a propensity on a training set; blend and calibrate it on past predictions.

    Past predictions are those of earlier folds, from :func:`predict_fold`, with ``label``, null
    while unknown; None for the first fold. The other parameters and errors are those of
    :func:`training.model.propensity.fit_propensity`.
    """
    blend_weight, affine_map = None, Calibration()
    if past_predictions is not None:
        default_weight = logistic.compute_default_blend_weight(
            training_set.outcomes["account_id"],
            labels.evaluate_label(training_set.outcomes, build_label(horizon_days)),
            rules.blend_prior_accounts,
        )
        blend_weight, affine_map = calibration.fit_blend_and_calibration(
            past_predictions, default_weight
        )
    fitted = propensity.fit_propensity(
        training_set,
        rules,
        horizon_days=horizon_days,
        inputs=inputs,
        build_label=build_label,
        blend_weight=blend_weight,
    )
    return fitted.with_calibration(affine_map)
