"""What moves a model's scores, signal by signal, over the accounts that it judged."""

from typing import Final

import numpy as np
import polars as pl

from features.catalogue import by_name
from training.model import Propensity

__all__ = ["signals"]

_PLAIN: Final = 0.3  # rank correlation from which a direction is told


def signals(model: Propensity, snapshots: pl.DataFrame) -> pl.DataFrame:
    """Average the exact contributions of each signal's features.

    Parameters
    ----------
    model : training.model.Propensity
        The model to explain.
    snapshots : polars.DataFrame
        Accounts to explain it on; at least one.

    Returns
    -------
    polars.DataFrame
        ``signal``; ``size``, the mean absolute contribution to the log-odds, ``up`` and ``down``,
        the parts of it by sign (``down`` is below 0); ``feature``, of its features the one that
        moves most; ``direction``, what more of that feature does to the score; largest first.
    """
    parts, _ = model.contributions(snapshots)
    weight = np.abs(parts).mean(axis=0)
    names = [by_name[name].signal for name in model.inputs]
    rows = []
    for signal in dict.fromkeys(names):
        mine = [at for at, name in enumerate(names) if name == signal]
        added = parts[:, mine].sum(axis=1)
        leading = max(mine, key=lambda at: (weight[at], -at))
        feature = model.inputs[leading]
        rows.append(
            {
                "signal": signal.replace("_", " "),
                "size": float(np.abs(added).mean()),
                "up": float(added.clip(min=0).mean()),
                "down": float(added.clip(max=0).mean()),
                "feature": feature,
                "direction": _direction(snapshots[feature], parts[:, leading]),
            }
        )
    return pl.DataFrame(rows).sort("size", "signal", descending=[True, False])


def _direction(values: pl.Series, contributions: np.ndarray) -> str:
    """Tell from the ranks whether more of a feature raises or lowers the score."""
    both = pl.DataFrame({"value": values, "push": contributions}).filter(
        pl.col("value").is_not_null() & pl.col("value").is_not_nan()
    )
    if both["value"].n_unique() < 2 or both["push"].n_unique() < 2:
        return "no difference"
    agree = both.select(pl.corr("value", "push", method="spearman")).item()
    if abs(agree) < _PLAIN:
        return "both ways"
    return "raises" if agree > 0 else "lowers"
