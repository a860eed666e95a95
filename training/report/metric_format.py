"""Metric names, definitions and number formats of the reports."""

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
    "date_mae_days": "Error of the expected date",
    "date_coverage": "Coverage of the date interval",
}
METRIC_DEFINITIONS: Final[Mapping[str, str]] = {
    "auroc": "Probability that an account that expanded ranks above one that did not. 0.5 is a"
    " random order, 1 is perfect; ties count half.",
    "average_precision": "Precision at the rank of every account that expanded, averaged. A random"
    " order gives the share that expanded.",
    "precision_at_capacity": "Share that expanded among the accounts that a team can contact at an"
    " as-of, from the top of the list; mean over the as-ofs. Ties at the threshold count by their"
    " average.",
    "recall_at_capacity": "Share of all expansions that was among those accounts.",
    "arr_at_capacity": "Increase of annual revenue of those accounts within the horizon, mean over"
    " the as-ofs. It is what was observed, not the effect of contacting them.",
    "log_loss": "Mean of -log of the probability given to the observed outcome. Lower is better.",
    "log_loss_skill": "Relative reduction of log loss against predicting the base rate known at the"
    " cutoff for every account. Above 0 is better than the base rate.",
    "brier": "Mean squared difference of probability and outcome. Lower is better.",
    "brier_skill": "Relative reduction of the Brier score against that same base rate.",
    "calibration_error": "Typical gap between predicted and observed rate in ten groups of about"
    " equal size, less the gap expected by chance. 0 is perfect.",
    "calibration_slope": "Slope of the outcome's log-odds on the predicted log-odds. 1 is perfect;"
    " below 1 the probabilities are too extreme, above 1 not extreme enough.",
    "observed_to_expected": "Observed expansions divided by expected expansions. 1 is perfect.",
    "integrated_brier": "Brier score of the cumulative incidence, averaged over the days up to 180."
    " Lower is better.",
    "integrated_brier_skill": "Its relative reduction against the base rate of each horizon.",
    "concordance": "For two accounts of which one is known to have expanded first, the probability"
    " that it had the higher prediction. Censored accounts count as far as they are known.",
    "date_mae_days": "Mean absolute error of the expected date in days, for expansions within 180"
    " days.",
    "date_coverage": "Share of those expansions inside the nominal 80% interval.",
}

_SHARE_PREFIXES: Final = (
    "precision",
    "recall_",
    "date_coverage",
    "date_skill",
    "detection_rate",
    "condition_rate",
)


def format_title(name: str) -> str:
    """Return the display name of a metric."""
    return METRIC_TITLES.get(name, name.replace("_", " ").capitalize())


def format_share(value: float | None) -> str:
    """Format a share in per cent, with one decimal if it is small.

    Examples
    --------
    >>> format_share(0.482), format_share(0.0213), format_share(1.0)
    ('48%', '2.1%', '100%')
    """
    if value is None:
        return "n/a"
    return f"{value:.1%}" if 0 < abs(value) < 0.0995 else f"{value:.0%}"


def format_number(value: float | None) -> str:
    """Format a metric without a unit, with three decimals."""
    return "n/a" if value is None else f"{value:.3f}"


def describe_missing_classes(class_count: int) -> str:
    """Return the reason nothing can be compared, given the number of classes in the labels."""
    subject = "Only one class" if class_count else "No label"
    return f"{subject} is known so far, so nothing can be compared."


def format_days(value: float | None) -> str:
    """Format a number of days."""
    return "n/a" if value is None else f"{value:.0f} days"


def format_amount(value: float | None) -> str:
    """Format an amount in the currency of the contracts."""
    return "n/a" if value is None else f"{value:,.0f}"


def format_cell(name: str, estimate: MetricEstimate | None) -> MetricCell:
    """Format a metric with its interval in the unit of the metric."""
    if estimate is None or estimate.value is None:
        return MetricCell("n/a")
    format_value = _select_formatter(name)
    return MetricCell(format_value(estimate.value), format_interval(name, estimate))


def format_interval(name: str, estimate: MetricEstimate) -> str:
    """Format the interval alone; empty without one.

    Examples
    --------
    >>> format_interval("precision_at_capacity", MetricEstimate(0.48, 0.39, 0.53))
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
