"""Turn SHAP attributions of a prediction into the reasons that a CSM reads.

Features that measure the same thing share a signal group, and signal groups about one subject share
a reason group; their exact TreeSHAP contributions are summed. A reason group that raised the score
becomes a reason, one that lowered it a counter-reason, each with the facts behind it. Events at an
account come before static attributes. Control features never appear.
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
from training.model.prediction import Snapshots, select_columns
from training.model.propensity import Propensity
from training.pipeline.fallback_ranking import CalibratedRanking

__all__ = ["CHUNK_ROWS", "Explanation", "explain_predictions"]

CHUNK_ROWS: Final = 10_000  # snapshots per chunk of per-feature contributions

Array = NDArray[np.float64]
ReasonLists = list[list[str]]


@dataclass(frozen=True)
class Explanation:
    """Attributions and reasons of each snapshot's score.

    Attributes
    ----------
    base_value : numpy.ndarray, shape (n,)
        Expected margin before anything is known of the account.
    signal_groups : tuple of str
        The columns of ``attributions``.
    attributions : numpy.ndarray, shape (n, n_signal_groups)
        Additive contribution of each signal group; with the base value they sum to the margin.
    reasons, counter_reasons, reason_groups : list of list of str
        Texts of the reason groups that raised and that lowered the score most, in descending order,
        static ones last; and the groups of ``reasons``. A reason group without a fact to show is
        skipped, although it counts in the score.
    """

    base_value: Array
    signal_groups: tuple[str, ...]
    attributions: Array
    reasons: ReasonLists
    counter_reasons: ReasonLists
    reason_groups: ReasonLists

    def __repr__(self) -> str:
        snapshots, groups = len(self.base_value), len(self.signal_groups)
        return f"Explanation({snapshots:,} snapshots, {groups} signal groups)"

    @cached_property
    def contributions(self) -> list[dict[str, float]]:
        """Signal group → contribution to the margin of each snapshot, largest first."""
        order = np.argsort(-self.attributions, axis=1, kind="stable")
        return [
            {self.signal_groups[column]: float(row[column]) for column in ranked}
            for row, ranked in zip(self.attributions, order, strict=True)
        ]

    def to_json_series(self) -> pl.Series:
        """Return signal group → contribution of each snapshot as JSON text, all at once."""
        columns = {
            name: self.attributions[:, column] for column, name in enumerate(self.signal_groups)
        }
        return pl.DataFrame(columns).select(json=pl.struct(pl.all()).struct.json_encode())["json"]


def explain_predictions(
    model: Propensity | CalibratedRanking,
    snapshots: Snapshots,
    *,
    max_reasons: int = 3,
    max_counter_reasons: int = 2,
    reason_templates: ReasonTemplates | None = None,
) -> Explanation:
    """Compute attributions and reasons of each snapshot's probability, in their order.

    ``snapshots`` are rows of a panel. ``reason_templates`` are a company's own; the default ones
    otherwise.
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
    features = select_columns(snapshots, FEATURE_NAMES).fill_nan(None)
    reasons, reason_groups = _select_reasons(
        group_contributions,
        features,
        groups,
        direction="increases",
        max_reasons=max_reasons,
        reason_templates=active_templates,
    )
    counter_reasons, _ = _select_reasons(
        -group_contributions,
        features,
        groups,
        direction="decreases",
        max_reasons=max_counter_reasons,
        reason_templates=active_templates,
    )
    return Explanation(
        base_value, signal_groups, attributions, reasons, counter_reasons, reason_groups
    )


def _compute_attributions(
    model: Propensity | CalibratedRanking, snapshots: Snapshots, signal_groups: Sequence[str]
) -> tuple[Array, Array]:
    """Compute the base value and the contributions per signal group, in chunks to bound memory."""
    column_groups = [FEATURES_BY_NAME[name].signal_group for name in model.inputs]
    # A ranking depends on all compared snapshots, so it is not computed in chunks.
    if isinstance(model, CalibratedRanking):
        contributions, base_value = model.compute_contributions(snapshots)
        return base_value, _sum_columns_by_group(contributions, column_groups, signal_groups)
    matrix = select_columns(snapshots, model.inputs)
    chunks = [
        model.compute_contributions(matrix.slice(start, CHUNK_ROWS))
        for start in range(0, matrix.height, CHUNK_ROWS)
    ]
    base_value = np.concatenate([base for _, base in chunks])
    return base_value, np.concatenate(
        [
            _sum_columns_by_group(contributions, column_groups, signal_groups)
            for contributions, _ in chunks
        ]
    )


def _sum_columns_by_group(
    contributions: Array, column_groups: Sequence[str], groups: Sequence[str]
) -> Array:
    """Sum the columns of each group one by one: the result is independent of the chunk size."""
    totals = np.zeros((len(contributions), len(groups)))
    for column, group in enumerate(column_groups):
        totals[:, groups.index(group)] += contributions[:, column]
    return totals


def _select_reasons(
    contributions: Array,
    features: pl.DataFrame,
    groups: list[str],
    *,
    direction: Direction,
    max_reasons: int,
    reason_templates: ReasonTemplates,
) -> tuple[ReasonLists, ReasonLists]:
    """Return texts and their reason groups for each row, by descending contribution."""
    is_static = np.array([REASON_GROUPS[name].is_static for name in groups])
    order = np.lexsort((-contributions, np.broadcast_to(is_static, contributions.shape)), axis=1)
    reasons: ReasonLists = [[] for _ in range(len(contributions))]
    reason_groups: ReasonLists = [[] for _ in range(len(contributions))]
    pending = np.arange(len(contributions))
    for rank in range(len(groups)):
        for column in np.unique(order[pending, rank]):
            rows = pending[(order[pending, rank] == column) & (contributions[pending, column] > 0)]
            group = groups[column]
            names = reason_templates.required_features(group, direction)
            values = features.select(names)[rows].rows() if names else [()] * len(rows)
            texts = reason_templates.render_many(group, direction, values)
            for row, text in zip(rows, texts, strict=True):
                if text:
                    reasons[row].append(text)
                    reason_groups[row].append(group)
        is_short = [len(reasons[row]) < max_reasons for row in pending]
        pending = pending[np.array(is_short, dtype=bool)]
    return reasons, reason_groups
