"""Contributions to the shown number, told as the sentences a CSM reads.

Features that measure one thing share a signal, and signals that tell of one thing a story; their
exact TreeSHAP contributions are added. A story that pushed the number up is told as a reason, one
that pushed it down as what holds back, each with the facts behind it: never a reason that reads as
its opposite. What happens at an account is told before what it is. The controls never appear.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES, FEATURES_BY_NAME, GROUP_BY_SIGNAL, REASON_GROUPS
from training.explain import templates
from training.explain.templates import Direction, ReasonTemplates
from training.model import dataframe
from training.model.propensity import Propensity, Snapshots
from training.pipeline.fallback_ranking import CalibratedRanking

__all__ = ["Explanation", "explain_predictions"]

_CHUNK_ROWS: Final = 10_000  # snapshots whose contributions are held at once, feature by feature

Array = NDArray[np.float64]
ReasonLists = list[list[str]]


@dataclass(frozen=True)
class Explanation:
    """Why each snapshot is scored as it is.

    Attributes
    ----------
    base_value : numpy.ndarray, shape (n,)
        Expected margin before anything is known of the account.
    signal_groups : tuple of str
        The columns of ``attributions``.
    attributions : numpy.ndarray, shape (n, n_signals)
        What each signal adds to the margin; with the base they add up to it.
    reasons : list of list of str
        The stories that pushed the number up most, as sentences, most important first, what an
        account is after what happens there. A story without a fact to tell is not told, though it
        counted.
    counter_reasons : list of list of str
        The same of the stories that pushed it down most.
    reason_groups : list of list of str
        The names of the stories that ``reasons`` tell.
    """

    base_value: Array
    signal_groups: tuple[str, ...]
    attributions: Array
    reasons: ReasonLists
    counter_reasons: ReasonLists
    reason_groups: ReasonLists

    def __repr__(self) -> str:
        return f"Explanation(of {len(self.base_value):,} snapshots by {len(self.signal_groups)} signals)"

    @cached_property
    def contributions(self) -> list[dict[str, float]]:
        """Signal → contribution to the margin of each snapshot, largest first."""
        order = np.argsort(-self.attributions, axis=1, kind="stable")
        return [
            {self.signal_groups[column]: float(row[column]) for column in ranked}
            for row, ranked in zip(self.attributions, order, strict=True)
        ]

    def to_json_series(self) -> pl.Series:
        """Signal → contribution of each snapshot, as JSON texts: for many snapshots at once."""
        columns = {
            name: self.attributions[:, column] for column, name in enumerate(self.signal_groups)
        }
        return pl.DataFrame(columns).select(it=pl.struct(pl.all()).struct.json_encode())["it"]


def explain_predictions(
    model: Propensity | CalibratedRanking,
    snapshots: Snapshots,
    *,
    max_reasons: int = 3,
    max_counter_reasons: int = 2,
    reason_templates: ReasonTemplates | None = None,
) -> Explanation:
    """Explain the probability of each snapshot.

    Parameters
    ----------
    model : Propensity or Simple
        What scored them.
    snapshots : polars.DataFrame or pandas.DataFrame
        Rows of a :class:`features.panel.builder.Panel`.
    max_reasons, max_counter_reasons : int
        Sentences per snapshot, at most: of what pushed up, and of what holds back.
    reason_templates : training.explain.templates.ReasonTemplates, optional
        The company's own; by default those that come with the program.

    Returns
    -------
    Explanation
        In the order of the snapshots.
    """
    active_templates = reason_templates or templates.load_default_templates()
    signal_groups = tuple(sorted({FEATURES_BY_NAME[name].signal_group for name in model.inputs}))
    base_value, attributions = _compute_attributions(model, snapshots, signal_groups)
    groups = sorted(
        {GROUP_BY_SIGNAL[name] for name in signal_groups}, key=list(REASON_GROUPS).index
    )
    group_contributions = _sum_columns_by_group(
        attributions, [GROUP_BY_SIGNAL[name] for name in signal_groups], groups
    )
    features = dataframe.select_columns(snapshots, FEATURE_NAMES).fill_nan(None)
    reasons, reason_groups = _ReasonSelector(groups, "raises", max_reasons, active_templates)(
        group_contributions, features
    )
    counter_reasons, _ = _ReasonSelector(groups, "holds", max_counter_reasons, active_templates)(
        -group_contributions, features
    )
    return Explanation(
        base_value, signal_groups, attributions, reasons, counter_reasons, reason_groups
    )


def _compute_attributions(
    model: Propensity | CalibratedRanking, snapshots: Snapshots, signal_groups: Sequence[str]
) -> tuple[Array, Array]:
    """Base, and contributions added by signal, in pieces that memory does not feel."""
    column_groups = [FEATURES_BY_NAME[name].signal_group for name in model.inputs]
    if isinstance(
        model, CalibratedRanking
    ):  # its places are among all that are compared with each other
        contributions, base = model.compute_contributions(snapshots)
        return base, _sum_columns_by_group(contributions, column_groups, signal_groups)
    matrix = dataframe.select_columns(snapshots, model.inputs)
    chunks = [
        model.compute_contributions(matrix.slice(start, _CHUNK_ROWS))
        for start in range(0, matrix.height, _CHUNK_ROWS)
    ]
    base = np.concatenate([base for _, base in chunks])
    return base, np.concatenate(
        [_sum_columns_by_group(parts, column_groups, signal_groups) for parts, _ in chunks]
    )


def _sum_columns_by_group(
    contributions: Array, column_groups: Sequence[str], groups: Sequence[str]
) -> Array:
    """Add the columns of each group, one after the other: the same bytes in pieces of any size."""
    totals = np.zeros((len(contributions), len(groups)))
    for column, group in enumerate(column_groups):
        totals[:, groups.index(group)] += contributions[:, column]
    return totals


@dataclass(frozen=True)
class _ReasonSelector:
    """Tells the stories that push one way."""

    groups: list[str]
    direction: Direction
    max_reasons: int
    reason_templates: ReasonTemplates

    def __call__(
        self, contributions: Array, features: pl.DataFrame
    ) -> tuple[ReasonLists, ReasonLists]:
        """Give sentences and their stories for each row, down its ranks."""
        is_static = np.array([REASON_GROUPS[name].is_static for name in self.groups])
        order = np.lexsort(
            (-contributions, np.broadcast_to(is_static, contributions.shape)), axis=1
        )
        reasons: ReasonLists = [[] for _ in range(len(contributions))]
        reason_groups: ReasonLists = [[] for _ in range(len(contributions))]
        pending = np.arange(len(contributions))
        for rank in range(len(self.groups)):
            for column in np.unique(order[pending, rank]):
                rows = pending[
                    (order[pending, rank] == column) & (contributions[pending, column] > 0)
                ]
                group = self.groups[column]
                for row, text in zip(rows, self._render_group(group, rows, features), strict=True):
                    if text:
                        reasons[row].append(text)
                        reason_groups[row].append(group)
            is_short = [len(reasons[row]) < self.max_reasons for row in pending]
            pending = pending[np.array(is_short, dtype=bool)]
        return reasons, reason_groups

    def _render_group(
        self, group: str, rows: NDArray[np.int64], features: pl.DataFrame
    ) -> list[str]:
        feature_names = self.reason_templates.required_features(group, self.direction)
        rows_of_values = (
            features.select(feature_names)[rows].rows() if feature_names else [()] * len(rows)
        )
        return self.reason_templates.render_many(group, self.direction, rows_of_values)
