"""The plots that go with a run: is the probability true, and does the ranking find expansions."""

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

from training import baselines
from training.evaluate import MODEL

__all__ = ["plots"]


def plots(predictions: pl.DataFrame) -> dict[str, Figure]:
    """Draw reliability and precision–recall of walk-forward predictions.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluate.Evaluation`.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name; none where only one outcome is known, for there is nothing to compare.
    """
    known = predictions.filter(pl.col("expanded").is_not_null())
    if known["expanded"].n_unique() < 2:
        return {}
    return {
        "reliability.png": _reliability(known),
        "precision_recall.png": _precision_recall(known),
    }


def _reliability(known: pl.DataFrame) -> Figure:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    stated = known["probability"].to_numpy()
    observed, expected = calibration_curve(
        known["expanded"].to_numpy(), stated, n_bins=10, strategy="quantile"
    )
    top = max(float(np.max(observed)), float(np.max(expected))) * 1.05
    axes.plot([0, top], [0, top], color="0.7", linestyle="--", label="as stated")
    axes.plot(expected, observed, marker="o", label="tenths of the snapshots")
    axes.set(xlabel="stated probability", ylabel="share that expanded", title="Reliability")
    axes.legend(frameon=False)
    return figure


def _precision_recall(known: pl.DataFrame) -> Figure:
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    expanded = known["expanded"].to_numpy()
    for name in (MODEL, *baselines.RANKINGS):
        score = known["probability" if name == MODEL else name].to_numpy()
        precision, recall, _ = precision_recall_curve(expanded, score)
        width = 2.0 if name == MODEL else 1.0
        axes.plot(recall[:-1], precision[:-1], label=name, linewidth=width)
    axes.set(xlabel="share of expansions found", ylabel="share of the found that expanded")
    axes.set(title="Precision and recall", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, fontsize="small")
    return figure
