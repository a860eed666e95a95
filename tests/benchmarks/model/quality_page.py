"""The page of the model benchmark. Imports nothing heavy: see ``bench_model``."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.benchmarks.page_format import describe_machine, load_page_template

__all__ = ["render_page"]

_LIBRARIES = ("lightgbm", "polars", "scikit-learn")
_T90 = {2: 6.31, 3: 2.92, 5: 2.13, 10: 1.83}  # Student's t, 95 %, by number of permutations
Estimate = Mapping[str, float | None]


def render_page(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Render ``quality_page.md.jinja``; every number on it comes from the sections' results.

    Parameters
    ----------
    sections : mapping of str to mapping
        Section → ``result``, its time (``at``), and the state of the code.
    """
    filters = {
        "estimate": _format_estimate,
        "percent": _format_percent_estimate,
        "share": lambda value: f"{100 * value:.0f} %",
        "fixed": lambda value, places=3: "n/a" if value is None else f"{value:.{places}f}",
        "thousands": lambda value: f"{int(value):,}",
        "exponent": lambda value: f"{value:.1e}",
        "contains": _interval_contains,
        "by_size": lambda results: sorted(results.items(), key=lambda item: int(item[0])),
        "pairwise": pairwise,
        "mean_over_permutations": _estimate_mean,
        "max_by_chance": _max_by_chance,
    }
    template = load_page_template(Path(__file__).with_name("quality_page.md.jinja"), filters)
    return template.render(sections=sections, machine=describe_machine(_LIBRARIES))


def _format_estimate(estimate: Estimate, places: int = 3, unit: str = "") -> str:
    value, low, high = (estimate[part] for part in ("value", "low", "high"))
    if value is None:
        return "n/a"
    interval = "" if low is None else f" ({low:.{places}f} to {high:.{places}f})"
    return f"{value:.{places}f}{unit}{interval}"


def _format_percent_estimate(estimate: Estimate) -> str:
    percent = {name: None if value is None else 100 * value for name, value in estimate.items()}
    return _format_estimate(percent, places=1, unit=" %")


def _interval_contains(estimate: Estimate, value: float) -> bool:
    low, high = estimate["low"], estimate["high"]
    return low is not None and high is not None and low <= value <= high


def _estimate_mean(values: Sequence[float]) -> dict[str, float]:
    """Estimate the mean with its 90 % interval by Student's t."""
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((one - mean) ** 2 for one in values) / max(len(values) - 1, 1))
    margin = _T90.get(len(values), 1.83) * spread / math.sqrt(len(values))
    return {"value": mean, "low": mean - margin, "high": mean + margin}


def _max_by_chance(companies: int) -> int:
    """Return the number of companies with an interval below 0 that chance exceeds 1 time in 20."""
    total = 0.0
    for count in range(companies + 1):
        total += math.comb(companies, count) * 0.05**count * 0.95 ** (companies - count)
        if total >= 0.95:
            return count
    return companies
