"""The page of the gate benchmark."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from tests.benchmarks.page_format import load_page_template

__all__ = ["MARGIN_CASE", "POWER_CASE", "render_page"]

POWER_CASE = "model .80, rule .72"
MARGIN_CASE = "model .687, rule .72: the tolerated margin"
_SECTIONS = ("nulls", "defaults", "known_auroc", "real")


def render_page(sections: Mapping[str, Any]) -> str:
    """Render ``gate_page.md.jinja`` with every section that was measured."""
    filters = {
        "share": _format_share,
        "mean": np.mean,
        "mean_estimate": _estimate_mean,
        "gain": lambda values: "{:+.1%} ({:+.1%} to {:+.1%})".format(*_estimate_mean(values)),
    }
    template = load_page_template(Path(__file__).with_name("gate_page.md.jinja"), filters)
    results = {name: sections.get(name, {"result": {}})["result"] for name in _SECTIONS}
    return template.render(
        sections=sections, results=results, power_case=POWER_CASE, margin_case=MARGIN_CASE
    )


def _format_share(passed: Sequence[bool]) -> str:
    count, total = sum(passed), len(passed)
    low = beta.ppf(0.05, count, total - count + 1) if count else 0.0
    high = beta.ppf(0.95, count + 1, total - count) if count < total else 1.0
    return f"{count} of {total}: {count / total:.1%} ({low:.1%} to {high:.1%})"


def _estimate_mean(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean over companies and its 90 % interval."""
    mean = float(np.mean(values))
    error = 1.645 * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean, float(mean - error), float(mean + error)
