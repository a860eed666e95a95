"""Training set: a label per snapshot and horizon, and account bootstrap weights."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import poisson

from data.config.settings import ModelConfig
from data.errors import HistoryError
from training.labels import churn_label, evaluate_label, expansion_label

__all__ = [
    "TrainingSet",
    "build_labels",
    "compute_out_of_bag_mean",
    "draw_bootstrap_weights",
    "sample_evenly_spaced_rows",
    "select_labelled",
]

_MIN_CLASS_COUNT = 10
_POISSON_CDF = poisson.cdf(np.arange(20), 1.0)
_MAX_ROWS = 50_000  # enough rows to fit two numbers per horizon
_EVENT_NAMES: Mapping[Callable[[int], pl.Expr], str] = {
    expansion_label: "an expansion",
    churn_label: "a churn",
}

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TrainingSet:
    """Snapshots before a cutoff with the outcomes known at it; rows correspond."""

    snapshots: pl.DataFrame
    outcomes: pl.DataFrame

    def __repr__(self) -> str:
        accounts, as_ofs = (self.snapshots[name] for name in ("account_id", "as_of"))
        return (
            f"TrainingSet({self.snapshots.height:,} snapshots of {accounts.n_unique():,} accounts,"
            f" {as_ofs.min()!s} to {as_ofs.max()!s}, with their outcomes)"
        )


def select_labelled(
    training_set: TrainingSet, label_expr: pl.Expr
) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
    """Return the snapshots whose label is known, and these labels."""
    label = training_set.outcomes.select(label_expr.alias("label"))["label"]
    return training_set.snapshots.filter(label.is_not_null()), label.drop_nulls().to_numpy()


def build_labels(
    outcomes: pl.DataFrame,
    settings: ModelConfig,
    horizon_days: int,
    build_label: Callable[[int], pl.Expr] = expansion_label,
) -> dict[int, Array]:
    """Build the label array of every horizon, ascending: 1, 0, or NaN while unknown.

    The primary horizon is always included; it replaces a single horizon of the settings.

    Raises
    ------
    data.errors.HistoryError
        If no window of the primary horizon is complete, or one class is too rare.
    """
    horizons = sorted({*settings.horizons_days, horizon_days})
    if len(settings.horizons_days) == 1:
        horizons = [horizon_days]
    labels = {h: evaluate_label(outcomes, build_label(h)) for h in horizons}
    _require_both_classes(labels[horizon_days], horizon_days, _EVENT_NAMES[build_label])
    return labels


def draw_bootstrap_weights(
    snapshots: pl.DataFrame, label: Array, settings: ModelConfig
) -> list[Array]:
    """Draw Poisson(1) bootstrap weights of accounts for each ensemble member [1]_.

    The weights of an account depend only on its id and the seed. They do not change when other
    accounts are added, so explanations stay stable from week to week. Resamples that contain only
    one class are redrawn. There is one array per member, shape (n,), with
    the weight of each row.

    References
    ----------
    .. [1] N. Oza and S. Russell, "Online Bagging and Boosting", AISTATS 2001.
    """
    account_ids = snapshots["account_id"].unique().sort()
    account = snapshots["account_id"].rank("dense").to_numpy().astype(np.int64) - 1
    class_indicators = [(label == value).astype(np.float64) for value in (0, 1)]
    class_counts = np.array(
        [
            np.bincount(account, weights=indicator)
            for indicator in class_indicators
            if indicator.any()
        ]
    )
    counts = _draw_account_counts(account_ids, class_counts, settings.ensemble_size, settings.seed)
    return [member_counts[account] for member_counts in counts]


def compute_out_of_bag_mean(margins: Array, bootstrap_weights: Sequence[Array]) -> Array:
    """Compute the out-of-bag mean of the ensemble members' margins, (n_members, n).

    It is the mean of all members where every member was trained on the row.
    """
    out_of_bag = np.stack(bootstrap_weights) == 0
    out_of_bag |= ~out_of_bag.any(axis=0)
    return np.asarray((margins * out_of_bag).sum(axis=0) / out_of_bag.sum(axis=0))


def sample_evenly_spaced_rows(n_rows: int) -> NDArray[np.int64]:
    """Return indices of at most 50,000 evenly spaced rows."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, _MAX_ROWS)).astype(np.int64))


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
            f"{positives:,} of {len(labelled):,} complete windows of {horizon_days} days contain"
            f" {event_name}; at least {_MIN_CLASS_COUNT} with and {_MIN_CLASS_COUNT} without are"
            " needed. Check how it is recorded with `expansion check`."
        )


def _draw_account_counts(
    account_ids: pl.Series, class_counts: Array, ensemble_size: int, seed: int
) -> Array:
    """Draw bootstrap counts, shape (n_members, n_accounts).

    ``class_counts``, (2, n_accounts), holds each account's number of negative and positive rows.
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
    """Draw Poisson counts from a hash of each account id."""
    digests = b"".join(
        hashlib.shake_128(f"{salt} {name}".encode()).digest(8 * ensemble_size)
        for name in account_ids
    )
    uniform = (
        np.frombuffer(digests, dtype="<u8").reshape(len(account_ids), ensemble_size).T / 2.0**64
    )
    return np.asarray(np.searchsorted(_POISSON_CDF, uniform, side="right"), dtype=np.float64)
