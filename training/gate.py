"""May a newly trained model be shown to a team: only if it earned that on the company's own past.

Every question is one lower bound, at ``gate.confidence``, over the predictions of the walk forward;
one-sided but for the first, whose bound is two-sided and also that of the draws on which the
verdict rests: no model is to pass beside words that call its signal noise.

- does its probability lose less than the running base rate's (log-loss skill above 0)?
- among the accounts that a team can work, do at least ``1 - gate.tolerance`` times as many expand
  as by the simple ranking? That ranking is the one that was best on what each cut knew, so it is
  chosen without hindsight, as the model is.
- the same against the champion, where there is one.

Bounds are quantiles of a bootstrap that draws whole accounts and, where there are enough of them,
whole cuts (:mod:`training.resampling` says how many, and why). With fewer, what cuts differ by is
not in the bound, and the ruling says so. ``make bench-gate`` measures what all this lets through.

No margin stands in for a bound: a difference of precision that is allowed to be, say, .02 worse
lets a model that knows nothing pass about every second time where few accounts expand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from data.settings import Settings
from training import metrics
from training import probability_metrics as truth
from training import ranking_metrics as ranking
from training.resampling import FEWEST_CUTS, Array, Metric

__all__ = ["Check", "Ruling", "judge", "unjudged"]

_DRAWS: Final = 1_000  # at least: a bound at 10 % then rests on a hundred of them
_FEWEST: Final = 10  # accounts that expanded, and that did not
_SKILL: Final = "skill over the base rate"
_SIMPLE: Final = "precision over the simple ranking"
_CHAMPION: Final = "precision over the champion"


@dataclass(frozen=True)
class Check:
    """One question that a model has to answer.

    Attributes
    ----------
    name : str
        Of the question.
    passes : bool
        Whether its lower bound is high enough.
    value, low : float or None
        What is asked for, and its lower bound; None where it cannot be computed.
    says : str
        The answer as a clause.
    """

    name: str
    passes: bool
    value: float | None
    low: float | None
    says: str


@dataclass(frozen=True)
class Ruling:
    """Whether a model may be promoted, and why.

    Attributes
    ----------
    passes : bool
        Whether every check passes.
    sentence : str
        Why, or why not.
    checks : tuple of Check
        In the order in which they are asked; none where nothing could be judged.
    counts : mapping of str to int
        ``snapshots``, ``accounts``, ``cuts``, ``expanded``: what it rests on.
    notes : tuple of str
        Sentences on what the ruling could not look at.
    """

    passes: bool
    sentence: str
    checks: tuple[Check, ...]
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Ruling({'passes' if self.passes else 'refused'}: {self.sentence})"

    def told(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        return {**asdict(self), "counts": dict(self.counts)}


def unjudged(why: str) -> Ruling:
    """Refuse a model of which nothing could be judged.

    Parameters
    ----------
    why : str
        A sentence.
    """
    return Ruling(passes=False, sentence=f"Not promoted: {why}", checks=(), counts={})


def judge(
    predictions: pl.DataFrame,
    settings: Settings,
    *,
    champion: pl.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> Ruling:
    """Rule whether a model may be promoted.

    Parameters
    ----------
    predictions : polars.DataFrame
        Of the walk forward: ``account_id``, ``as_of``, ``cut``, ``expanded`` (null while unknown),
        ``probability``, ``base_rate``, ``simple`` (which simple ranking its cut chose) and
        ``simple_score``.
    settings : data.settings.Settings
        ``gate``, and the capacity and seed.
    champion : polars.DataFrame, optional
        ``account_id``, ``as_of``, ``probability``: what the champion's settings said over the same
        cuts; without it that question is not asked.
    notes : sequence of str
        Sentences on what could not be looked at, such as a champion of another catalogue.

    Returns
    -------
    Ruling
        The same predictions and settings give the same ruling.
    """
    known = predictions.filter(pl.col("expanded").is_not_null())
    counts = _counts(known)
    if lack := _lack(known):
        return Ruling(False, f"Not promoted: {lack}.", (), counts, tuple(notes))
    drawn = _Drawn(known, settings)
    checks = [_skill(known, drawn), _over_simple(known, drawn, settings)]
    if champion is not None:
        beside, drawn = _beside(known, champion, settings)
        mine, theirs = (beside[name].to_numpy() for name in ("probability", "rival"))
        gap = drawn.advantage(mine, theirs)
        checks.append(_compared(_CHAMPION, "the champion", gap, drawn, settings))
    told = (*notes, *_caveats(known, settings))
    return Ruling(
        all(check.passes for check in checks),
        _sentence(checks),
        tuple(checks),
        counts,
        told,
    )


class _Drawn:
    """Draws of one set of predictions, and lower bounds over them."""

    def __init__(self, known: pl.DataFrame, settings: Settings) -> None:
        self.judged = metrics.judged(known)
        self._rules, self._capacity = settings.gate, settings.evaluation.capacity
        draws = max(_DRAWS, settings.evaluation.resamples)
        self._draws = self.judged.draws(resamples=draws, seed=settings.model.seed)
        self._verdicts = self.judged.draws(
            resamples=settings.evaluation.resamples, seed=settings.model.seed
        )

    def of(self, metric: Metric) -> Array:
        return self._draws.of(metric)

    def lower(self, metric: Metric) -> tuple[float, float | None]:
        """A figure, and the lower of its two-sided bounds by these draws and the verdict's."""
        values = self.of(metric)
        bounds = [self.low(some, tails=2) for some in (values, self._verdicts.of(metric))]
        return float(values[0]), None if None in bounds else min(b for b in bounds if b is not None)

    def precision(self, score: Array) -> Array:
        judged = self.judged
        return self.of(
            ranking.mean_precision_at_capacity(score, judged.expanded, judged.as_of, self._capacity)
        )

    def advantage(self, score: Array, rival: Array) -> tuple[Array, Array]:
        """Precision at capacity of both, on the same draws."""
        return self.precision(score), self.precision(rival)

    def low(self, values: Array, *, tails: int = 1) -> float | None:
        there = values[1:][~np.isnan(values[1:])]
        below = (1 - self._rules.confidence) / tails
        return float(np.quantile(there, below)) if len(there) else None


