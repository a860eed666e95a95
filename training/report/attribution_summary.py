"""Global attribution summary of a model by signal group."""

from typing import Final

import numpy as np
import polars as pl

from features.catalogue import FEATURES_BY_NAME
from training.model.propensity import Propensity

__all__ = ["summarize_attributions"]

_MIN_RANK_CORRELATION: Final = 0.3


def summarize_attributions(model: Propensity, snapshots: pl.DataFrame) -> pl.DataFrame:
    """Compute the mean SHAP contribution of each signal group.

    Parameters
    ----------
    model : Propensity
        The model to explain.
    snapshots : polars.DataFrame
        Accounts to explain it on; at least one.

    Returns
    -------
    polars.DataFrame
        ``signal``; ``size``, the mean absolute contribution to the log-odds, ``up`` and ``down``,
        its parts by sign (``down`` is below 0); ``feature``, the group's most important feature;
        ``direction``, the effect of a higher value of that feature; largest first.
    """
    contributions, _ = model.compute_contributions(snapshots)
    mean_magnitude = np.abs(contributions).mean(axis=0)
    signal_groups = [FEATURES_BY_NAME[name].signal_group for name in model.inputs]
    rows = []
    for signal_group in dict.fromkeys(signal_groups):
        columns = [at for at, name in enumerate(signal_groups) if name == signal_group]
        total = contributions[:, columns].sum(axis=1)
        leading_column = max(columns, key=lambda at: (mean_magnitude[at], -at))
        feature = model.inputs[leading_column]
        rows.append(
            {
                "signal": signal_group.replace("_", " "),
                "size": float(np.abs(total).mean()),
                "up": float(total.clip(min=0).mean()),
                "down": float(total.clip(max=0).mean()),
                "feature": feature,
                "direction": _describe_direction(
                    snapshots[feature], contributions[:, leading_column]
                ),
            }
        )
    return pl.DataFrame(rows).sort("size", "signal", descending=[True, False])


def _describe_direction(values: pl.Series, contributions: np.ndarray) -> str:
    """Return the direction of a feature's effect, from the Spearman correlation."""
    pairs = pl.DataFrame({"value": values, "contribution": contributions}).filter(
        pl.col("value").is_not_null() & pl.col("value").is_not_nan()
    )
    if pairs["value"].n_unique() < 2 or pairs["contribution"].n_unique() < 2:
        return "none"
    correlation = pairs.select(pl.corr("value", "contribution", method="spearman")).item()
    if abs(correlation) < _MIN_RANK_CORRELATION:
        return "mixed"
    return "raises" if correlation > 0 else "lowers"
