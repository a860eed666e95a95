"""What settings of the model lose on the past, so that they can stand beside each other.

Inner folds walk forward through what was known at an end: each trains on what its cut knew and is
judged by what the end knew. Losses are counted per account, for the snapshots of one account
resemble each other: only so has a difference an honest standard error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.errors import HistoryError
from data.settings import Model, Outcome
from training import model, outcomes, splits
from training.model import Propensity

__all__ = ["Contest", "Fold", "losses", "prepare"]

_FOLDS = 3
_FEWEST = 10  # with an expansion, and without, to learn from and to be judged by
_LEAST_PROBABILITY = 1e-6

Array = NDArray[np.float64]
Labels = Mapping[int, Array]


@dataclass(frozen=True)
class Fold:
    """One cut: what it knew, and what became of the snapshots that it judges.

    Attributes
    ----------
    known : training.splits.Known
        What a model may be trained on.
    judged : polars.DataFrame
        The snapshots from the cut to the next.
    account : numpy.ndarray of int, shape (n_judged,)
        Codes that all folds share.
    labels : mapping of int to numpy.ndarray, shape (n_judged,)
        Horizon in days → 1 where the account expanded within it, 0 where not, NaN while unknown.
    base_rates : mapping of int to float
        Horizon in days → the rate that the cut knew: what both losses are relative to.
    """

    cut: date
    known: splits.Known
    judged: pl.DataFrame
    account: NDArray[np.int64]
    labels: Labels
    base_rates: Mapping[int, float]

    def __repr__(self) -> str:
        return (
            f"Fold(cut {self.cut}: {self.known.snapshots.height:,} snapshots before it,"
            f" {self.judged.height:,} judged at {list(self.labels)} days)"
        )


@dataclass(frozen=True)
class Contest:
    """The folds that all settings are judged on: at least one, in rising order.

    Attributes
    ----------
    skipped : mapping of datetime.date to str
        Cuts that are no fold, with the reason.
    accounts : int
        How many are judged, in all folds together.
    horizon_days : int
        That of *the* probability.
    """

    folds: tuple[Fold, ...]
    skipped: Mapping[date, str]
    accounts: int
    horizon_days: int

    def __repr__(self) -> str:
        left_out = f"; left out {[str(cut) for cut in self.skipped]}" if self.skipped else ""
        return f"Contest({self.accounts:,} accounts; {list(self.folds)}{left_out})"


def prepare(
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    *,
    end: datetime,
    rules: Outcome,
    horizons_days: Sequence[int],
) -> Contest:
    """Lay three folds over the later half of what was known at an end.

    Never more than three, so that a trial costs less than three trainings at the end, however long
    the history is.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`.
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    end : datetime.datetime
        Nothing that came to be known from this moment on, UTC, is looked at.
    rules : data.settings.Outcome
        What counts as an expansion, and within which horizon.
    horizons_days : sequence of int
        Those at which the curve is judged; the horizon of the rules joins them.

    Raises
    ------
    data.errors.HistoryError
        If no fold has expansions enough to learn from and to be judged by.
    """
    horizons = sorted({*horizons_days, rules.horizon_days})
    settled = splits.known_at(snapshots, contracts, end, rules)
    blocks = _blocks(settled, rules.horizon_days)
    days = [day for block in blocks for day in block]
    codes = settled.snapshots.filter(pl.col("as_of").is_in(days))["account_id"].unique().sort()
    folds: list[Fold] = []
    skipped: dict[date, str] = {}
    for block in blocks:
        known = splits.known_at(snapshots, contracts, splits.midnight(block[0]), rules)
        fold = _fold(block, known, settled, codes, horizons)
        lack = _lack(known, fold, rules.horizon_days)
        if lack is None:
            folds.append(fold)
        else:
            skipped[fold.cut] = lack
    if not folds:
        reason = next(iter(skipped.values()), "no window in it is complete yet")
        raise HistoryError(
            f"what was known before {end:%Y-%m-%d} is too little to compare settings on: {reason}."
        )
    return Contest(tuple(folds), skipped, len(codes), rules.horizon_days)


def losses(fold: Fold, contest: Contest, settings: Model) -> Array:
    """Train at a fold's cut, and give what each account adds to the loss.

    The loss is the mean of two: log loss at the horizon, and Brier score integrated over the
    horizons from day 0 [1]_. Each is a share of what the base rate known at the cut loses: so
    they are of one scale, 1 is no better than the base rate, and folds can be averaged. The curve
    is judged as it is served: without calibration, which is not settled here, and that of a plain
    model with a constant hazard.

    Returns
    -------
    numpy.ndarray, shape (n_accounts,)
        Their sum is the loss of the fold.

    Raises
    ------
    data.errors.HistoryError
        If nothing can be trained at the cut.

    References
    ----------
    .. [1] E. Graf et al., "Assessment and Comparison of Prognostic Classification Schemes for
           Survival Data", Statistics in Medicine 1999.
    """
    known, shown = fold.known, contest.horizon_days
    fitted = model.fit(known.snapshots, known.outcomes, settings, horizon_days=shown)
    curve, label = _curve(fitted, fold), fold.labels[shown]
    usual = {h: np.full(len(label), rate) for h, rate in fold.base_rates.items()}
    log_loss = _log_loss(curve[shown], label) / _log_loss(usual[shown], label).sum()
    brier = _brier(curve, fold.labels) / _brier(usual, fold.labels).sum()
    rows = (log_loss + brier) / 2
    return np.bincount(fold.account, rows, contest.accounts).astype(np.float64)


def _blocks(settled: splits.Known, horizon_days: int) -> list[list[date]]:
    """The later half of the as-ofs whose outcome is known, in three."""
    known = settled.outcomes.filter(outcomes.expanded(horizon_days).is_not_null())
    days = known["as_of"].unique().sort().to_list()
    later = days[len(days) // 2 :]
    edges = [round(len(later) * part / _FOLDS) for part in range(_FOLDS + 1)]
    blocks = [later[start:stop] for start, stop in pairwise(edges)]
    return [block for block in blocks if block]


def _fold(
    block: list[date],
    known: splits.Known,
    settled: splits.Known,
    codes: pl.Series,
    horizons: Sequence[int],
) -> Fold:
    inside = pl.col("as_of").is_in(block)
    judged = settled.snapshots.filter(inside)
    learned = _labels(known.outcomes, horizons)
    became = _labels(settled.outcomes.filter(inside), horizons)
    usable = [h for h in horizons if not (_blank(learned[h]) or _blank(became[h]))]
    return Fold(
        block[0],
        known,
        judged,
        codes.search_sorted(judged["account_id"]).to_numpy().astype(np.int64),
        {h: became[h] for h in usable},
        {h: float(np.nanmean(learned[h])) for h in usable},
    )


def _lack(known: splits.Known, fold: Fold, horizon_days: int) -> str | None:
    """Say why a fold tells nothing, if so."""
    learned = _labels(known.outcomes, [horizon_days])[horizon_days]
    sides = {"before it": learned, "in its months": fold.labels.get(horizon_days, np.empty(0))}
    for where, label in sides.items():
        with_one, without = int((label == 1).sum()), int((label == 0).sum())
        if min(with_one, without) < _FEWEST:
            return (
                f"of the windows of {horizon_days} days {where}, {with_one:,} hold an expansion and"
                f" {without:,} none, and {_FEWEST} of each are needed"
            )
    return None


def _labels(found: pl.DataFrame, horizons: Sequence[int]) -> Labels:
    columns = [outcomes.expanded(h).cast(pl.Float64).alias(str(h)) for h in horizons]
    told = found.select(columns)
    return {h: told[str(h)].to_numpy() for h in horizons}


def _blank(label: Array) -> bool:
    return bool(np.isnan(label).all())


def _curve(fitted: Propensity, fold: Fold) -> dict[int, Array]:
    """P(expansion within h days) at each horizon of the fold."""
    if len(fitted.horizons_days) > 1:
        at = fitted.estimates(fold.judged)
        return {h: at[h].probability for h in fold.labels}
    survival = np.log1p(-fitted.estimate(fold.judged).probability)
    return {h: -np.expm1(survival * h / fitted.horizon_days) for h in fold.labels}


def _log_loss(probability: Array, label: Array) -> Array:
    held = probability.clip(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    lost = -np.where(label > 0, np.log(held), np.log1p(-held))
    return _parts(np.where(np.isnan(label), np.nan, lost))


def _brier(curve: Labels, labels: Labels) -> Array:
    """Integrated over the horizons by the trapezoid rule, from day 0, when it is 0."""
    days = np.array([0, *labels])
    width = (np.append(days[2:], days[-1]) - days[:-1]) / 2
    scores = [_parts((curve[h] - label) ** 2) for h, label in labels.items()]
    return np.asarray(np.tensordot(width, scores, axes=1))


def _parts(values: Array) -> Array:
    """What each row adds to the mean of those that are known."""
    return np.asarray(np.nan_to_num(values) / (~np.isnan(values)).sum(), dtype=np.float64)
