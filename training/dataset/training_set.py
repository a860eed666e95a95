"""What a fit learns from: a label per snapshot and horizon, and bootstraps of whole accounts."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import poisson

from data.config.settings import ModelConfig
from data.errors import HistoryError
from training.labels import churned_within, expanded_within

__all__ = [
    "build_labels",
    "compute_out_of_bag_mean",
    "draw_bootstrap_weights",
    "sample_evenly_spaced_rows",
]

_MIN_CLASS_COUNT = 10
_POISSON_CDF = poisson.cdf(np.arange(20), 1.0)
_MAX_ROWS = 50_000  # rows enough for two numbers per horizon
_EVENT_NAMES: Mapping[Callable[[int], pl.Expr], str] = {
    expanded_within: "an expansion",
    churned_within: "a churn",
}

Array = NDArray[np.float64]


def build_labels(
    outcomes: pl.DataFrame,
    settings: ModelConfig,
    horizon_days: int,
    label_within: Callable[[int], pl.Expr] = expanded_within,
) -> dict[int, Array]:
    """Label every snapshot at every horizon that is learned.

    Parameters
    ----------
    outcomes : polars.DataFrame
        :func:`training.labels.build_outcomes`, read at the cut.
    settings : data.config.settings.Model
        Its horizons; a single one gives way to that of *the* probability.
    horizon_days : int
        The horizon of *the* probability; joins the horizons.
    label_within : callable
        From a horizon in days to whether it happened within it, null while that is unknown:
        :func:`training.labels.expanded_within` or :func:`training.labels.churned_within`.

    Returns
    -------
    dict of int to numpy.ndarray, shape (n,)
        Horizon in days, rising → 1, 0, or NaN while it is unknown.

    Raises
    ------
    data.errors.HistoryError
        If no window of the horizon is complete, or too few of them hold an expansion, or lack one.
    """
    horizons = sorted({*settings.horizons_days, horizon_days})
    if len(settings.horizons_days) == 1:
        horizons = [horizon_days]
    labels = {h: _evaluate_label(outcomes, label_within(h)) for h in horizons}
    _require_both_classes(labels[horizon_days], horizon_days, _EVENT_NAMES[label_within])
    return labels


def draw_bootstrap_weights(
    snapshots: pl.DataFrame, label: Array, settings: ModelConfig
) -> list[Array]:
    """Draw accounts for each member: how often one is drawn is Poisson with mean 1 [1]_.

    An account's draws follow from its own name alone, so that a week later, among others, they are
    the same, and the reasons of one Monday stay those of the next. A draw in which it happened
    nowhere, or everywhere, teaches nothing and is drawn again.

    Parameters
    ----------
    snapshots : polars.DataFrame
        ``account_id``.
    label : numpy.ndarray, shape (n,)
        What the members learn, from :func:`build_labels`.
    settings : data.config.settings.Model
        How many members, and the seed.

    Returns
    -------
    list of numpy.ndarray, shape (n,)
        How often each row is in each draw.

    References
    ----------
    .. [1] N. Oza and S. Russell, "Online Bagging and Boosting", AISTATS 2001.
    """
    account_ids = snapshots["account_id"].unique().sort()
    account = snapshots["account_id"].rank("dense").to_numpy().astype(np.int64) - 1
    class_indicators = [(label == value).astype(np.float64) for value in (0, 1)]
    class_counts = np.array(
        [np.bincount(account, weights=side) for side in class_indicators if side.any()]
    )
    counts = _draw_account_counts(account_ids, class_counts, settings.ensemble_size, settings.seed)
    return [draw[account] for draw in counts]


def compute_out_of_bag_mean(margins: Array, bootstrap_weights: Sequence[Array]) -> Array:
    """Average what members say of rows that they were not shown.

    Parameters
    ----------
    margins : numpy.ndarray, shape (n_members, n)
        What each member says of each row.
    bootstrap_weights : sequence of numpy.ndarray, shape (n,)
        From :func:`draw_bootstrap_weights`.

    Returns
    -------
    numpy.ndarray, shape (n,)
        Where every member was shown the row, the mean of all.
    """
    out_of_bag = np.stack(bootstrap_weights) == 0
    out_of_bag |= ~out_of_bag.any(axis=0)
    return np.asarray((margins * out_of_bag).sum(axis=0) / out_of_bag.sum(axis=0))


def sample_evenly_spaced_rows(n_rows: int) -> NDArray[np.int64]:
    """Give the places of at most 50,000 rows, evenly spread."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, _MAX_ROWS)).astype(np.int64))


def _evaluate_label(outcomes: pl.DataFrame, label_expr: pl.Expr) -> Array:
    return outcomes.select(label_expr.cast(pl.Float64).alias("y"))["y"].to_numpy()


def _require_both_classes(label: Array, horizon_days: int, event_name: str) -> None:
    labelled = label[~np.isnan(label)]
    if not len(labelled):
        raise HistoryError(
            f"no snapshot has a complete window of {horizon_days} days yet; a longer history is"
            " needed before a model can be trained."
        )
    positives = int(labelled.sum())
    if not _MIN_CLASS_COUNT <= positives <= len(labelled) - _MIN_CLASS_COUNT:
        raise HistoryError(
            f"{positives:,} of {len(labelled):,} complete windows of {horizon_days} days hold {event_name}; at"
            f" least {_MIN_CLASS_COUNT} with and {_MIN_CLASS_COUNT} without are needed. See how it is recorded with"
            " `expansion check`."
        )


def _draw_account_counts(
    account_ids: pl.Series, class_counts: Array, ensemble_size: int, seed: int
) -> Array:
    """How often each account is in each member's draw, (members, n_accounts).

    ``class_counts``, (2, n_accounts), counts those in which it did not happen, and those in which it did.
    """
    counts = _draw_poisson_counts(account_ids, ensemble_size, f"{seed}")
    attempt = 0
    while (single_class := ~(counts @ class_counts.T > 0).all(axis=1)).any():
        attempt += 1
        counts[single_class] = _draw_poisson_counts(
            account_ids, ensemble_size, f"{seed} {attempt}"
        )[single_class]
    return counts


def _draw_poisson_counts(account_ids: pl.Series, ensemble_size: int, salt: str) -> Array:
    """Poisson counts that a digest of each name gives."""
    digests = b"".join(
        hashlib.shake_128(f"{salt} {name}".encode()).digest(8 * ensemble_size)
        for name in account_ids
    )
    uniform = (
        np.frombuffer(digests, dtype="<u8").reshape(len(account_ids), ensemble_size).T / 2.0**64
    )
    return np.asarray(np.searchsorted(_POISSON_CDF, uniform, side="right"), dtype=np.float64)
