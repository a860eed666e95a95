"""Report sections on exclusions, method and lineage of an evaluation."""

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
    load_texts,
)
from training.report.metric_format import METRICS, build_record_table
from training.report.svg import to_single_line
from training.rules import team_capacity

__all__ = ["build_exclusions_section", "build_lineage_section", "build_method_section"]

# Settings that affect training and evaluation; table locations may contain secrets.
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
    """Build the section that counts excluded rows by reason."""
    parts: list[SectionPart] = [_build_ineligible_table(history), _describe_unlabelled(evaluation)]
    if evaluation.skipped:
        rows = [
            [str(cutoff), to_single_line(reason, 300)]
            for cutoff, reason in evaluation.skipped.items()
        ]
        text_columns = frozenset({0, 1})
        parts.append(ReportTable("Skipped cutoffs", ["cutoff", "reason"], rows, text_columns))
    else:
        parts.append(Paragraph("No cutoff was skipped."))
    parts.append(_build_quarantine_table(history))
    return ReportSection("exclusions", "Exclusions", parts)


def build_method_section(history: TrainingHistory, settings: Settings) -> ReportSection:
    """Build the description of the evaluation method."""
    outcome, grids = settings.outcome, settings.model.weekly_anchors
    capacity = team_capacity.resolve_capacity(settings, history.tables.accounts.rows).explanation
    values = {
        "settings": settings,
        "frequency": "every 30 days" + ("" if grids == 1 else f" on each of {grids} grids"),
        "maturity_days": outcome.booking_lag_days + outcome.revert_days,
        "capacity": to_single_line(capacity[:1].upper() + capacity[1:], 200),
    }
    texts = load_texts("method.toml")
    steps = [(title, text.format(**values)) for title, text in texts.items()]
    metrics = list(METRICS.values())
    return ReportSection(
        "method",
        "Method",
        [DefinitionList(steps), DefinitionList(metrics, "Metric definitions")],
    )


def build_lineage_section(history: TrainingHistory, settings: Settings) -> ReportSection:
    """Build the section on the data, settings and code of the evaluation."""
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
    tables = build_record_table(
        "Input tables; equal digests mean equal rows",
        map(vars, fingerprint.fingerprint_tables(history.tables, history.activity)),
        {"table": "{name}", "rows": "{rows:,}", "digest": "{digest}"},
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
        "lineage",
        "Data, settings and code",
        [
            DefinitionList(window),
            tables,
            DefinitionList(setting_values, "Settings"),
            DefinitionList(versions, "Versions"),
        ],
    )


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
    caption = f"Ineligible accounts, compared with {eligible:,} eligible snapshots"
    return ReportTable(caption, ["reason", "account × as-of", "accounts"], rows)


def _describe_unlabelled(evaluation: EvaluationResult) -> Paragraph:
    unlabelled = evaluation.predictions["expanded"].null_count()
    return Paragraph(
        f"Of {evaluation.predictions.height:,} predictions {unlabelled:,} have no label: their"
        " window had not ended at the end of the history, or it contains an increase that cannot be"
        " distinguished from a price change."
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
        return Paragraph("No input row was rejected.")
    header = ["table", "reason", "rows"]
    return ReportTable("Rejected input rows", header, rows, text_columns=frozenset({0, 1}))


def _format_setting(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
