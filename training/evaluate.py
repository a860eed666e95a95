"""What the model would have been worth: a walk through history beside the simple rankings.

Every cut trains on what was known then and judges what came after it. The calibration of a cut is
fitted on the predictions of earlier cuts whose outcome the cut already knew.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from data.settings import Settings
from training import (
    bands,
    baselines,
    chosen,
    date_metrics,
    judgement,
    learners,
    linear,
    model,
    outcomes,
    readiness,
    segments,
    survival_metrics,
)
from training.evaluation import Evaluation
from training.judgement import MODEL, figures
from training.learners import LEARNERS, Learner
from training.model import Propensity
from training.splits import Known
from training.walk import KEYS, Step, forward, learned, said, settled

__all__ = ["MODEL", "Evaluation", "figures", "walk"]

_MONTHS = 12


def walk(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    end: datetime,
    inputs: Sequence[str] = model.INPUTS,
    progress: Callable[[int, int], None] | None = None,
    told: Callable[[Propensity, pl.DataFrame], object] | None = None,
    accounts: pl.DataFrame | None = None,
    learn_beside: Mapping[str, Learner] = LEARNERS,
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
    accounts : polars.DataFrame, optional
        The accounts table, for their segments.
    learn_beside : mapping of str to callable
        What else learns at each cut; :data:`training.learners.LEARNERS`.

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
    horizon = settings.outcome.horizon_days

    def learn(known: Known, seen: pl.DataFrame | None) -> Propensity:
        return learned(known, seen, settings.model, horizon_days=horizon, inputs=inputs)

    def say(step: Step[Propensity]) -> pl.DataFrame:
        if told:
            told(step.model, step.judged)
        beside = learners.said(
            learn_beside, step.known, outcomes.expanded(horizon), step.judged, tuple(inputs)
        )
        return _said(step, horizon, rules.capacity).with_columns(**beside)

    walked = forward(
        snapshots,
        contracts,
        settings,
        learn=learn,
        say=say,
        progress=progress,
    )
    became = _happened(snapshots, contracts, settings, end)
    predictions = (
        walked.predictions.join(became, on=KEYS, how="left")
        .join(baselines.scores(snapshots), on=KEYS, how="left")
        .join(segments.of(snapshots, contracts, settings, accounts), on=KEYS, how="left")
        .with_columns(simple_score=_named_score())
        .sort("as_of", "account_id")
    )
    label = became["expanded"].cast(pl.Float64).to_numpy()
    usual = linear.share(became["account_id"], label, settings.model.linear_accounts)
    found = figures(predictions, settings)
    drawn = {"resamples": rules.resamples, "seed": settings.model.seed}
    return Evaluation(
        predictions,
        found,
        date_metrics.figures(predictions, **drawn) | survival_metrics.figures(predictions, **drawn),
        judgement.over(predictions, judgement.best(found), settings),
        bands.published(predictions, **drawn),
        walked.skipped,
        *settled(predictions.with_columns(happened="expanded"), usual),
        settings,
    )


def _named_score() -> pl.Expr:
    """The score of the ranking that a row names."""
    return pl.coalesce(pl.when(pl.col("simple") == name).then(name) for name in baselines.RANKINGS)


def _said(step: Step[Propensity], horizon_days: int, capacity: int) -> pl.DataFrame:
    """What a cut's model says of the snapshots it judges, beside what the cut knew."""
    found = step.known.outcomes
    label = found.select(expanded=outcomes.expanded(horizon_days))["expanded"]
    column = chosen.best_column(step.known, outcomes.expanded(horizon_days))
    came = found.filter(outcomes.expanded(outcomes.LONGEST_DAYS))["days_to_expansion"]
    usual = {
        "base_rate": float(np.mean(label.drop_nulls().to_numpy())),
        **date_metrics.usual(came),
    }
    curve, horizons = step.model.curve(step.judged), step.model.horizons_days
    within = {f"within_{h}d": pl.Series(p) for h, p in zip(horizons, curve.T, strict=True)}
    return said(step).with_columns(
        **within | date_metrics.columns(readiness.dates(curve, horizons)),
        **{name: pl.lit(value) for name, value in usual.items()},
        days_to_limit=step.judged.select(days=baselines.DAYS_TO_LIMIT)["days"],
        simple=pl.lit(
            chosen.best_ranking(step.known, outcomes.expanded(horizon_days), capacity=capacity)
        ),
        best_column=pl.lit(f"{column[0]}, {'highest' if column[1] > 0 else 'lowest'} first"),
        **{chosen.BEST_COLUMN: step.judged.select(s=chosen.by_column(*column))["s"]},
    )


def _happened(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, settings: Settings, end: datetime
) -> pl.DataFrame:
    """What became of each snapshot, as far as it is known at the end."""
    found = outcomes.build(snapshots, contracts, cut=end, rules=settings.outcome)
    expanded = outcomes.expanded(settings.outcome.horizon_days)
    within_180d = outcomes.expanded(outcomes.LONGEST_DAYS)
    known_days = pl.col("known_days").clip(0, outcomes.LONGEST_DAYS)
    seen = (pl.col("days_to_expansion") < known_days).fill_null(value=False)
    followed = pl.min_horizontal(known_days, "days_to_unclear")
    return found.select(
        *KEYS,
        expanded=expanded,
        expanded_180d=within_180d,
        days_to_expansion=pl.when(within_180d).then("days_to_expansion"),
        known_days=known_days,
        days_followed=pl.when(seen).then("days_to_expansion").otherwise(followed),
        expansion_seen=seen,
        arr_added=pl.when(expanded).then(_MONTHS * pl.col("mrr_added")).when(~expanded).then(0.0),
    )
