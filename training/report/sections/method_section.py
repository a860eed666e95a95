"""What an evaluation left out, how its figures are defined, and what it was made from."""

from importlib.metadata import version
from typing import Final

import polars as pl

from data.config.settings import Settings
from training.dataset import fingerprint
from training.evaluation.evaluate import EvaluationResult
from training.pipeline.training_run import TrainingHistory
from training.report.html_page import (
    DefinitionList,
    Paragraph,
    ReportSection,
    ReportTable,
    SectionPart,
)
from training.report.metric_format import METRIC_DEFINITIONS, format_title
from training.report.svg import to_single_line
from training.rules import team_capacity

__all__ = ["build_exclusions_section", "build_lineage_section", "build_method_section"]

# All that decides what is learned and how it is judged; where tables lie may hold secrets.
_SHOWN_SECTIONS: Final = (
    "outcome",
    "evaluation",
    "team",
    "eligibility",
    "model",
    "seats",
    "adoption",
    "roles",
)
_LIBRARIES: Final = ("lightgbm", "scikit-learn", "polars", "numpy")


def build_exclusions_section(
    evaluation: EvaluationResult, history: TrainingHistory
) -> ReportSection:
    """Count what no figure is computed on, by reason."""
    parts: list[SectionPart] = [_build_ineligible_table(history), _describe_unlabelled(evaluation)]
    if evaluation.skipped:
        rows = [
            [str(cutoff), to_single_line(reason, 300)]
            for cutoff, reason in evaluation.skipped.items()
        ]
        words = frozenset({0, 1})
        parts.append(
            ReportTable("Cuts at which no model was trained", ["cut", "reason"], rows, words)
        )
    else:
        parts.append(Paragraph("No cut was skipped."))
    parts.append(_build_quarantine_table(history))
    return ReportSection("left-out", "What was left out, and why", parts)


def build_method_section(history: TrainingHistory, settings: Settings) -> ReportSection:
    """Say how it was measured, in plain words."""
    rules, outcome = settings.evaluation, settings.outcome
    maturity_days = outcome.booking_lag_days + outcome.revert_days
    steps = [
        (
            "The question",
            f"Will this account expand within {outcome.horizon_days} days of the as-of? It is asked"
            f" of every eligible account, {_describe_frequency(settings)}, with only what was"
            " known before that day.",
        ),
        (
            "Expansion",
            "A rise of seats, usage limit or plan above their level at the as-of, or of recurring"
            " revenue where nothing else is counted. Not: a price rise, a flat renewal, steps of a"
            " ramp that was signed before, a merger, a correction, a first purchase, or a rise"
            f" undone within {outcome.revert_days} days.",
        ),
        (
            "Eligible",
            "Under a paid contract that has not ended, with an event in the last"
            f" {settings.eligibility.silent_days} days.",
        ),
        (
            "Walk forward",
            f"Every {rules.refit_months} months a model is trained on what was known at that cut,"
            " and judged on the as-ofs from there to the next cut. An outcome is known at a cut"
            f" only when its whole window and {maturity_days} further days for late bookings and undone"
            " rises were over by then.",
        ),
        (
            "Calibration",
            "The map from score to probability at a cut is fitted on what earlier cuts' models had"
            " said, where the outcome had become known by then.",
        ),
        (
            "Intervals",
            f"90%: {rules.n_bootstrap} draws, with replacement, of whole accounts, and of whole cuts"
            " where there are four or more. Rows of one account resemble each other, and so do"
            " those of one cut.",
        ),
        (
            "Capacity",
            f"{to_single_line(_describe_capacity(history, settings), 200)} All of them are worked; equal scores at the"
            " end of the list count by their average.",
        ),
        (
            "What it is not",
            "Nothing here says what a conversation causes: accounts expanded without this list, and"
            " the past lists that a team did work with are not in it.",
        ),
    ]
    metrics = [(format_title(name), meaning) for name, meaning in METRIC_DEFINITIONS.items()]
    return ReportSection(
        "method",
        "How it was measured",
        [DefinitionList(steps), DefinitionList(metrics, "What each figure means")],
    )


