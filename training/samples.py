"""What a fit learns from: a label per snapshot and horizon, and bootstraps of whole accounts."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import poisson

from data.errors import HistoryError
from data.settings import Model
from training.outcomes import churned, expanded

__all__ = ["bootstraps", "held_out", "labels", "spread"]

_FEWEST = 10
_POISSON = poisson.cdf(np.arange(20), 1.0)
_ASKED = 50_000  # rows enough for two numbers per horizon
_WORDS: Mapping[Callable[[int], pl.Expr], str] = {expanded: "an expansion", churned: "a churn"}

Array = NDArray[np.float64]


def labels(
    outcomes: pl.DataFrame,
    settings: Model,
    horizon_days: int,
    happened: Callable[[int], pl.Expr] = expanded,
) -> dict[int, Array]:
    """Label every snapshot at every horizon that is learned.

    Parameters
    ----------
    outcomes : polars.DataFrame
        :func:`training.outcomes.build`, read at the cut.
    settings : data.settings.Model
        Its horizons; a single one gives way to that of *the* probability.
    horizon_days : int
        The horizon of *the* probability; joins the horizons.
    happened : callable
        From a horizon in days to whether it happened within it, null while that is unknown:
        :func:`training.outcomes.expanded` or :func:`training.outcomes.churned`.

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
    found = {h: _label(outcomes, happened(h)) for h in horizons}
    _refuse_too_few(found[horizon_days], horizon_days, _WORDS[happened])
    return found


def bootstraps(snapshots: pl.DataFrame, label: Array, settings: Model) -> list[Array]:
    """Draw accounts for each member: how often one is drawn is Poisson with mean 1 [1]_.

    An account's draws follow from its own name alone, so that a week later, among others, they are
    the same, and the reasons of one Monday stay those of the next. A draw in which it happened
    nowhere, or everywhere, teaches nothing and is drawn again.

    Parameters
    ----------
    snapshots : polars.DataFrame
        ``account_id``.
    label : numpy.ndarray, shape (n,)
        What the members learn, from :func:`labels`.
    settings : data.settings.Model
        How many members, and the seed.

    Returns
    -------
    list of numpy.ndarray, shape (n,)
        How often each row is in each draw.

    References
    ----------
    .. [1] N. Oza and S. Russell, "Online Bagging and Boosting", AISTATS 2001.
    """
    names = snapshots["account_id"].unique().sort()
    account = snapshots["account_id"].rank("dense").to_numpy().astype(np.int64) - 1
    sides = [(label == value).astype(np.float64) for value in (0, 1)]
    rows = np.array([np.bincount(account, weights=side) for side in sides if side.any()])
    counts = _drawn(names, rows, settings.members, settings.seed)
    return [draw[account] for draw in counts]


def held_out(margins: Array, draws: Sequence[Array]) -> Array:
    """Average what members say of rows that they were not shown.

    Parameters
    ----------
    margins : numpy.ndarray, shape (n_members, n)
        What each member says of each row.
    draws : sequence of numpy.ndarray, shape (n,)
        From :func:`bootstraps`.

    Returns
    -------
    numpy.ndarray, shape (n,)
        Where every member was shown the row, the mean of all.
    """
    spared = np.stack(draws) == 0
    spared |= ~spared.any(axis=0)
    return np.asarray((margins * spared).sum(axis=0) / spared.sum(axis=0))


def spread(rows: int) -> NDArray[np.int64]:
    """Give the places of at most 50,000 rows, evenly spread."""
    return np.unique(np.linspace(0, rows - 1, min(rows, _ASKED)).astype(np.int64))


def _label(outcomes: pl.DataFrame, happened: pl.Expr) -> Array:
    return outcomes.select(happened.cast(pl.Float64).alias("y"))["y"].to_numpy()


def _refuse_too_few(label: Array, horizon_days: int, word: str) -> None:
    known = label[~np.isnan(label)]
    if not len(known):
        raise HistoryError(
            f"no snapshot has a complete window of {horizon_days} days yet; a longer history is"
            " needed before a model can be trained."
        )
    found = int(known.sum())
    if not _FEWEST <= found <= len(known) - _FEWEST:
        raise HistoryError(
            f"{found:,} of {len(known):,} complete windows of {horizon_days} days hold {word}; at"
            f" least {_FEWEST} with and {_FEWEST} without are needed. See how it is recorded with"
            " `expansion check`."
        )


def _drawn(names: pl.Series, rows: Array, members: int, seed: int) -> Array:
    """How often each account is in each member's draw, (members, n_accounts).

    ``rows``, (2, n_accounts), counts those in which it did not happen, and those in which it did.
    """
    counts = _counts(names, members, f"{seed}")
    again = 0
    while (barren := ~(counts @ rows.T > 0).all(axis=1)).any():
        again += 1
        counts[barren] = _counts(names, members, f"{seed} {again}")[barren]
    return counts


def _counts(names: pl.Series, members: int, salt: str) -> Array:
    """Poisson counts that a digest of each name gives."""
    digests = b"".join(
        hashlib.shake_128(f"{salt} {name}".encode()).digest(8 * members) for name in names
    )
    share = np.frombuffer(digests, dtype="<u8").reshape(len(names), members).T / 2.0**64
    return np.asarray(np.searchsorted(_POISSON, share, side="right"), dtype=np.float64)
