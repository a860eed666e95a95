"""Figures as the pages print them, and what each of them means in plain words."""

from collections.abc import Callable, Mapping
from typing import Final

from training.metrics.cluster_bootstrap import MetricEstimate
from training.report.html_page import MetricCell

__all__ = [
    "METRIC_DEFINITIONS",
    "METRIC_TITLES",
    "describe_missing_classes",
    "format_cell",
    "format_interval",
    "format_number",
    "format_share",
    "format_title",
]

METRIC_TITLES: Final[Mapping[str, str]] = {
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
METRIC_DEFINITIONS: Final[Mapping[str, str]] = {
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

_SHARE_PREFIXES: Final = ("precision", "recall_", "date_coverage", "date_gain", "share_")


def format_title(name: str) -> str:
    """Name a figure as a person would."""
    return METRIC_TITLES.get(name, name.replace("_", " ").capitalize())


def format_share(value: float | None) -> str:
    """Say a share in per cent, with a decimal where it is small.

    Examples
    --------
    >>> format_share(0.482), format_share(0.0213), format_share(1.0)
    ('48%', '2.1%', '100%')
    """
    if value is None:
        return "n/a"
    return f"{value:.1%}" if 0 < abs(value) < 0.0995 else f"{value:.0%}"


def format_number(value: float | None) -> str:
    """Say a figure without a unit, with three decimals."""
    return "n/a" if value is None else f"{value:.3f}"


def describe_missing_classes(class_count: int) -> str:
    """Say why nothing can be compared where so many different outcomes are known."""
    subject = "Only one outcome" if class_count else "No outcome"
    return f"{subject} is known so far, so there is nothing to compare."


def format_days(value: float | None) -> str:
    """Say a span in days."""
    return "n/a" if value is None else f"{value:.0f} days"


def format_amount(value: float | None) -> str:
    """Say an amount in the currency of the contracts."""
    return "n/a" if value is None else f"{value:,.0f}"


def format_cell(name: str, estimate: MetricEstimate | None) -> MetricCell:
    """Say a figure with its interval, in the manner of its kind."""
    if estimate is None or estimate.value is None:
        return MetricCell("n/a")
    format_value = _select_formatter(name)
    return MetricCell(format_value(estimate.value), format_interval(name, estimate))


def format_interval(name: str, estimate: MetricEstimate) -> str:
    """Say the interval alone; nothing where there is none.

    Examples
    --------
    >>> format_interval("precision_at_capacity", Figure(0.48, 0.39, 0.53))
    '39% to 53%'
    """
    if estimate.low is None or estimate.high is None:
        return ""
    format_value = _select_formatter(name)
    low, high = (format_value(end) for end in (estimate.low, estimate.high))
    return f"{low.removesuffix(' days')} to {high}"


def _select_formatter(name: str) -> Callable[[float | None], str]:
    if name.startswith(_SHARE_PREFIXES):
        return format_share
    if name.startswith("arr_"):
        return format_amount
    return format_days if "_days" in name else format_number
