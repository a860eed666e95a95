"""Metric names, definitions, number formats and tables of the reports."""

import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from training.metrics.cluster_bootstrap import MetricEstimate
from training.report.html_page import MetricCell, ReportTable, TableRow, load_texts

__all__ = [
    "METRICS",
    "build_metric_table",
    "build_record_table",
    "describe_missing_classes",
    "format_cell",
    "format_interval",
    "format_share",
    "format_title",
]

# Metric → title and definition.
METRICS: Final[Mapping[str, tuple[str, str]]] = {
    name: (texts["title"], texts["definition"])
    for name, texts in load_texts("metrics.toml").items()
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
    return METRICS[name][0] if name in METRICS else name.replace("_", " ").capitalize()


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


def format_metric(name: str, value: float | None) -> str:
    """Format a metric in its unit: share, amount of the contracts' currency, days, or number."""
    if value is None:
        return "n/a"
    if name.startswith(_SHARE_PREFIXES):
        return format_share(value)
    if name.startswith("arr_"):
        return f"{value:,.0f}"
    return f"{value:.0f} days" if "_days" in name else f"{value:.3f}"


def format_cell(name: str, estimate: MetricEstimate | None) -> MetricCell:
    """Format a metric with its interval in the unit of the metric."""
    if estimate is None or estimate.value is None:
        return MetricCell("n/a")
    return MetricCell(format_metric(name, estimate.value), format_interval(name, estimate))


def format_interval(name: str, estimate: MetricEstimate) -> str:
    """Format the interval alone; empty without one.

    Examples
    --------
    >>> format_interval("precision_at_capacity", MetricEstimate(0.48, 0.39, 0.53))
    '39% to 53%'
    """
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = (format_metric(name, end) for end in (estimate.low, estimate.high))
    return f"{low.removesuffix(' days')} to {high}"


def describe_missing_classes(class_count: int) -> str:
    """Return the reason nothing can be compared, given the number of classes in the labels."""
    subject = "Only one class" if class_count else "No label"
    return f"{subject} is known so far, so nothing can be compared."


def build_metric_table(
    caption: str,
    estimates: Mapping[str, MetricEstimate],
    *,
    value_title: str = "value",
    side_by_side: bool = False,
) -> ReportTable:
    """Build a table with a row per metric."""
    rows: list[TableRow] = [
        [format_title(name), format_cell(name, metric)] for name, metric in estimates.items()
    ]
    return ReportTable(caption, ["metric", value_title], rows, side_by_side=side_by_side)


class _ShareFormatter(string.Formatter):
    """Format strings with the format ``share``: ``{observed:share}``."""

    def format_field(self, value: Any, format_spec: str) -> str:  # noqa: ANN401 - any cell
        """Format one field."""
        if format_spec == "share":
            return format_share(value)
        return str(super().format_field(value, format_spec))


def build_record_table(
    caption: str,
    records: Iterable[Mapping[str, Any]],
    columns: Mapping[str, str | Callable[[Mapping[str, Any]], str | MetricCell]],
    *,
    text_columns: frozenset[int] = frozenset({0}),
    side_by_side: bool = False,
) -> ReportTable:
    """Build a table with a row per record.

    ``columns`` maps a title to a format string over the record, or to a function of it.
    """
    formatter = _ShareFormatter()
    rows = [
        [
            column(record) if callable(column) else formatter.vformat(column, (), record)
            for column in columns.values()
        ]
        for record in records
    ]
    return ReportTable(
        caption, list(columns), rows, text_columns=text_columns, side_by_side=side_by_side
    )
