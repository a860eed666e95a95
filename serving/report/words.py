"""Figures as the pages print them, and what each of them means in plain words."""

from collections.abc import Callable, Mapping
from typing import Final

from serving.report.page import Cell
from training.resampling import Figure

__all__ = ["MEANINGS", "TITLES", "cell", "interval", "lacking", "number", "share", "title"]

TITLES: Final[Mapping[str, str]] = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "precision_at_capacity": "Precision at capacity",
    "recall_at_capacity": "Recall at capacity",
    "arr_at_capacity": "ARR at capacity",
    "log_loss": "Log loss",
    "log_loss_skill": "Log-loss skill",
    "brier": "Brier score",
    "brier_skill": "Brier skill",
    "calibration_error": "Calibration error",
    "calibration_slope": "Calibration slope",
    "observed_to_expected": "Observed ÷ expected",
    "integrated_brier": "Integrated Brier score",
    "integrated_brier_skill": "Integrated Brier skill",
    "concordance": "Concordance",
    "date_error_days": "Error of the expected date",
    "date_coverage": "Coverage of the date's interval",
}
MEANINGS: Final[Mapping[str, str]] = {
    "auroc": "The chance that an account that expanded stands above one that did not. 0.5 is any"
    " order, 1 is perfect; ties count half.",
    "average_precision": "Precision at the place of every account that expanded, averaged. Any"
    " order gives the share that expanded.",
    "precision_at_capacity": "Of the accounts a team has time for at an as-of, from the top of the"
    " list, the share that expanded; mean over the as-ofs. Equal scores at the cut count by their"
    " average.",
    "recall_at_capacity": "Of all expansions, the share that was among those accounts.",
    "arr_at_capacity": "What those accounts did add to the yearly revenue within the horizon, mean"
    " over the as-ofs. It is what came, not what working them caused.",
    "log_loss": "The mean of -log of the probability that was given to what happened. Lower is"
    " better.",
    "log_loss_skill": "The share of the log loss that is saved against stating, for every account,"
    " the base rate that the cut knew. Above 0 is better than the base rate.",
    "brier": "The mean squared difference of probability and outcome. Lower is better.",
    "brier_skill": "The share of the Brier score that is saved against that same base rate.",
    "calibration_error": "The typical gap between stated and observed rate in ten groups of about"
    " equal size, less what chance alone would show. 0 is right.",
    "calibration_slope": "The slope of the outcome's log-odds on the stated log-odds. 1 is right;"
    " below 1 the probabilities are too extreme, above 1 too timid.",
    "observed_to_expected": "How many expanded for each that was expected to. 1 is right.",
    "integrated_brier": "The Brier score of the whole curve, averaged over the days up to 180."
    " Lower is better.",
    "integrated_brier_skill": "The share of it that is saved against the base rate of each"
    " horizon.",
    "concordance": "Of two accounts of which one is known to have expanded first, the chance that"
    " it was given the higher probability. Accounts still followed take part as far as is known.",
    "date_error_days": "How far the expected date was off, in days either way, where an expansion"
    " came within 180 days.",
    "date_coverage": "The share of those expansions inside the interval that promised 80%.",
}

_SHARES: Final = ("precision", "recall_", "date_coverage", "date_gain", "share_")


def title(name: str) -> str:
    """Name a figure as a person would."""
    return TITLES.get(name, name.replace("_", " ").capitalize())


def share(value: float | None) -> str:
    """Say a share in per cent, with a decimal where it is small.

    Examples
    --------
    >>> share(0.482), share(0.0213), share(1.0)
    ('48%', '2.1%', '100%')
    """
    if value is None:
        return "n/a"
    return f"{value:.1%}" if 0 < abs(value) < 0.0995 else f"{value:.0%}"


def number(value: float | None) -> str:
    """Say a figure without a unit, with three decimals."""
    return "n/a" if value is None else f"{value:.3f}"


def lacking(outcomes: int) -> str:
    """Say why nothing can be compared where so many different outcomes are known."""
    known = "Only one outcome" if outcomes else "No outcome"
    return f"{known} is known so far, so there is nothing to compare."


def days(value: float | None) -> str:
    """Say a span in days."""
    return "n/a" if value is None else f"{value:.0f} days"


def amount(value: float | None) -> str:
    """Say an amount in the currency of the contracts."""
    return "n/a" if value is None else f"{value:,.0f}"


def cell(name: str, figure: Figure | None) -> Cell:
    """Say a figure with its interval, in the manner of its kind."""
    if figure is None or figure.value is None:
        return Cell("n/a")
    say = _manner(name)
    return Cell(say(figure.value), interval(name, figure))


def interval(name: str, figure: Figure) -> str:
    """Say the interval alone; nothing where there is none.

    Examples
    --------
    >>> interval("precision_at_capacity", Figure(0.48, 0.39, 0.53))
    '39% to 53%'
    """
    if figure.low is None or figure.high is None:
        return ""
    say = _manner(name)
    low, high = (say(end) for end in (figure.low, figure.high))
    return f"{low.removesuffix(' days')} to {high}"


def _manner(name: str) -> Callable[[float | None], str]:
    if name.startswith(_SHARES):
        return share
    if name.startswith("arr_"):
        return amount
    return days if "_days" in name else number
