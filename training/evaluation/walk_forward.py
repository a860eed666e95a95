"""The one walk through history: every cut learns what was known then and says what comes after.

The blend of a cut's model and its calibration are settled on the predictions of earlier cuts whose
outcome the cut already knew.
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
    """One cut of a walk.

    Attributes
    ----------
    cutoff : datetime.datetime
        When, 00:00 UTC.
    training_set : training.evaluation.splits.TrainingSet
        What it could learn from.
    model : object
        Learned from that, and from how earlier cuts fared.
    test_snapshots : polars.DataFrame
        The snapshots from it to the next cut.
    """

    cutoff: datetime
    training_set: TrainingSet
    model: _ModelT
    test_snapshots: pl.DataFrame

    def __repr__(self) -> str:
        return f"Step(cut {self.cutoff:%Y-%m-%d}: {self.training_set!r}; judges {self.test_snapshots.height:,})"


@dataclass(frozen=True)
class WalkForwardResult:
    """What all cuts said, and which could say nothing.

    Attributes
    ----------
    predictions : polars.DataFrame
        What each step said, in the order of the cuts; no outcome is in it.
    skipped : mapping of datetime.date to str
        Cuts at which nothing could be learned, with the reason.
    """

    predictions: pl.DataFrame
    skipped: Mapping[date, str]

    def __repr__(self) -> str:
        return f"Walked({self.predictions.height:,} predictions; {len(self.skipped)} cuts skipped)"


def predict_fold(fold: WalkForwardFold[Propensity]) -> pl.DataFrame:
    """Say what a cut's model says of the snapshots it judges."""
    prediction = fold.model.predict(fold.test_snapshots)
    return fold.test_snapshots.select(
        *KEYS,
        cut=pl.lit(fold.cutoff.date()),
        probability=pl.Series(prediction.probability),
        low=pl.Series(prediction.low),
        high=pl.Series(prediction.high),
        margin=pl.Series(prediction.margin),
        trees_margin=pl.Series(prediction.gbm_margin),
        linear_margin=pl.Series(prediction.logistic_margin),
    )


def run_walk_forward(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    fit: Callable[[TrainingSet, pl.DataFrame | None], _ModelT],
    predict: Callable[[WalkForwardFold[_ModelT]], pl.DataFrame],
    label_within: Callable[[int], pl.Expr] = labels.expanded_within,
    progress: Callable[[int, int], None] | None = None,
) -> WalkForwardResult:
    """Walk forward through a history.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.builder.Panel`.
    contracts : polars.DataFrame
        :func:`features.subscription_timeline.build_timeline`.
    settings : data.config.settings.Settings
        Outcome, and where the cuts are.
    fit : callable
        Makes a model of what a cut knew, and of what earlier cuts said, with ``label_within`` as far as
        the cut knew it; None at the first. :func:`fit_and_calibrate` for a propensity.
    predict : callable
        What is kept of a step, the keys among it; :func:`predict_fold` for a propensity.
    label_within : callable
        From a horizon in days to whether it happened within it, null while that is unknown.
    progress : callable, optional
        Told cuts done and cuts in all.

    Returns
    -------
    WalkForwardResult
        Every as-of from the first cut on is judged once.

    Raises
    ------
    data.errors.HistoryError
        If nothing could be learned at any cut.
    """
    rules = settings.evaluation
    plan = splits.walk_forward(
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
            *KEYS, happened=label_within(settings.outcome.horizon_days)
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
        reason = next(iter(skipped.values()), "the history has no as-of to judge.")
        raise HistoryError(f"the history is too short for a walk forward: {reason}")
    return WalkForwardResult(pl.concat(parts, how="diagonal"), skipped)


def fit_and_calibrate(
    training_set: TrainingSet,
    past_predictions: pl.DataFrame | None,
    rules: ModelConfig,
    *,
    horizon_days: int,
    inputs: Sequence[str] = propensity.INPUTS,
    label_within: Callable[[int], pl.Expr] = labels.expanded_within,
) -> Propensity:
    """Fit a propensity on what a cut knew, blended and calibrated by how earlier cuts fared.

    Parameters
    ----------
    training_set : training.evaluation.splits.TrainingSet
        What the cut knew.
    past_predictions : polars.DataFrame or None
        What earlier cuts said, as of :func:`predict_fold`, with ``label_within``.
    rules : data.config.settings.Model
        The learners' settings.
    horizon_days, inputs, happened
        As for :func:`training.model.propensity.fit_propensity`.

    Raises
    ------
    data.errors.HistoryError
        As for :func:`training.model.propensity.fit_propensity`.
    """
    blend_weight, affine_map = None, Calibration()
    if past_predictions is not None:
        label = training_set.outcomes.select(y=label_within(horizon_days).cast(pl.Float64))[
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
        label_within=label_within,
        blend_weight=blend_weight,
    )
    return fitted.with_calibration(affine_map)


def select_blend_and_calibration(
    predictions: pl.DataFrame, default_weight: float
) -> tuple[float, Calibration]:
    """Settle the blend and the map to a probability on what has become known.

    Parameters
    ----------
    predictions : polars.DataFrame
        As of :func:`predict_fold`, and ``happened``, null while that is unknown.
    default_weight : float
        As for :func:`training.model.calibration.select_blend_weight`.
    """
    labelled = predictions.filter(pl.col("happened").is_not_null())
    return calibration.fit_blend_and_calibration(labelled, default_weight)
