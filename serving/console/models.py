"""What a data scientist reads in the terminal: the figures, and what was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from serving.console.terminal import out, share

if TYPE_CHECKING:
    from training.evaluate import Evaluation
    from training.metrics import Figure

__all__ = ["controls", "evaluated", "exclusion"]

_FIGURES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "precision_at_capacity": "precision at capacity",
    "log_loss_skill": "log-loss skill",
    "log_loss": "log loss",
    "brier": "Brier",
    "brier_skill": "Brier skill",
    "calibration_error": "calibration error",
    "calibration_slope": "calibration slope",
    "observed_to_expected": "observed ÷ expected",
}


def evaluated(walked: Evaluation) -> None:
    """Print the figures of the model beside those of the simple rankings."""
    figures = walked.figures
    table = Table(title="Walk forward, with 90 % intervals over accounts")
    table.add_column("ranking", max_width=20)
    shown = ("auroc", "average_precision", "precision_at_capacity")
    for name in shown:
        table.add_column(_FIGURES[name], no_wrap=False)
    for ranking, found in figures.items():
        style = "bold" if ranking == "model" else ""
        table.add_row(ranking, *(_cell(found[name]) for name in shown), style=style)
    out.print(table)
    for name, title in _FIGURES.items():
        if name in figures["model"] and name not in shown:
            out.print(f"{title}: {figures['model'][name]}", highlight=False)
    _dates(walked.date_figures)
    _bands(walked.bands)
    known = walked.predictions["expanded"].drop_nulls()
    out.print(
        f"{walked.predictions.height:,} predictions from {walked.predictions['cut'].n_unique()}"
        f" cuts; {len(known):,} with a known outcome, {known.sum():,} expanded.",
        highlight=False,
    )
    for cut, reason in walked.skipped.items():
        out.print(f"cut {cut} skipped: {reason}", highlight=False)
    out.print(walked.verdict(), highlight=False, style="bold")


def controls(added: Mapping[str, Figure]) -> None:
    """Print what the controls would have added, where that was asked for."""
    if added:
        told = ", ".join(f"{_FIGURES[name]} {figure}" for name, figure in added.items())
        out.print(f"With logins, tickets and NPS, which it is not given: {told}", highlight=False)


def exclusion(account: str, stretches: Sequence[Mapping[str, Any]]) -> None:
    """Print what the rows of one account were used for, and why others were not."""
    table = Table("as of", "rows", "trained on", "why", title=escape(account))
    for each in stretches:
        span = str(each["first"]) if each["rows"] == 1 else f"{each['first']} to {each['last']}"
        table.add_row(span, str(each["rows"]), "yes" if each["used"] else "no", each["why"])
    out.print(table)


def _bands(bands: Sequence[Mapping[str, Any]]) -> None:
    """Print what was expected and observed in each band of probability."""
    table = Table("chance", "snapshots", "expected", "expanded", title="By band of the chance")
    for band in bands:
        observed = f"{share(band['value'])} ({share(band['low'])} – {share(band['high'])})"
        expected = share(band["expected"])
        table.add_row(band["band"], f"{band['snapshots']:,}", expected, observed)
    if bands:
        out.print(table)


def _dates(found: Mapping[str, Figure]) -> None:
    """Print how far the expected dates were off, where any expansion can be judged yet."""
    error, usual, line = (found[f"date_error_days{rival}"] for rival in ("", "_usual", "_line"))
    if error.value is None:
        return
    out.print(
        f"expected date off by {error.value:.0f} days on average, for expansions within 180 days;"
        f" the usual day by {usual.value:.0f}, a straight line to the limit by {line.value:.0f};"
        f" saved: {found['date_gain_over_usual']} and {found['date_gain_over_line']}",
        highlight=False,
    )
    thirds = [found[f"date_coverage_{third}"] for third in ("lowest", "middle", "highest")]
    told = ", ".join("n/a" if third.value is None else f"{third.value:.0%}" for third in thirds)
    out.print(
        f"80 % interval of the date held {found['date_coverage']}; by third of the chance: {told}",
        highlight=False,
    )


def _cell(figure: Figure) -> str:
    if figure.value is None or figure.low is None:
        return str(figure)
    return f"{figure.value:.3f}  {figure.low:.2f}–{figure.high:.2f}"
