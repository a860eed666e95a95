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

from data.config.settings import EvaluationConfig, Settings
from training.metrics import probability as truth
from training.metrics import ranking, summary
from training.metrics.cluster_bootstrap import MIN_CUTOFF_CLUSTERS, Array

__all__ = ["GateCheck", "GateDecision", "evaluate_gate", "reject_unevaluated"]

_MIN_RESAMPLES: Final = 1_000  # minimum: a bound at 10 % then uses a hundred replicates
_MIN_ACCOUNTS: Final = 10  # minimum number of accounts of each class
_SKILL: Final = "skill over the base rate"
_BASELINE: Final = "precision over the baseline"
_CHAMPION: Final = "precision over the champion"


@dataclass(frozen=True)
class GateCheck:
    """One check of the gate: it passes if the lower bound of the statistic is high enough.

    ``value`` and ``low`` are None where undefined; ``message`` is the result as a clause.
    """

    name: str
    passes: bool
    value: float | None
    low: float | None
    message: str


@dataclass(frozen=True)
class GateDecision:
    """Decision on promotion, with its reasons: it passes if every check does.

    The checks are in order of evaluation, empty where nothing could be evaluated. The counts,
    ``snapshots``, ``accounts``, ``cutoffs``, ``expanded`` and ``accounts_expanded``, are the size
    of the evidence; the notes are sentences on what the decision does not cover.
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
    """Reject a model that could not be evaluated; the reason is a sentence."""
    return GateDecision(passes=False, summary=f"Not promoted: {reason}", checks=(), counts={})


def evaluate_gate(
    predictions: pl.DataFrame,
    settings: Settings,
    *,
    champion: pl.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> GateDecision:
    """Decide whether a model may be promoted.

    The walk-forward predictions hold ``account_id``, ``as_of``, ``cutoff``, ``expanded`` (null
    while unknown), ``probability``, ``base_rate``, ``baseline`` (selected at the cutoff) and
    ``baseline_score``; those of the champion's settings on the same cutoffs ``account_id``,
    ``as_of`` and ``probability``. Without them that check is omitted. The notes are sentences on
    what could not be checked, such as a champion with other features.
    """
    labelled = predictions.filter(pl.col("expanded").is_not_null())
    counts = _count_evidence(labelled)
    if missing := _find_missing_classes(labelled):
        return GateDecision(False, f"Not promoted: {missing}.", (), counts, tuple(notes))
    bounds = _BootstrapBounds(labelled, settings)
    names = ", ".join(labelled["baseline"].unique(maintain_order=True))
    baseline = f"the baseline selected at each cutoff ({names})"
    checks = [
        bounds.check_skill(),
        bounds.check_precision(_BASELINE, baseline, "baseline_score"),
    ]
    if champion is not None:
        keys = ["account_id", "as_of"]
        champion_scores = champion.select(*keys, champion_probability="probability")
        paired = labelled.join(champion_scores, on=keys, how="inner", maintain_order="left")
        bounds = _BootstrapBounds(paired, settings)
        checks.append(bounds.check_precision(_CHAMPION, "the champion", "champion_probability"))
    return GateDecision(
        all(check.passes for check in checks),
        _summarize_checks(checks),
        tuple(checks),
        counts,
        (*notes, *_list_caveats(labelled, settings.evaluation)),
    )


class _BootstrapBounds:
    """Checks of one set of predictions, by lower bounds over its bootstrap replicates."""

    def __init__(self, labelled: pl.DataFrame, settings: Settings) -> None:
        self._labelled, self._outcomes = labelled, summary.label_outcomes(labelled)
        self._rules, self._capacity = settings.gate, settings.evaluation.capacity
        resamples, seed = settings.evaluation.n_bootstrap, settings.model.seed
        self._bootstrap = self._outcomes.bootstrap(
            resamples=max(_MIN_RESAMPLES, resamples), seed=seed
        )
        self._verdict_bootstrap = self._outcomes.bootstrap(resamples=resamples, seed=seed)

    def check_skill(self) -> GateCheck:
        """Check that the log loss is below that of the base rate.

        The bound is the lower one of the two-sided bounds by these and by the verdict's replicates.
        """
        probability, base_rate = (
            truth.clip_probability(self._labelled[name].to_numpy())
            for name in ("probability", "base_rate")
        )
        metric = truth.log_loss_skill(probability, base_rate, self._outcomes.expanded)
        values = self._bootstrap.evaluate(metric)
        bounds = [
            self._compute_lower_bound(replicates, tails=2)
            for replicates in (values, self._verdict_bootstrap.evaluate(metric))
        ]
        value = float(values[0])
        low = None if None in bounds else min(b for b in bounds if b is not None)
        passes = low is not None and low > 0
        verb = "beats" if passes else "does not beat"
        message = (
            f"its probability {verb} the running base rate significantly (log-loss skill"
            f" {value:.3f}, lower bound {_format_signed(low)})"
        )
        return GateCheck(_SKILL, passes, value, low, message)

    def check_precision(self, name: str, label: str, other_score: str) -> GateCheck:
        """Check that enough of the accounts within capacity expand, compared with another ranking.

        ``other_score`` is the column of the other ranking, and ``label`` its name.
        """
        precision, other = (
            self._compute_precision(score) for score in ("probability", other_score)
        )
        share = 1 - self._rules.tolerance
        gap = precision - share * other
        low = self._compute_lower_bound(gap)
        passes = low is not None and low >= 0
        verb = "is not worse than" if passes else "may be worse than"
        message = (
            f"at a capacity of {self._capacity} it {verb} {label}: precision"
            f" {precision[0]:.1%} against {other[0]:.1%} (minus {share:.0%} of the"
            f" latter: {gap[0]:+.1%}, lower bound {_format_signed(low, '.1%')})"
        )
        return GateCheck(name, passes, float(gap[0]), low, message)

    def _compute_precision(self, score: str) -> Array:
        """Compute precision at capacity on each replicate."""
        return self._bootstrap.evaluate(
            ranking.mean_precision_at_capacity(
                self._labelled[score].to_numpy(),
                self._outcomes.expanded,
                self._outcomes.as_of,
                self._capacity,
            )
        )

    def _compute_lower_bound(self, values: Array, *, tails: int = 1) -> float | None:
        replicates = values[1:][~np.isnan(values[1:])]
        level = (1 - self._rules.confidence) / tails
        return float(np.quantile(replicates, level)) if len(replicates) else None


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


def _list_caveats(labelled: pl.DataFrame, rules: EvaluationConfig) -> list[str]:
    """List the assumptions of the decision."""
    caveats = []
    cutoffs = labelled["cutoff"].n_unique()
    if cutoffs < MIN_CUTOFF_CLUSTERS:
        caveats.append(
            f"Only {cutoffs} cutoff{'s' * (cutoffs > 1)} with known outcomes: too few to estimate"
            " the variation between cutoffs, which the bounds ignore."
        )
    accounts = labelled.group_by("as_of").len()["len"]
    if int(accounts.max()) <= rules.capacity:  # type: ignore[arg-type]
        caveats.append(
            f"A capacity of {rules.capacity} (evaluation.capacity) covers every"
            " account, so the order of the list was not tested."
        )
    if "capacity" not in rules.model_fields_set:
        caveats.append(f"No capacity is set: {rules.capacity} accounts per as-of date are assumed.")
    return caveats


def _summarize_checks(checks: Sequence[GateCheck]) -> str:
    failed = [check.message for check in checks if not check.passes]
    if failed:
        return f"Not promoted: {'; and '.join(failed)}."
    return f"Passes the gate: {'; and '.join(check.message for check in checks)}."


def _format_signed(value: float | None, form: str = ".3f") -> str:
    return "unknown" if value is None else f"{value:+{form}}"
