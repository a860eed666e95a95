"""Run record of a training: settings, metrics overall and by cutoff, lineage, plots and a note.

It contains no value of a single account. :mod:`training.registry.runs` logs it to MLflow.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Final

import polars as pl

from data.config.settings import Settings
from training.dataset import fingerprint
from training.dataset.fingerprint import TableFingerprint
from training.evaluation.evaluate import MODEL
from training.evaluation.metric_tables import MetricTable
from training.evaluation.reference_models import REFERENCE_MODELS
from training.pipeline.training_run import TrainingHistory, TrainingResult
from training.report.evaluation_page import draw_evaluation_charts
from training.report.html_page import render_chart_file

__all__ = ["RunRecord", "build_run_record"]

# Settings that affect training and evaluation.
_LOGGED_SECTIONS: Final = (
    "model",
    "outcome",
    "evaluation",
    "gate",
    "team",
    "eligibility",
    "seats",
    "adoption",
    "roles",
)
# Table locations may contain secrets; these settings affect the training data.
_LOGGED_TABLE_SETTINGS: Final = (
    "time_invariant_attributes",
    "known_at_reliable_from",
    "time_zone",
    "max_quarantine_share",
)
_RANKING_METRICS: Final = ("auroc", "average_precision", "precision_at_capacity")


@dataclass(frozen=True)
class RunRecord:
    """Everything that is logged with a model.

    Attributes
    ----------
    name, verdict, note : str
        Name of the run; summary of the evaluation in one sentence; description in Markdown.
    parameters : mapping
        Setting, as in ``expansion.toml``, → value.
    overall_metrics, metrics_by_cutoff : mapping
        Metrics over all test snapshots; and of each cutoff's model on its own.
    tags : mapping of str to str
        Short facts to filter runs by.
    tables : tuple of TableFingerprint
        Lineage of the input tables.
    plots, files : mapping
        Figures, and further texts, by file name.
    """

    name: str
    verdict: str = ""
    note: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    overall_metrics: Mapping[str, float] = field(default_factory=dict)
    metrics_by_cutoff: Mapping[date, Mapping[str, float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[TableFingerprint, ...] = ()
    plots: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def build_run_record(
    result: TrainingResult, history: TrainingHistory, settings: Settings
) -> RunRecord:
    """Build the run record of a training; without an evaluation, no metrics and few plots."""
    evaluation = result.evaluation
    tables = fingerprint.fingerprint_tables(history.tables, history.activity)
    newest_snapshots = history.panel.snapshots.filter(pl.col("as_of") == pl.col("as_of").max())
    charts = draw_evaluation_charts(evaluation, result.model, newest_snapshots)
    files = {
        "tables.json": json.dumps([asdict(table) for table in tables], indent=2),
        "gate.json": json.dumps(result.gate_decision.to_dict(), indent=2),
    }
    overall_metrics: dict[str, float] = {}
    metrics_by_cutoff: dict[date, MetricTable] = {}
    if evaluation is not None:
        rankings = evaluation.all_metrics
        overall_metrics = evaluation.to_metric_values() | dict(_flatten_metrics(rankings))
        metrics_by_cutoff = evaluation.metrics_by_two_class_cutoff
        files["metrics.csv"] = _format_metrics_csv(rankings, metrics_by_cutoff)
    return RunRecord(
        name=f"as of {history.as_of:%Y-%m-%d}",
        verdict=result.card["verdict"],
        note=_format_note(result),
        parameters=_collect_parameters(settings),
        overall_metrics=overall_metrics,
        metrics_by_cutoff={
            cutoff: dict(_flatten_metrics(ranking_metrics))
            for cutoff, ranking_metrics in metrics_by_cutoff.items()
        },
        tags={
            "as_of": f"{history.as_of:%Y-%m-%d}",
            "gate": "passes" if result.gate_decision.passes else "fails",
            **fingerprint.fingerprint_code(),
        },
        tables=tables,
        plots={f"{chart.key}.svg": render_chart_file(chart) for chart in charts},
        files=files,
    )


def _collect_parameters(settings: Settings) -> dict[str, Any]:
    sections = {
        section: getattr(settings, section).model_dump(mode="json") for section in _LOGGED_SECTIONS
    }
    sections["tables"] = settings.tables.model_dump(
        mode="json", include=set(_LOGGED_TABLE_SETTINGS)
    )
    return {
        f"{section}.{name}": value
        for section, values in sections.items()
        for name, value in values.items()
    }


def _flatten_metrics(ranking_metrics: MetricTable) -> Iterator[tuple[str, float]]:
    """Yield the model's metrics by name, and those of the other rankings with a prefix."""
    for name, estimate in ranking_metrics[MODEL].items():
        for end, value in asdict(estimate).items():
            if value is not None:
                yield (name if end == "value" else f"interval/{name}_{end}"), value
    for ranking in ranking_metrics:
        for name in _RANKING_METRICS:
            value = ranking_metrics[ranking][name].value
            if ranking != MODEL and value is not None:
                group = "reference_model" if ranking in REFERENCE_MODELS else "baseline"
                yield f"{group}/{_slugify(ranking)}/{name}", value


def _slugify(ranking: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", ranking.lower()).strip("_")


def _format_note(result: TrainingResult) -> str:
    """Format verdict, gate decision and a comparison with the baselines as Markdown."""
    card, evaluation = result.card, result.evaluation
    lines = [
        card["verdict"],
        "",
        " ".join([result.gate_decision.summary, *result.gate_decision.notes]),
        "",
        f"Trained on {card['snapshots']:,} snapshots of {card['accounts']:,} accounts, as-ofs"
        f" {card['as_ofs']['first']} to {card['as_ofs']['last']}; log of {card['events']:,}"
        f" events from {card['log']['first_day']} to {card['log']['last_day']}.",
    ]
    if evaluation is None:
        return "\n".join(lines)
    header = ["ranking", *(name.replace("_", " ") for name in _RANKING_METRICS)]
    rows = [
        [
            f"**{name}**" if name == MODEL else name,
            *(str(estimates[key]) for key in _RANKING_METRICS),
        ]
        for name, estimates in evaluation.all_metrics.items()
    ]
    table = [f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows]]
    skipped = [
        f"- cutoff {cutoff} skipped: {reason}" for cutoff, reason in evaluation.skipped.items()
    ]
    return "\n".join([*lines, "", *table, "", "90 % intervals in brackets.", "", *skipped])


def _format_metrics_csv(overall: MetricTable, metrics_by_cutoff: Mapping[date, MetricTable]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["cutoff", "ranking", "metric", "value", "low", "high"])
    for cutoff, ranking_metrics in [("all", overall), *metrics_by_cutoff.items()]:
        for ranking, estimates in ranking_metrics.items():
            for name, estimate in estimates.items():
                writer.writerow(
                    [cutoff, ranking, name, estimate.value, estimate.low, estimate.high]
                )
    return buffer.getvalue()
