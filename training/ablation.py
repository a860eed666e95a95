"""What the controls would have added: logins, tickets and NPS, which the model is never given.

They look like expansion and are not. Whoever doubts that can see it on their own history.
"""

from collections.abc import Callable, Mapping
from typing import Final

import polars as pl

from data.settings import Settings
from features.catalogue import NAMES
from training import evaluate, metrics
from training.evaluate import Evaluation
from training.metrics import Figure
from training.pipeline import History

__all__ = ["controls"]

_KEYS: Final = ["account_id", "as_of"]


def controls(
    past: History,
    settings: Settings,
    without: Evaluation,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Mapping[str, Figure]:
    """Walk forward once more with the controls, and tell what they change.

    Parameters
    ----------
    past : training.pipeline.History
        From :func:`training.pipeline.history`.
    settings : data.settings.Settings
        As for the walk without them.
    without : training.evaluate.Evaluation
        That walk.
    progress : callable, optional
        Told cuts done and cuts in all.

    Returns
    -------
    mapping of str to training.metrics.Figure
        ``auroc``, ``average_precision`` and ``log_loss``: with the controls less without them, on
        the same snapshots and the same draws of accounts; null where it cannot be told.
    """
    given = evaluate.walk(
        past.panel.snapshots,
        past.contracts,
        settings,
        end=past.as_of,
        inputs=NAMES,
        progress=progress,
        learn_beside={},
    )
    both = without.predictions.filter(pl.col("expanded").is_not_null()).join(
        given.predictions.select(*_KEYS, given="probability"), on=_KEYS
    )
    return metrics.change(
        both["probability"].to_numpy(),
        both["given"].to_numpy(),
        metrics.judged(both),
        resamples=settings.evaluation.resamples,
        seed=settings.model.seed,
    )
