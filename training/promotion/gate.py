"""Promotion gate: a new model is promoted only if it beats the baselines on this company's history.

Each check compares a lower confidence bound at ``gate.confidence`` over the walk-forward
predictions. Bounds are one-sided, except that of the first check. That one is two-sided and also
uses the verdict's replicates, so that a model cannot pass the gate while the report calls its skill
indistinguishable from noise.

- Skill: its log loss is below that of the running base rate (log-loss skill above 0).
- Baseline: among the accounts within capacity, at least ``1 - gate.tolerance`` times as many expand
  as by the baseline. The baseline is selected at each cutoff from what was known then, hence
  without hindsight, as for the model.
- Champion: the same against the champion, where there is one.

Bounds are quantiles of a bootstrap over whole accounts and, if there are enough, whole cutoffs
(:mod:`training.metrics.cluster_bootstrap`). With fewer cutoffs, the bound ignores the variation
between cutoffs, and the decision says so. ``make bench-gate`` measures the error rates of the gate.

A fixed margin does not replace a bound: if precision may be, for example, .02 worse, a model
without skill passes about every second time where few accounts expand.
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

_MIN_RESAMPLES: Final = 1_000  # minimum: a bound at 10 % then uses a hundred replicates
_MIN_ACCOUNTS: Final = 10  # minimum number of accounts of each class
_SKILL: Final = "skill over the base rate"
_BASELINE: Final = "precision over the baseline"
_CHAMPION: Final = "precision over the champion"


@dataclass(frozen=True)
class GateCheck:
    """One check of the gate.

    Attributes
    ----------
    name : str
        Of the check.
    passes : bool
        True if the lower bound is high enough.
    value, low : float or None
        The statistic and its lower bound; None where undefined.
    message : str
        The result as a clause.
    """

    name: str
    passes: bool
    value: float | None
    low: float | None
    message: str


@dataclass(frozen=True)
class GateDecision:
    """Decision on promotion, with its reasons.

    Attributes
    ----------
    passes : bool
        True if every check passes.
    summary : str
        The reason.
    checks : tuple of GateCheck
        In order of evaluation; empty where nothing could be evaluated.
    counts : mapping of str to int
        ``snapshots``, ``accounts``, ``cutoffs``, ``expanded``: the size of the evidence.
    notes : tuple of str
        Sentences on what the decision does not cover.
    """

    passes: bool
    summary: str
    checks: tuple[GateCheck, ...]
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"GateDecision({'passes' if self.passes else 'rejected'}: {self.summary})"

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as JSON values."""
        return {**asdict(self), "counts": dict(self.counts)}


def reject_unevaluated(reason: str) -> GateDecision:
    """Reject a model that could not be evaluated.

    Parameters
    ----------
    reason : str
        A sentence.
    """
    return GateDecision(passes=False, summary=f"Not promoted: {reason}", checks=(), counts={})