def build_lineage_section(history: TrainingHistory, settings: Settings) -> ReportSection:
    """Name the data, the settings and the code."""
    as_ofs = sorted(history.panel.snapshots["as_of"].unique())
    window = [
        ("As of", f"{history.as_of:%Y-%m-%d}, 00:00 UTC"),
        (
            "Log",
            f"{history.activity.events:,} events, {history.activity.first_day} to"
            f" {history.activity.last_day}",
        ),
        (
            "Snapshots",
            f"{history.panel.snapshots.height:,} of"
            f" {history.panel.snapshots['account_id'].n_unique():,} accounts at"
            f" {len(as_ofs)} as-ofs, {as_ofs[0]} to {as_ofs[-1]}",
        ),
    ]
    tables = ReportTable(
        "The tables as they were read: the same digest means the same rows",
        ["table", "rows", "digest"],
        [
            [each.name, f"{each.rows:,}", each.digest]
            for each in fingerprint.fingerprint_tables(history.tables, history.activity)
        ],
    )
    code = fingerprint.fingerprint_code()
    versions = [("expansion-propensity", f"{code['version']}, sources {code['sources']}")]
    versions += [(name, version(name)) for name in _LIBRARIES]
    setting_values = [
        (f"{section}.{name}", to_single_line(_format_setting(value), 400))
        for section in _SHOWN_SECTIONS
        for name, value in getattr(settings, section).model_dump(mode="json").items()
    ]
    return ReportSection(
        "made-from",
        "What it was made from",
        [
            DefinitionList(window),
            tables,
            DefinitionList(setting_values, "Settings"),
            DefinitionList(versions, "Versions"),
        ],
    )


def _describe_frequency(settings: Settings) -> str:
    grids = settings.model.weekly_anchors
    return "every 30 days" if grids == 1 else f"every 30 days on each of {grids} grids"


def _describe_capacity(history: TrainingHistory, settings: Settings) -> str:
    explanation = team_capacity.resolve_capacity(settings, history.tables.accounts.rows).explanation
    return explanation[:1].upper() + explanation[1:]


def _build_ineligible_table(history: TrainingHistory) -> ReportTable | Paragraph:
    excluded, eligible = history.panel.excluded, history.panel.snapshots.height
    if "reason" not in excluded.columns or excluded.is_empty():
        return Paragraph("Every account was eligible at every as-of.")
    counts = excluded.group_by("reason").agg(
        rows=pl.len(), accounts=pl.col("account_id").n_unique()
    )
    rows = [
        [to_single_line(row["reason"]), f"{row['rows']:,}", f"{row['accounts']:,}"]
        for row in counts.sort("rows", "reason", descending=[True, False]).rows(named=True)
    ]
    caption = f"Accounts that were not eligible, beside {eligible:,} snapshots that were"
    return ReportTable(caption, ["reason", "account × as-of", "accounts"], rows)


def _describe_unlabelled(evaluation: EvaluationResult) -> Paragraph:
    unlabelled = evaluation.predictions["expanded"].null_count()
    return Paragraph(
        f"Of {evaluation.predictions.height:,} predictions {unlabelled:,} have no known outcome: their"
        " window was not over at the end of the history, or a rise in it cannot be told from a"
        " price change."
    )


def _build_quarantine_table(history: TrainingHistory) -> ReportTable | Paragraph:
    quarantine = {"events": history.activity.quarantine} | {
        name: getattr(history.tables, name).quarantine
        for name in ("subscriptions", "accounts", "users")
    }
    rows = [
        [table, to_single_line(reason, 120), f"{count:,}"]
        for table, reasons in quarantine.items()
        for reason, count in reasons.items()
        if count
    ]
    if not rows:
        return Paragraph("No row was left out on arrival.")
    head = ["table", "reason", "rows"]
    return ReportTable("Rows left out on arrival", head, rows, words=frozenset({0, 1}))


def _format_setting(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
