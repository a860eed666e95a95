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
whole cuts (:mod:`training.metrics.cluster_bootstrap` says how many, and why). With fewer, what cuts differ by is
not in the bound, and the ruling says so. ``make bench-gate`` measures what all this lets through.

No margin stands in for a bound: a difference of precision that is allowed to be, say, .02 worse
lets a model that knows nothing pass about every second time where few accounts expand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from data.config.settings import Settings
from training.metrics import probability as truth
from training.metrics import ranking, summary
from training.metrics.cluster_bootstrap import MIN_CUTOFF_CLUSTERS, Array, Metric

__all__ = ["GateCheck", "GateDecision", "evaluate_gate", "reject_unevaluated"]

_MIN_RESAMPLES: Final = 1_000  # at least: a bound at 10 % then rests on a hundred of them
_MIN_ACCOUNTS: Final = 10  # accounts that expanded, and that did not
_SKILL: Final = "skill over the base rate"
_BASELINE: Final = "precision over the simple ranking"
_CHAMPION: Final = "precision over the champion"


@dataclass(frozen=True)
class GateCheck:
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
class GateDecision:
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
    checks: tuple[GateCheck, ...]
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Ruling({'passes' if self.passes else 'refused'}: {self.sentence})"

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        return {**asdict(self), "counts": dict(self.counts)}


def reject_unevaluated(reason: str) -> GateDecision:
    """Refuse a model of which nothing could be judged.

    Parameters
    ----------
    reason : str
        A sentence.
    """
    return GateDecision(passes=False, sentence=f"Not promoted: {reason}", checks=(), counts={})


