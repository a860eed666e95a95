"""What a fit learns from: a label per snapshot and horizon, and bootstraps of whole accounts."""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.errors import HistoryError
from data.settings import Model
from training.outcomes import churned, expanded

__all__ = ["bootstraps", "labels"]

_FEWEST = 10
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


def bootstraps(
    snapshots: pl.DataFrame, labels: Mapping[int, Array], settings: Model
) -> list[Array]:
    """Draw accounts with replacement for each member.

    A draw in which it happened to no account teaches nothing and is drawn again.

    Parameters
    ----------
    snapshots : polars.DataFrame
        ``account_id``.
    labels : mapping of int to numpy.ndarray, shape (n,)
        From :func:`labels`.
    settings : data.settings.Model
        How many members, and the seed.

    Returns
    -------
    list of numpy.ndarray, shape (n,)
        How often each row is in each draw.
    """
    account = snapshots["account_id"].rank("dense").to_numpy().astype(np.int64) - 1
    counts = _drawn(_ever(labels, account), settings.members, settings.seed)
    return [draw[account].astype(np.float64) for draw in counts]


def _label(outcomes: pl.DataFrame, happened: pl.Expr) -> Array:
    return outcomes.select(happened.cast(pl.Float64).alias("y"))["y"].to_numpy()


def _ever(labels: Mapping[int, Array], account: NDArray[np.int64]) -> Array:
    """How often it happened to each account, over all horizons."""
    counts = [np.bincount(account, weights=np.nan_to_num(label)) for label in labels.values()]
    return np.asarray(np.sum(counts, axis=0))


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


def _drawn(expansions: Array, members: int, seed: int) -> NDArray[np.int64]:
    """How often each account is in each member's draw."""
    rng, accounts = np.random.default_rng(seed), len(expansions)
    draws = rng.integers(accounts, size=(members, accounts))
    while (barren := ~expansions[draws].any(axis=1)).any():
        draws[barren] = rng.integers(accounts, size=(barren.sum(), accounts))
    return np.stack([np.bincount(draw, minlength=accounts) for draw in draws])
