"""The one walk through history: every cut learns what was known then and says what comes after.

The blend of a cut's model and its calibration are settled on the predictions of earlier cuts whose
outcome the cut already knew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar

import polars as pl

from data.errors import HistoryError
from data.settings import Model, Settings
from training import calibration, linear, model, outcomes, splits
from training.calibration import Calibration
from training.model import Propensity
from training.splits import Known

__all__ = ["KEYS", "Step", "Walked", "forward", "learned", "said", "settled"]

KEYS = ("account_id", "as_of")
_M = TypeVar("_M")


@dataclass(frozen=True)
class Step(Generic[_M]):
    """One cut of a walk.

    Attributes
    ----------
    cut : datetime.datetime
        When, 00:00 UTC.
    known : training.splits.Known
        What it could learn from.
    model : object
        Learned from that, and from how earlier cuts fared.
    judged : polars.DataFrame
        The snapshots from it to the next cut.
    """

    cut: datetime
    known: Known
    model: _M
    judged: pl.DataFrame

    def __repr__(self) -> str:
        return f"Step(cut {self.cut:%Y-%m-%d}: {self.known!r}; judges {self.judged.height:,})"


@dataclass(frozen=True)
class Walked:
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


def said(step: Step[Propensity]) -> pl.DataFrame:
    """Say what a cut's model says of the snapshots it judges."""
    estimate = step.model.estimate(step.judged)
    return step.judged.select(
        *KEYS,
        cut=pl.lit(step.cut.date()),
        probability=pl.Series(estimate.probability),
        low=pl.Series(estimate.low),
        high=pl.Series(estimate.high),
        margin=pl.Series(estimate.margin),
        trees_margin=pl.Series(estimate.trees_margin),
        linear_margin=pl.Series(estimate.linear_margin),
    )


def forward(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    learn: Callable[[Known, pl.DataFrame | None], _M],
    say: Callable[[Step[_M]], pl.DataFrame],
    happened: Callable[[int], pl.Expr] = outcomes.expanded,
    progress: Callable[[int, int], None] | None = None,
) -> Walked:
    """Walk forward through a history.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`.
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    settings : data.settings.Settings
        Outcome, and where the cuts are.
    learn : callable
        Makes a model of what a cut knew, and of what earlier cuts said, with ``happened`` as far as
        the cut knew it; None at the first. :func:`learned` for a propensity.
    say : callable
        What is kept of a step, the keys among it; :func:`said` for a propensity.
    happened : callable
        From a horizon in days to whether it happened within it, null while that is unknown.
    progress : callable, optional
        Told cuts done and cuts in all.

    Returns
    -------
    Walked
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
        known = splits.known_at(snapshots, contracts, split.cut, settings.outcome)
        label = known.outcomes.select(*KEYS, happened=happened(settings.outcome.horizon_days))
        seen = pl.concat(parts, how="diagonal") if parts else None
        if seen is not None:
            seen = seen.join(label, on=KEYS, maintain_order="left")
        try:
            found = learn(known, seen)
        except HistoryError as error:
            skipped[split.cut.date()] = str(error)
        else:
            judged = snapshots.filter(pl.col("as_of").is_in(list(split.judged)))
            parts.append(say(Step(split.cut, known, found, judged)))
        if progress:
            progress(done + 1, len(plan))
    if not parts:
        reason = next(iter(skipped.values()), "the history has no as-of to judge.")
        raise HistoryError(f"the history is too short for a walk forward: {reason}")
    return Walked(pl.concat(parts, how="diagonal"), skipped)


def learned(
    known: Known,
    seen: pl.DataFrame | None,
    rules: Model,
    *,
    horizon_days: int,
    inputs: Sequence[str] = model.INPUTS,
    happened: Callable[[int], pl.Expr] = outcomes.expanded,
) -> Propensity:
    """Fit a propensity on what a cut knew, blended and calibrated by how earlier cuts fared.

    Parameters
    ----------
    known : training.splits.Known
        What the cut knew.
    seen : polars.DataFrame or None
        What earlier cuts said, as of :func:`said`, with ``happened``.
    rules : data.settings.Model
        The learners' settings.
    horizon_days, inputs, happened
        As for :func:`training.model.fit`.

    Raises
    ------
    data.errors.HistoryError
        As for :func:`training.model.fit`.
    """
    share, found = None, Calibration()
    if seen is not None:
        label = known.outcomes.select(y=happened(horizon_days).cast(pl.Float64))["y"].to_numpy()
        usual = linear.share(known.outcomes["account_id"], label, rules.linear_accounts)
        share, found = settled(seen, usual)
    fitted = model.fit(
        known.snapshots,
        known.outcomes,
        rules,
        horizon_days=horizon_days,
        inputs=inputs,
        happened=happened,
        linear_share=share,
    )
    return fitted.calibrated(found)


def settled(predictions: pl.DataFrame, usual_share: float) -> tuple[float, Calibration]:
    """Settle the blend and the map to a probability on what has become known.

    Parameters
    ----------
    predictions : polars.DataFrame
        As of :func:`said`, and ``happened``, null while that is unknown.
    usual_share : float
        As for :func:`training.calibration.linear_share`.
    """
    known = predictions.filter(pl.col("happened").is_not_null())
    return calibration.settled(known, usual_share)