def evaluate_gate(
    predictions: pl.DataFrame,
    settings: Settings,
    *,
    champion: pl.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> GateDecision:
    """Rule whether a model may be promoted.

    Parameters
    ----------
    predictions : polars.DataFrame
        Of the walk forward: ``account_id``, ``as_of``, ``cut``, ``expanded`` (null while unknown),
        ``probability``, ``base_rate``, ``simple`` (which simple ranking its cut chose) and
        ``simple_score``.
    settings : data.config.settings.Settings
        ``gate``, and the capacity and seed.
    champion : polars.DataFrame, optional
        ``account_id``, ``as_of``, ``probability``: what the champion's settings said over the same
        cuts; without it that question is not asked.
    notes : sequence of str
        Sentences on what could not be looked at, such as a champion of another catalogue.

    Returns
    -------
    GateDecision
        The same predictions and settings give the same ruling.
    """
    labelled = predictions.filter(pl.col("expanded").is_not_null())
    counts = _count_evidence(labelled)
    if missing := _find_missing_classes(labelled):
        return GateDecision(False, f"Not promoted: {missing}.", (), counts, tuple(notes))
    bounds = _BootstrapBounds(labelled, settings)
    checks = [_check_skill(labelled, bounds), _check_baseline(labelled, bounds, settings)]
    if champion is not None:
        paired, bounds = _join_champion(labelled, champion, settings)
        model_score, champion_score = (paired[name].to_numpy() for name in ("probability", "rival"))
        gap = bounds.compute_precisions(model_score, champion_score)
        checks.append(_check_precision(_CHAMPION, "the champion", gap, bounds, settings))
    all_notes = (*notes, *_list_caveats(labelled, settings))
    return GateDecision(
        all(check.passes for check in checks),
        _summarize_checks(checks),
        tuple(checks),
        counts,
        all_notes,
    )


class _BootstrapBounds:
    """Draws of one set of predictions, and lower bounds over them."""

    def __init__(self, labelled: pl.DataFrame, settings: Settings) -> None:
        self.outcomes = summary.label_outcomes(labelled)
        self._settings, self._capacity = settings.gate, settings.evaluation.capacity
        n_bootstrap = max(_MIN_RESAMPLES, settings.evaluation.n_bootstrap)
        self._bootstrap = self.outcomes.bootstrap(resamples=n_bootstrap, seed=settings.model.seed)
        self._verdict_bootstrap = self.outcomes.bootstrap(
            resamples=settings.evaluation.n_bootstrap, seed=settings.model.seed
        )

    def evaluate(self, metric: Metric) -> Array:
        return self._bootstrap.evaluate(metric)

    def estimate_with_bound(self, metric: Metric) -> tuple[float, float | None]:
        """A figure, and the lower of its two-sided bounds by these draws and the verdict's."""
        values = self.evaluate(metric)
        bounds = [
            self.compute_lower_bound(some, tails=2)
            for some in (values, self._verdict_bootstrap.evaluate(metric))
        ]
        return float(values[0]), None if None in bounds else min(b for b in bounds if b is not None)

    def compute_precision(self, score: Array) -> Array:
        outcomes = self.outcomes
        return self.evaluate(
            ranking.mean_precision_at_capacity(
                score, outcomes.expanded, outcomes.as_of, self._capacity
            )
        )

    def compute_precisions(self, score: Array, baseline: Array) -> tuple[Array, Array]:
        """Precision at capacity of both, on the same draws."""
        return self.compute_precision(score), self.compute_precision(baseline)

    def compute_lower_bound(self, values: Array, *, tails: int = 1) -> float | None:
        replicates = values[1:][~np.isnan(values[1:])]
        below = (1 - self._settings.confidence) / tails
        return float(np.quantile(replicates, below)) if len(replicates) else None


def _check_skill(labelled: pl.DataFrame, bounds: _BootstrapBounds) -> GateCheck:
    expanded = bounds.outcomes.expanded
    probability, base_rate = (
        truth.clip_probability(labelled[name].to_numpy()) for name in ("probability", "base_rate")
    )
    value, low = bounds.estimate_with_bound(truth.log_loss_skill(probability, base_rate, expanded))
    passes = low is not None and low > 0
    verb = "beats" if passes else "does not beat"
    says = (
        f"its probability {verb} the running base rate beyond noise (log-loss skill"
        f" {value:.3f}, lower bound {_format_signed(low)})"
    )
    return GateCheck(_SKILL, passes, value, low, says)


def _check_baseline(
    labelled: pl.DataFrame, bounds: _BootstrapBounds, settings: Settings
) -> GateCheck:
    model_score, baseline_score = (
        labelled[name].to_numpy() for name in ("probability", "simple_score")
    )
    names = labelled["simple"].unique(maintain_order=True).to_list()
    label = f"the simple ranking chosen at each cut ({', '.join(names)})"
    return _check_precision(
        _BASELINE, label, bounds.compute_precisions(model_score, baseline_score), bounds, settings
    )


def _check_precision(
    name: str,
    label: str,
    precision: tuple[Array, Array],
    bounds: _BootstrapBounds,
    settings: Settings,
) -> GateCheck:
    """Ask whether enough of the accounts worked expand, beside a rival's."""
    model_precision, other_precision = precision
    share = 1 - settings.gate.tolerance
    gap = model_precision - share * other_precision
    low = bounds.compute_lower_bound(gap)
    passes = low is not None and low >= 0
    verb = "keeps up with" if passes else "may fall short of"
    says = (
        f"at capacity it {verb} {label}: of the {settings.evaluation.capacity} accounts worked"
        f" {model_precision[0]:.1%} expanded against {other_precision[0]:.1%} (less {share:.0%} of the latter:"
        f" {gap[0]:+.1%}, lower bound {_format_signed(low, '.1%')})"
    )
    return GateCheck(name, passes, float(gap[0]), low, says)


def _join_champion(
    labelled: pl.DataFrame, champion: pl.DataFrame, settings: Settings
) -> tuple[pl.DataFrame, _BootstrapBounds]:
    """What both said of the same snapshots."""
    keys = ["account_id", "as_of"]
    champion_scores = champion.select(*keys, rival="probability")
    paired = labelled.join(champion_scores, on=keys, how="inner", maintain_order="left")
    return paired, _BootstrapBounds(paired, settings)


def _count_evidence(labelled: pl.DataFrame) -> dict[str, int]:
    expanded = labelled.filter("expanded")
    return {
        "snapshots": labelled.height,
        "accounts": labelled["account_id"].n_unique(),
        "cuts": labelled["cut"].n_unique(),
        "expanded": expanded.height,
        "accounts_expanded": expanded["account_id"].n_unique(),
    }


def _find_missing_classes(labelled: pl.DataFrame) -> str | None:
    """Say what is missing for any ruling, if so."""
    ever = labelled.group_by("account_id").agg(pl.col("expanded").any())["expanded"]
    yes, no = int(ever.sum()), int((~ever).sum())
    if min(yes, no) >= _MIN_ACCOUNTS:
        return None
    return (
        f"of {len(ever):,} accounts judged {yes:,} expanded and {no:,} did not, and at least"
        f" {_MIN_ACCOUNTS} of each are needed to tell a model from chance"
    )


def _list_caveats(labelled: pl.DataFrame, settings: Settings) -> list[str]:
    """What the ruling rests on that a reader should know."""
    caveats = []
    cuts = labelled["cut"].n_unique()
    if cuts < MIN_CUTOFF_CLUSTERS:
        caveats.append(
            f"It rests on {cuts} cut{'s' * (cuts > 1)} with known outcomes, too few to tell how"
            " much cuts differ: the bounds know accounts only."
        )
    listed = labelled.group_by("as_of").len()["len"]
    if int(listed.max()) <= settings.evaluation.capacity:  # type: ignore[arg-type]
        caveats.append(
            f"A team of {settings.evaluation.capacity} (evaluation.capacity) works every account,"
            " so the order of the list was not put to a test."
        )
    if "capacity" not in settings.evaluation.model_fields_set:
        caveats.append(
            f"No capacity is set: {settings.evaluation.capacity} accounts per as-of are assumed."
        )
    return caveats


def _summarize_checks(checks: Sequence[GateCheck]) -> str:
    failed = [check.says for check in checks if not check.passes]
    if failed:
        return f"Not promoted: {'; and '.join(failed)}."
    return f"Passes the gate: {'; and '.join(check.says for check in checks)}."


def _format_signed(value: float | None, form: str = ".3f") -> str:
    return "unknown" if value is None else f"{value:+{form}}"