def evaluate_gate(
    predictions: pl.DataFrame,
    settings: Settings,
    *,
    champion: pl.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> GateDecision:
    """Decide whether a model may be promoted.

    Parameters
    ----------
    predictions : polars.DataFrame
        Walk-forward predictions: ``account_id``, ``as_of``, ``cutoff``, ``expanded`` (null while
        unknown), ``probability``, ``base_rate``, ``baseline`` (selected at the cutoff)
        and ``baseline_score``.
    settings : data.config.settings.Settings
        ``gate``, capacity and seed.
    champion : polars.DataFrame, optional
        ``account_id``, ``as_of``, ``probability`` of the champion's settings on the same cutoffs;
        without it that check is omitted.
    notes : sequence of str
        Sentences on what could not be checked, such as a champion with other features.

    Returns
    -------
    GateDecision
        The same predictions and settings give the same decision.
    """
    labelled = predictions.filter(pl.col("expanded").is_not_null())
    counts = _count_evidence(labelled)
    if missing := _find_missing_classes(labelled):
        return GateDecision(False, f"Not promoted: {missing}.", (), counts, tuple(notes))
    bounds = _BootstrapBounds(labelled, settings)
    checks = [_check_skill(labelled, bounds), _check_baseline(labelled, bounds, settings)]
    if champion is not None:
        paired, bounds = _join_champion(labelled, champion, settings)
        model_score, champion_score = (
            paired[name].to_numpy() for name in ("probability", "champion_probability")
        )
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
    """Bootstrap replicates of one set of predictions, and lower bounds over them."""

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
        """Compute a metric and its lower bound.

        The bound is the lower one of the two-sided bounds by these and by the verdict's replicates.
        """
        values = self.evaluate(metric)
        bounds = [
            self.compute_lower_bound(replicates, tails=2)
            for replicates in (values, self._verdict_bootstrap.evaluate(metric))
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
        """Compute precision at capacity of both scores, on the same replicates."""
        return self.compute_precision(score), self.compute_precision(baseline)

    def compute_lower_bound(self, values: Array, *, tails: int = 1) -> float | None:
        replicates = values[1:][~np.isnan(values[1:])]
        level = (1 - self._settings.confidence) / tails
        return float(np.quantile(replicates, level)) if len(replicates) else None


def _check_skill(labelled: pl.DataFrame, bounds: _BootstrapBounds) -> GateCheck:
    expanded = bounds.outcomes.expanded
    probability, base_rate = (
        truth.clip_probability(labelled[name].to_numpy()) for name in ("probability", "base_rate")
    )
    value, low = bounds.estimate_with_bound(truth.log_loss_skill(probability, base_rate, expanded))
    passes = low is not None and low > 0
    verb = "beats" if passes else "does not beat"
    message = (
        f"its probability {verb} the running base rate significantly (log-loss skill"
        f" {value:.3f}, lower bound {_format_signed(low)})"
    )
    return GateCheck(_SKILL, passes, value, low, message)


def _check_baseline(
    labelled: pl.DataFrame, bounds: _BootstrapBounds, settings: Settings
) -> GateCheck:
    model_score, baseline_score = (
        labelled[name].to_numpy() for name in ("probability", "baseline_score")
    )
    names = labelled["baseline"].unique(maintain_order=True).to_list()
    label = f"the baseline selected at each cutoff ({', '.join(names)})"
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
    """Check that enough of the accounts within capacity expand, compared with another ranking."""
    model_precision, other_precision = precision
    share = 1 - settings.gate.tolerance
    gap = model_precision - share * other_precision
    low = bounds.compute_lower_bound(gap)
    passes = low is not None and low >= 0
    verb = "is not worse than" if passes else "may be worse than"
    message = (
        f"at a capacity of {settings.evaluation.capacity} it {verb} {label}: precision"
        f" {model_precision[0]:.1%} against {other_precision[0]:.1%} (minus {share:.0%} of the"
        f" latter: {gap[0]:+.1%}, lower bound {_format_signed(low, '.1%')})"
    )
    return GateCheck(name, passes, float(gap[0]), low, message)


def _join_champion(
    labelled: pl.DataFrame, champion: pl.DataFrame, settings: Settings
) -> tuple[pl.DataFrame, _BootstrapBounds]:
    """Join the champion's predictions of the same snapshots."""
    keys = ["account_id", "as_of"]
    champion_scores = champion.select(*keys, champion_probability="probability")
    paired = labelled.join(champion_scores, on=keys, how="inner", maintain_order="left")
    return paired, _BootstrapBounds(paired, settings)


def _count_evidence(labelled: pl.DataFrame) -> dict[str, int]:
    expanded = labelled.filter("expanded")
    return {
        "snapshots": labelled.height,
        "accounts": labelled["account_id"].n_unique(),
        "cutoffs": labelled["cutoff"].n_unique(),
        "expanded": expanded.height,
        "accounts_expanded": expanded["account_id"].n_unique(),
    }


def _find_missing_classes(labelled: pl.DataFrame) -> str | None:
    """Return the reason the gate cannot be evaluated, or None."""
    expanded = labelled.group_by("account_id").agg(pl.col("expanded").any())["expanded"]
    yes, no = int(expanded.sum()), int((~expanded).sum())
    if min(yes, no) >= _MIN_ACCOUNTS:
        return None
    return (
        f"of {len(expanded):,} accounts evaluated {yes:,} expanded and {no:,} did not; at least"
        f" {_MIN_ACCOUNTS} of each are needed to distinguish a model from chance"
    )


def _list_caveats(labelled: pl.DataFrame, settings: Settings) -> list[str]:
    """List the assumptions of the decision."""
    caveats = []
    cutoffs = labelled["cutoff"].n_unique()
    if cutoffs < MIN_CUTOFF_CLUSTERS:
        caveats.append(
            f"Only {cutoffs} cutoff{'s' * (cutoffs > 1)} with known outcomes: too few to estimate"
            " the variation between cutoffs, which the bounds ignore."
        )
    accounts = labelled.group_by("as_of").len()["len"]
    if int(accounts.max()) <= settings.evaluation.capacity:  # type: ignore[arg-type]
        caveats.append(
            f"A capacity of {settings.evaluation.capacity} (evaluation.capacity) covers every"
            " account, so the order of the list was not tested."
        )
    if "capacity" not in settings.evaluation.model_fields_set:
        caveats.append(
            f"No capacity is set: {settings.evaluation.capacity} accounts per as-of date are"
            " assumed."
        )
    return caveats


def _summarize_checks(checks: Sequence[GateCheck]) -> str:
    failed = [check.message for check in checks if not check.passes]
    if failed:
        return f"Not promoted: {'; and '.join(failed)}."
    return f"Passes the gate: {'; and '.join(check.message for check in checks)}."


def _format_signed(value: float | None, form: str = ".3f") -> str:
    return "unknown" if value is None else f"{value:+{form}}"
