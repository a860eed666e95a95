"""Walk-forward validation: at each cutoff, fit on data known by then and predict the next period.

The blend weight and the calibration of a fold are fitted on predictions of earlier folds whose
labels had matured by its cutoff.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar

import polars as pl

from data.config.settings import ModelConfig, Settings
from data.errors import HistoryError
from training import labels
from training.evaluation import splits
from training.evaluation.splits import TrainingSet
from training.model import calibration, logistic, propensity
from training.model.calibration import Calibration
from training.model.propensity import Propensity

__all__ = [
    "KEYS",
    "WalkForwardFold",
    "WalkForwardResult",
    "fit_and_calibrate",
    "predict_fold",
    "run_walk_forward",
    "select_blend_and_calibration",
]

KEYS = ("account_id", "as_of")
_ModelT = TypeVar("_ModelT")


@dataclass(frozen=True)
class WalkForwardFold(Generic[_ModelT]):
    """One fold of walk-forward validation.

    Attributes
    ----------
    cutoff : datetime.datetime
        Refit date, 00:00 UTC.
    training_set : TrainingSet
        Snapshots and outcomes known at the cutoff.
    model : object
        Fitted on the training set and on past predictions.
    test_snapshots : polars.DataFrame
        Snapshots from the cutoff to the next.
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


@dataclass(frozen=True)
class WalkForwardResult:
    """Predictions of all folds, and the skipped cutoffs.

    Attributes
    ----------
    predictions : polars.DataFrame
        Predictions of each fold, in the order of the cutoffs; without outcomes.
    skipped : mapping of datetime.date to str
        Cutoffs at which no model could be fitted, with the reason.
    """

    predictions: pl.DataFrame
    skipped: Mapping[date, str]

    def __repr__(self) -> str:
        return (
            f"WalkForwardResult({self.predictions.height:,} predictions;"
            f" {len(self.skipped)} cutoffs skipped)"
        )


def predict_fold(fold: WalkForwardFold[Propensity]) -> pl.DataFrame:
    """Return one fold's predictions for its test snapshots."""
    prediction = fold.model.predict(fold.test_snapshots)
    return fold.test_snapshots.select(
        *KEYS,
        cutoff=pl.lit(fold.cutoff.date()),
        probability=pl.Series(prediction.probability),
        low=pl.Series(prediction.low),
        high=pl.Series(prediction.high),
        margin=pl.Series(prediction.margin),
        gbm_margin=pl.Series(prediction.gbm_margin),
        logistic_margin=pl.Series(prediction.logistic_margin),
    )


def run_walk_forward(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    fit: Callable[[TrainingSet, pl.DataFrame | None], _ModelT],
    predict: Callable[[WalkForwardFold[_ModelT]], pl.DataFrame],
    build_label: Callable[[int], pl.Expr] = labels.expansion_label,
    progress: Callable[[int, int], None] | None = None,
) -> WalkForwardResult:
    """Run walk-forward validation over a history.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.builder.Panel`.
    contracts : polars.DataFrame
        The subscription timeline.
    settings : data.config.settings.Settings
        Outcome and cutoffs.
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
    WalkForwardResult
        One prediction per snapshot from the first cutoff on.

    Raises
    ------
    data.errors.HistoryError
        If no model could be fitted at any cutoff.
    """
    rules = settings.evaluation
    plan = splits.split_walk_forward(
        snapshots["as_of"].unique().to_list(),
        first=rules.first_as_of,
        refit_months=rules.refit_months,
    )
    parts: list[pl.DataFrame] = []
    skipped: dict[date, str] = {}
    for done, split in enumerate(plan):
        training_set = splits.build_training_set(
            snapshots, contracts, split.cutoff, settings.outcome
        )
        label = training_set.outcomes.select(
            *KEYS, label=build_label(settings.outcome.horizon_days)
        )
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
    return WalkForwardResult(pl.concat(parts, how="diagonal"), skipped)


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

    Parameters
    ----------
    training_set : TrainingSet
        Snapshots and outcomes known at the cutoff.
    past_predictions : polars.DataFrame or None
        Predictions of earlier folds, from :func:`predict_fold`, with ``label``.
    rules : data.config.settings.ModelConfig
        Hyper-parameters.
    horizon_days, inputs, build_label
        As for :func:`training.model.propensity.fit_propensity`.

    Raises
    ------
    data.errors.HistoryError
        As for :func:`training.model.propensity.fit_propensity`.
    """
    blend_weight, affine_map = None, Calibration()
    if past_predictions is not None:
        label = training_set.outcomes.select(y=build_label(horizon_days).cast(pl.Float64))[
            "y"
        ].to_numpy()
        default_weight = logistic.compute_default_blend_weight(
            training_set.outcomes["account_id"], label, rules.blend_prior_accounts
        )
        blend_weight, affine_map = select_blend_and_calibration(past_predictions, default_weight)
    fitted = propensity.fit_propensity(
        training_set.snapshots,
        training_set.outcomes,
        rules,
        horizon_days=horizon_days,
        inputs=inputs,
        build_label=build_label,
        blend_weight=blend_weight,
    )
    return fitted.with_calibration(affine_map)


def select_blend_and_calibration(
    predictions: pl.DataFrame, default_weight: float
) -> tuple[float, Calibration]:
    """Select the blend weight and fit the calibration on predictions whose labels have matured.

    Parameters
    ----------
    predictions : polars.DataFrame
        From :func:`predict_fold`, with ``label``, null while unknown.
    default_weight : float
        As for :func:`training.model.calibration.select_blend_weight`.
    """
    labelled = predictions.filter(pl.col("label").is_not_null())
    return calibration.fit_blend_and_calibration(labelled, default_weight)
