"""What a walk through history was worth: predictions, their figures, and a verdict in words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from typing import Any

import polars as pl

from data.settings import Settings
from training import judgement, metrics, notes, segments
from training.calibration import Calibration
from training.judgement import MODEL, Rankings
from training.power import Power
from training.segments import Segment

__all__ = ["Evaluation"]

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
        whole of the 180 days is known, and ``days_to_expansion`` of those that did. ``simple``
        names the simple ranking that was best on what the cut knew, and ``simple_score`` is its
        score, to be compared within an as-of only; ``best_column`` names the column of the
        catalogue that was, and ``best column so far`` holds its score. A column per learner holds
        its probability. ``known_days`` of what followed are known, 180 at most; in
        ``days_followed`` came an expansion or, where ``expansion_seen`` is false, none so far.
        ``arr_added`` is what the expansion within the horizon added to the yearly revenue, 0 where
        none came, null where that is not known. ``size``, ``plan``, ``tenure`` and, where it is
        stable, ``segment`` say of what kind the account was.
    figures : mapping
        Ranking → figure name → value with interval; over all judged snapshots.
    date_figures : mapping
        Figure name → value with interval; see :func:`training.date_metrics.figures` and
        :func:`training.survival_metrics.figures`.
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
    settings : data.settings.Settings
        By which it was judged.
    """

    predictions: pl.DataFrame
    figures: Mapping[str, Mapping[str, metrics.Figure]]
    date_figures: Mapping[str, metrics.Figure]
    over_best_simple: metrics.Figure
    bands: list[dict[str, Any]]
    skipped: Mapping[date, str]
    linear_share: float
    calibration: Calibration
    settings: Settings

    def __repr__(self) -> str:
        known = self.predictions["expanded"].drop_nulls()
        return (
            f"Evaluation({self.predictions.height:,} predictions from"
            f" {self.predictions['cut'].n_unique()} cuts; {known.len():,} with a known outcome,"
            f" {known.sum():,} expanded)"
        )

    def best_simple(self) -> str:
        """Name of the simple ranking with the highest precision at capacity."""
        return judgement.best(self.figures)

    @cached_property
    def learners(self) -> Rankings:
        """Learner → figure name → value with interval, as of the model."""
        return judgement.learners(self.predictions, self.settings)

    @cached_property
    def by_cut(self) -> Mapping[date, Rankings]:
        """Cut → the same figures of model, rankings and learners on what it judged."""
        return judgement.by_cut(self.predictions, self.settings)

    @cached_property
    def segments(self) -> Mapping[str, Mapping[str, Segment]]:
        """Size, plan, tenure, segment → kind of account → figures of the model."""
        return segments.figures(self.predictions, self.settings)

    @cached_property
    def lift(self) -> list[dict[str, Any]]:
        """Lift by tenth of the probability; :func:`training.lift.by_decile`."""
        return judgement.by_decile(self.predictions, self.settings)

    @cached_property
    def power(self) -> Power:
        """How large a difference from the best simple ranking could have been shown."""
        return judgement.power_over(self.predictions, self.best_simple(), self.settings)

    @cached_property
    def over_simple(self) -> metrics.Figure:
        """Precision at capacity less that of the simple ranking that each cut would have chosen."""
        return judgement.over(self.predictions, "simple_score", self.settings)

    def told(self) -> dict[str, Any]:
        """Everything but the predictions, as JSON values; a figure is value, low and high."""
        best = {"ranking": self.best_simple(), **asdict(self.over_best_simple)}
        return {
            "verdict": self.verdict(),
            "figures": _plain(self.figures),
            "learners": _plain(self.learners),
            "date_figures": _plain(self.date_figures),
            "by_cut": {str(cut): _plain(found) for cut, found in self.by_cut.items()},
            "segments": _plain(self.segments),
            "lift": self.lift,
            "bands": self.bands,
            "over_best_simple": best,
            "over_simple": asdict(self.over_simple),
            "power": {**asdict(self.power), "said": str(self.power)},
            "notes": self.notes(),
            "skipped": {str(cut): reason for cut, reason in self.skipped.items()},
        }

    def notes(self) -> list[str]:
        """Say what could not be judged, or was assumed."""
        return notes.of(self.predictions, self.settings)

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


def _plain(found: Any) -> Any:  # noqa: ANN401 - figures, at any depth of mappings
    """Turn figures into JSON values."""
    if isinstance(found, Mapping):
        return {name: _plain(each) for name, each in found.items()}
    return asdict(found)
