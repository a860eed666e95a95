"""The sections that ask whether the probabilities and the dates are true."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from serving.report import curves, probability_charts, strokes
from serving.report.page import Cell, Note, Row, Section, Table
from serving.report.words import cell, lacking, share, title
from training import date_metrics
from training.evaluate import MODEL, Evaluation
from training.resampling import Figure

__all__ = ["dates", "probability"]

_TRUTH: Final = (
    "log_loss_skill",
    "log_loss",
    "brier",
    "brier_skill",
    "calibration_error",
    "calibration_slope",
    "observed_to_expected",
)
_CURVE: Final = ("integrated_brier", "integrated_brier_skill", "concordance")
_RULES: Final = 3


def probability(walked: Evaluation, known: pl.DataFrame, *, both: bool) -> Section:
    """Ask of the probability whether it is true, and whether acting on it pays."""
    heading = "Is the probability true?"
    if not both:
        return Section(
            "probability", heading, [Note(lacking(known["expanded"].n_unique())), *_bands(walked)]
        )
    mine, settings = walked.figures[MODEL], walked.settings
    draws = {"resamples": settings.evaluation.resamples, "seed": settings.model.seed}
    rules = _rules(known, list(walked.figures))
    weighed = curves.net_benefit(known, rules, **draws)
    table = Table(
        "The model's probability, with 90% intervals",
        ["figure", "value"],
        [[title(name), cell(name, mine[name])] for name in _TRUTH if name in mine],
        beside=True,
    )
    return Section(
        "probability",
        heading,
        [
            probability_charts.reliability(
                curves.reliability(known, **draws), known["probability"]
            ),
            probability_charts.months(curves.months(known)),
            replace(probability_charts.net_benefit(weighed, list(rules)), tall=True),
            table,
            *_bands(walked),
        ],
    )


def dates(walked: Evaluation) -> Section:
    """Ask of the expected dates whether it came then, and inside the interval."""
    heading, found = "The expected dates", walked.date_figures
    dated = date_metrics.judged(walked.predictions)
    if dated.is_empty():
        told = (
            "No expansion can be judged yet: none came within 180 days of an as-of whose 180 days"
        )
        return Section("dates", heading, [Note(f"{told} are over.")])
    errors = {
        "model": found["date_error_days"],
        "the usual day": found["date_error_days_usual"],
        "straight line to the limit": found["date_error_days_line"],
    }
    curve: list[Row] = [[title(name), cell(name, found[name])] for name in _CURVE if name in found]
    held = {"all": found["date_coverage"]} | {
        f"{third} third of the chance": found[f"date_coverage_{third}"]
        for third in ("lowest", "middle", "highest")
    }
    return Section(
        "dates",
        heading,
        [
            Note(
                f"Judged are the {dated.height:,} snapshots whose expansion came within 180 days,"
                " once all of the 180 days are known."
            ),
            replace(probability_charts.dates(curves.dates(dated)), tall=True),
            strokes.dots(
                errors,
                key="date-error",
                title="How far off is the expected date?",
                says="Mean distance in days, with 90% intervals. The usual day is the constant that"
                " was best on what the cut knew; the line carries three months' growth on to the"
                " seat or usage limit.",
                x="days",
                strong=["model"],
                numbers=_figures_table("Error of the expected date", "date_error_days", errors),
            ),
            strokes.dots(
                held,
                key="date-coverage",
                title="Does the interval hold what it promises?",
                says="Share of those expansions inside the stated 80% interval, of all and by third"
                " of the probability, with 90% intervals; dashed: what is promised.",
                x="share inside the interval",
                line=0.8,
                shares=True,
                strong=["all"],
                numbers=_figures_table("Coverage of the 80% interval", "date_coverage", held),
            ),
            Table("The whole curve up to 180 days, with 90% intervals", ["figure", "value"], curve),
        ],
    )


def _bands(walked: Evaluation) -> list[Table]:
    if not walked.bands:
        return []
    rows: list[Row] = [
        [
            band["band"],
            f"{band['snapshots']:,}",
            share(band["expected"]),
            Cell(share(band["value"]), _span(band["low"], band["high"])),
        ]
        for band in walked.bands
    ]
    caption = "By band of the probability, as a CSM sees it: what was stated, and what happened"
    return [Table(caption, ["band", "snapshots", "stated", "expanded"], rows, beside=True)]


def _figures_table(caption: str, name: str, found: Mapping[str, Figure]) -> Table:
    rows: list[Row] = [[key, cell(name, figure)] for key, figure in found.items()]
    return Table(f"{caption}, with 90% intervals", ["", "value"], rows)


def _rules(known: pl.DataFrame, rankings: Sequence[str]) -> dict[str, str]:
    """The rankings that only say yes or no: 1, 0, or below 0 where they cannot tell."""
    told = [n for n in rankings if n in known.columns]
    yes_or_no = [n for n in told if known[n].max() == 1 and known[n].n_unique() <= 3]
    return {name: name for name in yes_or_no[:_RULES]}


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{share(low)} to {share(high)}"