def _skill(known: pl.DataFrame, drawn: _Drawn) -> Check:
    expanded = drawn.judged.expanded
    stated, base = (truth.clipped(known[name].to_numpy()) for name in ("probability", "base_rate"))
    value, low = drawn.lower(truth.log_loss_skill(stated, base, expanded))
    passes = low is not None and low > 0
    verb = "beats" if passes else "does not beat"
    says = (
        f"its probability {verb} the running base rate beyond noise (log-loss skill"
        f" {value:.3f}, lower bound {_signed(low)})"
    )
    return Check(_SKILL, passes, value, low, says)


def _over_simple(known: pl.DataFrame, drawn: _Drawn, settings: Settings) -> Check:
    mine, theirs = (known[name].to_numpy() for name in ("probability", "simple_score"))
    names = known["simple"].unique(maintain_order=True).to_list()
    called = f"the simple ranking chosen at each cut ({', '.join(names)})"
    return _compared(_SIMPLE, called, drawn.advantage(mine, theirs), drawn, settings)


def _compared(
    name: str, called: str, precision: tuple[Array, Array], drawn: _Drawn, settings: Settings
) -> Check:
    """Ask whether enough of the accounts worked expand, beside a rival's."""
    mine, theirs = precision
    share = 1 - settings.gate.tolerance
    gap = mine - share * theirs
    low = drawn.low(gap)
    passes = low is not None and low >= 0
    verb = "keeps up with" if passes else "may fall short of"
    says = (
        f"at capacity it {verb} {called}: of the {settings.evaluation.capacity} accounts worked"
        f" {mine[0]:.1%} expanded against {theirs[0]:.1%} (less {share:.0%} of the latter:"
        f" {gap[0]:+.1%}, lower bound {_signed(low, '.1%')})"
    )
    return Check(name, passes, float(gap[0]), low, says)


def _beside(
    known: pl.DataFrame, champion: pl.DataFrame, settings: Settings
) -> tuple[pl.DataFrame, _Drawn]:
    """What both said of the same snapshots."""
    keys = ["account_id", "as_of"]
    rival = champion.select(*keys, rival="probability")
    both = known.join(rival, on=keys, how="inner", maintain_order="left")
    return both, _Drawn(both, settings)


def _counts(known: pl.DataFrame) -> dict[str, int]:
    expanded = known.filter("expanded")
    return {
        "snapshots": known.height,
        "accounts": known["account_id"].n_unique(),
        "cuts": known["cut"].n_unique(),
        "expanded": expanded.height,
        "accounts_expanded": expanded["account_id"].n_unique(),
    }


def _lack(known: pl.DataFrame) -> str | None:
    """Say what is missing for any ruling, if so."""
    ever = known.group_by("account_id").agg(pl.col("expanded").any())["expanded"]
    yes, no = int(ever.sum()), int((~ever).sum())
    if min(yes, no) >= _FEWEST:
        return None
    return (
        f"of {len(ever):,} accounts judged {yes:,} expanded and {no:,} did not, and at least"
        f" {_FEWEST} of each are needed to tell a model from chance"
    )


def _caveats(known: pl.DataFrame, settings: Settings) -> list[str]:
    """What the ruling rests on that a reader should know."""
    told = []
    cuts = known["cut"].n_unique()
    if cuts < FEWEST_CUTS:
        told.append(
            f"It rests on {cuts} cut{'s' * (cuts > 1)} with known outcomes, too few to tell how"
            " much cuts differ: the bounds know accounts only."
        )
    listed = known.group_by("as_of").len()["len"]
    if int(listed.max()) <= settings.evaluation.capacity:  # type: ignore[arg-type]
        told.append(
            f"A team of {settings.evaluation.capacity} (evaluation.capacity) works every account,"
            " so the order of the list was not put to a test."
        )
    if "capacity" not in settings.evaluation.model_fields_set:
        told.append(
            f"No capacity is set: {settings.evaluation.capacity} accounts per as-of are assumed."
        )
    return told


def _sentence(checks: Sequence[Check]) -> str:
    failed = [check.says for check in checks if not check.passes]
    if failed:
        return f"Not promoted: {'; and '.join(failed)}."
    return f"Passes the gate: {'; and '.join(check.says for check in checks)}."


def _signed(value: float | None, form: str = ".3f") -> str:
    return "unknown" if value is None else f"{value:+{form}}"
