"""The plots that go with a run: is the probability true, does the ranking find expansions."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from training import baselines, metrics
from training.evaluate import MODEL

__all__ = ["DRAWN", "judged", "labelled", "over_cuts"]

_MODEL: Final = "#1f4e9c"
_GREY: Final = "0.55"
# Few enough to be told apart: one of each kind.
DRAWN: Final = (
    "seat utilisation",
    "days to limit",
    "rule: tier 1",
    "health score",
    "most active users",
)
# Told apart by colour and dash alike, for print and for colour-blind eyes.
_RIVALS: Final = ("#d1711f", "#3a8f5c", "#8d5a97", "#b5a12d", "#7f8c8d")
_DASHES: Final = ("--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
_BINS: Final = 10

Array = NDArray[np.float64]
Rankings = Mapping[str, Mapping[str, metrics.Figure]]


def judged(predictions: pl.DataFrame, *, capacity: int) -> dict[str, Figure]:
    """Draw what walk-forward predictions were worth.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluate.Evaluation`.
    capacity : int
        Accounts a team can work per as-of.

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
        "precision_by_capacity.png": _precision_by_capacity(known, capacity),
        "precision_recall.png": _precision_recall(known),
        "expected_and_observed.png": _expected_and_observed(known),
    }


def over_cuts(cuts: Mapping[date, Rankings]) -> dict[str, Figure]:
    """Draw skill and precision at capacity of every cut's model, on what came after it.

    Parameters
    ----------
    cuts : mapping of datetime.date to figures
        As from :func:`training.evaluate.figures`, for each cut.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name; none without a cut.
    """
    if not cuts:
        return {}
    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    best = _best_simple(cuts)
    styles = _styles((best,))
    _over_cuts(above, cuts, MODEL, "log_loss_skill", styles[MODEL])
    above.axhline(0, color=_GREY, linewidth=1)
    labelled(above, "Skill of each cut's model on what came after", "", "log-loss skill")
    _over_cuts(below, cuts, MODEL, "precision_at_capacity", styles[MODEL])
    _over_cuts(below, cuts, best, "precision_at_capacity", styles[best])
    labelled(below, "", "cut: the model knows what was known then", "precision at capacity")
    below.legend(frameon=False)
    below.set_ylim(bottom=0)
    below.set_xticks([np.datetime64(cut) for cut in cuts], [f"{cut:%Y-%m-%d}" for cut in cuts])
    if len(cuts) > 6:
        below.tick_params(axis="x", rotation=90)
    return {"skill_over_cuts.png": figure}


def _reliability(known: pl.DataFrame) -> Figure:
    stated = known["probability"].to_numpy()
    edges = np.unique(np.quantile(stated, np.linspace(0, 1, _BINS + 1)[1:-1]))
    places = np.searchsorted(edges, stated, side="right")
    taken, bins = np.unique(places, return_inverse=True)  # ties leave some places empty
    expected, observed, low, high = _binned(known, stated, bins, len(taken))
    figure = Figure(figsize=(6.5, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    top = float(max(high.max(), expected.max())) * 1.05
    above.plot([0, top], [0, top], color=_GREY, linestyle="--", linewidth=1, label="as stated")
    above.errorbar(
        expected,
        observed,
        yerr=[observed - low, high - observed],
        color=_MODEL,
        marker="o",
        capsize=3,
        elinewidth=1,
        label="tenths of the snapshots, with 90 % intervals",
    )
    labelled(above, "Reliability: does it happen as often as stated?", "", "share that expanded")
    above.set(xlim=(0, top), ylim=(0, top))
    above.legend(frameon=False, loc="upper left")
    below.hist(stated.clip(max=top), bins=40, range=(0, top), color=_MODEL, alpha=0.6)
    below.set_yscale("log")
    labelled(below, "", "stated probability; last bar: and above", "snapshots")
    return figure


def _binned(
    known: pl.DataFrame, stated: Array, bins: NDArray[np.int64], count: int
) -> tuple[Array, Array, Array, Array]:
    """Stated and observed rate of each bin, with 90 % limits that resample whole accounts."""
    account = known["account_id"].rank("dense").to_numpy() - 1
    shape = (int(account.max()) + 1, count)
    rows, events = np.zeros(shape), np.zeros(shape)
    np.add.at(rows, (account, bins), 1)
    np.add.at(events, (account, bins), known["expanded"].to_numpy())
    draws = np.random.default_rng(0).multinomial(shape[0], np.full(shape[0], 1 / shape[0]), 400)
    rates = (draws @ events) / np.maximum(draws @ rows, 1)
    low, high = np.quantile(rates, [0.05, 0.95], axis=0)
    total = rows.sum(axis=0)
    observed = events.sum(axis=0) / total
    expected = np.bincount(bins, weights=stated, minlength=count) / total
    return expected, observed, np.minimum(low, observed), np.maximum(high, observed)


def _precision_by_capacity(known: pl.DataFrame, capacity: int) -> Figure:
    months = known.partition_by("as_of")
    most = min(max(4 * capacity, 20), *(part.height for part in months))
    worked = np.union1d(np.geomspace(1, most, 30).astype(int), min(capacity, most))
    figure, axes = _figure((8, 5))
    for name, style in _styles().items():
        curve = [np.mean([_precision(part, name, k) for part in months]) for k in worked]
        axes.plot(worked, curve, label=name, **style)
    rate = float(known["expanded"].mean())  # type: ignore[arg-type]
    axes.axhline(rate, color=_GREY, linewidth=1, label="any order")
    if capacity <= most:
        axes.axvline(capacity, color="0.8", linewidth=6, zorder=0)
        axes.annotate(
            f" capacity: {capacity}", (capacity, 1), xycoords=("data", "axes fraction"), va="top"
        )
    labelled(
        axes,
        "Of the accounts worked, how many expand?",
        "accounts worked per as-of, from the top of the list",
        "share that expanded, mean over as-ofs",
    )
    axes.set(xlim=(1, most), ylim=(0, None))
    axes.legend(frameon=False, fontsize="small")
    return figure


def _precision(part: pl.DataFrame, name: str, worked: int) -> float:
    score, expanded = part[_column(name)].to_numpy(), part["expanded"].to_numpy()
    return metrics.precision_at_capacity(score, expanded, worked)


def _precision_recall(known: pl.DataFrame) -> Figure:
    figure, axes = _figure((8, 5))
    expanded = known["expanded"].to_numpy()
    for name, style in _styles().items():
        precision, recall, _ = precision_recall_curve(expanded, known[_column(name)].to_numpy())
        axes.step(recall[:-1], precision[:-1], where="post", label=name, **style)
    axes.axhline(expanded.mean(), color=_GREY, linewidth=1, label="any order")
    labelled(
        axes,
        "Precision and recall, all as-ofs together",
        "share of expansions found",
        "share of the found that expanded",
    )
    axes.set(xlim=(0, 1), ylim=(0, None))
    axes.legend(frameon=False, fontsize="small")
    return figure


def _expected_and_observed(known: pl.DataFrame) -> Figure:
    """Expansions as stated and as they happened, as-of by as-of: drift shows here first."""
    months = known.group_by("as_of", "cut").agg(
        pl.col("expanded").sum(),
        pl.col("probability").sum(),
        spread=(pl.col("probability") * (1 - pl.col("probability"))).sum().sqrt(),
    )
    months = months.sort("as_of")
    as_ofs, stated = months["as_of"].to_list(), months["probability"].to_numpy()
    spread = 1.645 * months["spread"].to_numpy()
    figure, axes = _figure((8, 4.5))
    axes.fill_between(
        as_ofs,
        (stated - spread).clip(min=0),
        stated + spread,
        color=_MODEL,
        alpha=0.15,
        linewidth=0,
        label="90 % of outcomes, were the probabilities exact",
    )
    axes.plot(as_ofs, stated, color=_MODEL, marker=".", label="stated")
    axes.plot(as_ofs, months["expanded"], color=_RIVALS[0], marker="o", label="happened")
    for cut in months["cut"].unique():
        axes.axvline(cut, color="0.8", linewidth=1, zorder=0)
    labelled(axes, "Expansions stated and happened", "as-of; grey lines: cuts", "accounts")
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", integer=True)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _over_cuts(
    axes: Axes, cuts: Mapping[date, Rankings], ranking: str, name: str, style: dict[str, Any]
) -> None:
    found = {cut: figures[ranking][name] for cut, figures in cuts.items()}
    told = {cut: f for cut, f in found.items() if f.value is not None}
    values = np.array([f.value for f in told.values()], dtype=float)
    ends = [(f.low, f.high) if f.low is not None else (f.value, f.value) for f in told.values()]
    low, high = np.array(ends, dtype=float).reshape(-1, 2).T
    spread = [np.maximum(values - low, 0), np.maximum(high - values, 0)]
    days = [np.datetime64(cut) for cut in told]
    axes.errorbar(
        days, values, yerr=spread, marker="o", capsize=3, elinewidth=1, label=ranking, **style
    )


def _best_simple(cuts: Mapping[date, Rankings]) -> str:
    """The simple ranking with the highest precision at capacity over all cuts."""
    means = {
        name: np.mean(
            [figures[name]["precision_at_capacity"].value or 0 for figures in cuts.values()]
        )
        for name in baselines.RANKINGS
    }
    return max(means, key=lambda name: float(means[name]))


def _styles(rankings: Sequence[str] = DRAWN) -> dict[str, dict[str, Any]]:
    """How each ranking is drawn, the same in every plot; the model last, so that it lies on top."""
    rivals = {
        name: {"color": color, "linestyle": dash, "linewidth": 1.3}
        for name, color, dash in zip(rankings, _RIVALS, _DASHES, strict=False)
    }
    return rivals | {MODEL: {"color": _MODEL, "linewidth": 2.4}}


def _column(ranking: str) -> str:
    return "probability" if ranking == MODEL else ranking


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def labelled(axes: Axes, title: str, x: str, y: str) -> None:
    """Title and label axes as all plots of a run are: plain, with a faint grid."""
    axes.set_title(title, loc="left", fontsize="medium", fontweight="bold")
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
