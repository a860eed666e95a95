"""What the model would have been worth: a walk through history beside the simple rankings.

Every cut trains on what was known then and judges what came after it. The calibration of a cut is
fitted on the predictions of earlier cuts whose outcome the cut already knew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from data.errors import HistoryError
from data.settings import Settings
from training import (
    bands,
    baselines,
    calibration,
    date_metrics,
    metrics,
    model,
    outcomes,
    readiness,
    splits,
)
from training.calibration import Calibration
from training.model import Propensity

__all__ = ["MODEL", "Evaluation", "figures", "walk"]

MODEL = "model"
_PROMISING_SKILL = 0.05


@dataclass(frozen=True)
class Evaluation:
    """Walk-forward predictions and what they are worth.

    Attributes
    ----------
    predictions : polars.DataFrame
        One row per eligible account and judged as-of: ``account_id``, ``as_of``, ``cut``,
        ``expanded`` (null while unknown), ``probability``, ``low``, ``high``, ``margin``, the two
        that it blends, ``trees_margin`` and ``linear_margin``,
        ``base_rate`` (of the cut's training rows), and a column per simple ranking. For the dates
        ``within_14d`` and so on, the curve; ``early_days``, ``median_days`` and ``late_days``, the
        stated quantiles, the same with ``usual_`` before it, the constants that were best on what
        the cut knew, and ``days_to_limit`` by a straight line; ``expanded_180d``, null until the
        whole of the 180 days is known, and ``days_to_expansion`` of those that did.
    figures : mapping
        Ranking → figure name → value with interval; over all judged snapshots.
    date_figures : mapping
        Figure name → value with interval; see :func:`training.date_metrics.figures`.
    over_best_simple : training.metrics.Figure
        Precision at capacity less that of the best simple ranking, on the same draws.
    bands : list of dict
        Band of probability → what was expected and observed; :func:`training.bands.published`.
    skipped : mapping of datetime.date to str
        Cuts at which no model could be trained, with the reason.
    linear_share : float
        The regressions' share of the margin, and
    calibration : training.calibration.Calibration
        fitted on all matured predictions: what a model trained at the end uses.
    """

    predictions: pl.DataFrame
    figures: Mapping[str, Mapping[str, metrics.Figure]]
    date_figures: Mapping[str, metrics.Figure]
    over_best_simple: metrics.Figure
    bands: list[dict[str, Any]]
    skipped: Mapping[date, str]
    linear_share: float
    calibration: Calibration

    def __repr__(self) -> str:
        known = self.predictions["expanded"].drop_nulls()
        return (
            f"Evaluation({self.predictions.height:,} predictions from"
            f" {self.predictions['cut'].n_unique()} cuts; {known.len():,} with a known outcome,"
            f" {known.sum():,} expanded)"
        )

    def best_simple(self) -> str:
        """Name of the simple ranking with the highest precision at capacity."""
        return _best(self.figures)

    def numbers(self) -> dict[str, float]:
        """Every figure of the model and of its dates as a plain number."""
        found = {**self.figures[MODEL], **self.date_figures}
        return {name: figure.value for name, figure in found.items() if figure.value is not None}

    def verdict(self) -> str:
        """Say in one sentence whether the model knows more than chance and the best rule."""
        mine = self.figures[MODEL]
        skill = mine["log_loss_skill"]
        if skill.low is None or skill.value is None:
            return "Too little is known of the outcomes to judge the model."
        if skill.low <= 0 and skill.value < _PROMISING_SKILL:
            return (
                "Next to no usable signal was found: the model does not beat the base rate beyond"
                f" noise (log-loss skill {skill}, AUROC {mine['auroc']})."
            )
        rule = self._against_the_best_rule()
        if skill.low <= 0:
            expanded = self.predictions["expanded"].sum()
            return (
                f"The model may know something, but {expanded} expansions are too few to be sure"
                f" (log-loss skill {skill}, AUROC {mine['auroc']}); {rule}."
            )
        return f"The model beats the base rate (log-loss skill {skill}); {rule}."

    def _against_the_best_rule(self) -> str:
        """Say whether the model wins, loses, or is level with the best simple ranking."""
        gain, best = self.over_best_simple, self.best_simple()
        mine, rule = (self.figures[n]["precision_at_capacity"].value for n in (MODEL, best))
        if gain.low is None or gain.high is None or mine is None or rule is None:
            return "it cannot be compared with the simple rankings"
        word = "beats" if gain.low > 0 else "loses to" if gain.high < 0 else "is level with"
        return (
            f"at the team's capacity it {word} the best simple ranking in hindsight, {best}: of the"
            f" accounts worked {mine:.1%} expanded against {rule:.1%}, a difference of"
            f" {gain.value:+.1%} ({gain.low:+.1%} to {gain.high:+.1%})"
        )


def walk(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    end: datetime,
    inputs: Sequence[str] = model.INPUTS,
    progress: Callable[[int, int], None] | None = None,
    told: Callable[[Propensity, pl.DataFrame], object] | None = None,
) -> Evaluation:
    """Walk forward through the history and judge every cut's model on what came after.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`.
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    settings : data.settings.Settings
        Outcome, model and evaluation.
    end : datetime.datetime
        What is known before this moment, UTC, judges.
    inputs : sequence of str
        Columns the model may read.
    progress : callable, optional
        Told cuts done and cuts in all.
    told : callable, optional
        Handed each cut's model, calibrated, and the snapshots it judges.

    Returns
    -------
    Evaluation
        Predictions, figures with intervals, and the calibration they support.

    Raises
    ------
    data.errors.HistoryError
        If no cut could be trained and judged.
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
        try:
            fitted, usual = _trained(
                split.cut, parts, snapshots, contracts, settings, inputs=inputs
            )
        except HistoryError as error:
            skipped[split.cut.date()] = str(error)
        else:
            judged = snapshots.filter(pl.col("as_of").is_in(list(split.judged)))
            parts.append(_predicted(fitted, judged, cut=split.cut.date(), **usual))
            if told:
                told(fitted, judged)
        if progress:
            progress(done + 1, len(plan))
    if not parts:
        reason = next(iter(skipped.values()), "the history has no as-of to judge.")
        raise HistoryError(f"the history is too short for a walk forward: {reason}")
    keys = ["account_id", "as_of"]
    predictions = (
        pl.concat(parts, how="diagonal")
        .join(_happened(snapshots, contracts, settings, end), on=keys, how="left")
        .join(baselines.scores(snapshots), on=keys, how="left")
        .sort("as_of", "account_id")
    )
    found_figures = figures(predictions, settings)
    return Evaluation(
        predictions,
        found_figures,
        date_metrics.figures(predictions, resamples=rules.resamples, seed=settings.model.seed),
        _over(predictions, _best(found_figures), settings),
        bands.published(predictions, resamples=rules.resamples, seed=settings.model.seed),
        skipped,
        *_settled(predictions, settings.model.linear_share),
    )


def figures(predictions: pl.DataFrame, settings: Settings) -> dict[str, dict[str, metrics.Figure]]:
    """Compute the figures of the model and of every simple ranking on known outcomes."""
    known, judged = _judged(predictions)
    rules = settings.evaluation

    def of(score: str, **probability: np.ndarray) -> dict[str, metrics.Figure]:
        return metrics.figures(
            known[score].to_numpy(),
            judged,
            capacity=rules.capacity,
            resamples=rules.resamples,
            seed=settings.model.seed,
            **probability,
        )

    stated = {
        "probability": known["probability"].to_numpy(),
        "reference": known["base_rate"].to_numpy(),
    }
    # Probabilities of different cuts carry different calibrations; they rank as they are served.
    return {MODEL: of("probability", **stated)} | {name: of(name) for name in baselines.RANKINGS}


def _over(predictions: pl.DataFrame, rival: str, settings: Settings) -> metrics.Figure:
    known, judged = _judged(predictions)
    return metrics.advantage(
        known["probability"].to_numpy(),
        known[rival].to_numpy(),
        judged,
        capacity=settings.evaluation.capacity,
        resamples=settings.evaluation.resamples,
        seed=settings.model.seed,
    )


def _judged(predictions: pl.DataFrame) -> tuple[pl.DataFrame, metrics.Judged]:
    """Predictions whose outcome is known, and what became of them."""
    known = predictions.filter(pl.col("expanded").is_not_null())
    return known, metrics.judged(known)


def _best(figures: Mapping[str, Mapping[str, metrics.Figure]]) -> str:
    rankings = [name for name in figures if name != MODEL]
    return max(rankings, key=lambda name: _value(figures[name], "precision_at_capacity"))


def _trained(
    cut: datetime,
    earlier: list[pl.DataFrame],
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    inputs: Sequence[str],
) -> tuple[Propensity, dict[str, float]]:
    """Train at a cut, settle it on matured predictions of earlier cuts, and say what is usual."""
    horizon = settings.outcome.horizon_days
    known = splits.known_at(snapshots, contracts, cut, settings.outcome)
    fitted = model.fit(
        known.snapshots, known.outcomes, settings.model, horizon_days=horizon, inputs=inputs
    )
    label = known.outcomes.select("account_id", "as_of", expanded=outcomes.expanded(horizon))
    if earlier:
        matured = pl.concat(earlier, how="diagonal").join(label, on=["account_id", "as_of"])
        share, calibrated = _settled(matured, settings.model.linear_share)
        fitted = fitted.blended(share).calibrated(calibrated)
    came = known.outcomes.filter(outcomes.expanded(outcomes.LONGEST_DAYS))["days_to_expansion"]
    base_rate = float(np.mean(label["expanded"].drop_nulls().to_numpy()))
    return fitted, {"base_rate": base_rate, **date_metrics.usual(came)}


def _predicted(
    fitted: Propensity, judged: pl.DataFrame, *, cut: date, **usual: float
) -> pl.DataFrame:
    """What a cut's model says of the snapshots it judges, beside what the cut knew."""
    estimate, curve = fitted.estimate(judged), fitted.curve(judged)
    horizons = fitted.horizons_days
    within = {f"within_{h}d": pl.Series(p) for h, p in zip(horizons, curve.T, strict=True)}
    constants = {name: pl.lit(value) for name, value in usual.items()}
    return judged.select(
        "account_id",
        "as_of",
        cut=pl.lit(cut),
        probability=pl.Series(estimate.probability),
        low=pl.Series(estimate.low),
        high=pl.Series(estimate.high),
        margin=pl.Series(estimate.margin),
        trees_margin=pl.Series(estimate.trees_margin),
        linear_margin=pl.Series(estimate.linear_margin),
        **within | date_metrics.columns(readiness.dates(curve, horizons)) | constants,
        days_to_limit=baselines.DAYS_TO_LIMIT,
    )


def _happened(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, end: datetime
) -> pl.DataFrame:
    """What became of each snapshot, as far as it is known at the end."""
    found = outcomes.build(snapshots, contracts, cut=end, rules=settings.outcome)
    within_180d = outcomes.expanded(outcomes.LONGEST_DAYS)
    return found.select(
        "account_id",
        "as_of",
        expanded=outcomes.expanded(settings.outcome.horizon_days),
        expanded_180d=within_180d,
        days_to_expansion=pl.when(within_180d).then("days_to_expansion"),
    )


def _settled(predictions: pl.DataFrame, usual_share: float) -> tuple[float, Calibration]:
    """How much of the margin is the regressions', and its map to a probability."""
    known = predictions.filter(pl.col("expanded").is_not_null())
    return calibration.settled(known.with_columns(happened="expanded"), usual_share)


def _value(figures: Mapping[str, metrics.Figure], name: str) -> float:
    value = figures[name].value
    return -1.0 if value is None else value
