"""What a run shows of a training, for whoever browses experiments: no value of an account.

Settings, figures in all and at every cut, the data and the code it was made from, plots, and a
page of words. Where it is kept is the matter of :mod:`training.registry`.
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
from matplotlib.figure import Figure

from data.config.settings import Settings
from training.dataset import fingerprint
from training.dataset.fingerprint import TableFingerprint
from training.evaluation.evaluate import MODEL, EvaluationResult
from training.evaluation.reference_models import REFERENCE_MODELS
from training.metrics import summary
from training.pipeline.training_run import TrainingHistory, TrainingResult
from training.report import importance_plot, run_plots

__all__ = ["RunRecord", "build_run_record"]

# All that decides what is learned and how it is judged.
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
# Where tables lie may hold secrets; how their rows are taken decides what is learned.
_LOGGED_TABLE_SETTINGS: Final = (
    "stable",
    "known_at_reliable_from",
    "time_zone",
    "max_quarantine_share",
)
_RANKING_METRICS: Final = ("auroc", "average_precision", "precision_at_capacity")

MetricsByRanking = Mapping[str, Mapping[str, summary.MetricEstimate]]


@dataclass(frozen=True)
class RunRecord:
    """Everything that is logged beside the model.

    Attributes
    ----------
    name : str
        Of the run.
    verdict : str
        What the model is worth, in a sentence.
    note : str
        The page of words, in Markdown.
    parameters : mapping
        Setting, as in ``expansion.toml``, → value.
    overall_metrics : mapping of str to float
        Figures over all judged snapshots.
    metrics_by_cutoff : mapping of datetime.date to mapping
        Figures of each cut's model, on what it judged.
    tags : mapping of str to str
        Short facts to filter runs by.
    tables : tuple of Fingerprint
        What went in.
    plots : mapping of str to matplotlib figure
        By file name.
    files : mapping of str to str
        Further texts, by file name.
    """

    name: str
    verdict: str = ""
    note: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    overall_metrics: Mapping[str, float] = field(default_factory=dict)
    metrics_by_cutoff: Mapping[date, Mapping[str, float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[TableFingerprint, ...] = ()
    plots: Mapping[str, Figure] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def build_run_record(
    result: TrainingResult, history: TrainingHistory, settings: Settings
) -> RunRecord:
    """Gather what is worth looking at again about a training.

    Parameters
    ----------
    result : training.pipeline.training_run.TrainingResult
        The model, and its walk through history if there was enough of it.
    history : training.pipeline.training_run.TrainingHistory
        What it was trained on.
    settings : data.config.settings.Settings
        Every setting that shaped it.

    Returns
    -------
    RunRecord
        Without a walk through history: no figures, and one plot.
    """
    evaluation = result.evaluation
    metrics_by_cutoff = {} if evaluation is None else _metrics_by_cutoff(evaluation)
    tables = fingerprint.fingerprint_tables(history.tables, history.activity)
    newest_snapshots = history.panel.snapshots.filter(pl.col("as_of") == pl.col("as_of").max())
    figures = {
        "drivers.png": importance_plot.plot_feature_importance(result.model, newest_snapshots)
    }
    if evaluation is not None:
        figures |= run_plots.plot_predictions(
            evaluation.predictions, capacity=settings.evaluation.capacity
        )
        figures |= run_plots.plot_metrics_by_cutoff(metrics_by_cutoff)
    return RunRecord(
        name=f"as of {history.as_of:%Y-%m-%d}",
        verdict=result.card["verdict"],
        note=_format_note(result),
        parameters=_collect_parameters(settings),
        overall_metrics={}
        if evaluation is None
        else evaluation.to_metric_values() | dict(_flatten_metrics(_merge_rankings(evaluation))),
        metrics_by_cutoff={
            cutoff: dict(_flatten_metrics(ranking_metrics))
            for cutoff, ranking_metrics in metrics_by_cutoff.items()
        },
        tags={
            "as_of": f"{history.as_of:%Y-%m-%d}",
            "gate": "passes" if result.gate_decision.passes else "refuses",
            **fingerprint.fingerprint_code(),
        },
        tables=tables,
        plots=figures,
        files=_build_files(evaluation, metrics_by_cutoff, tables)
        | {"gate.json": json.dumps(result.gate_decision.to_dict(), indent=2)},
    )


def _metrics_by_cutoff(evaluation: EvaluationResult) -> dict[date, MetricsByRanking]:
    """Figures of every cut that has judged both outcomes."""
    return {
        cutoff: ranking_metrics
        for cutoff, ranking_metrics in evaluation.metrics_by_cutoff.items()
        if ranking_metrics[MODEL]["auroc"].value is not None
    }


def _merge_rankings(evaluation: EvaluationResult) -> MetricsByRanking:
    """The model, the simple rankings and the learners."""
    return {**evaluation.metrics, **evaluation.reference_metrics}


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


def _flatten_metrics(ranking_metrics: MetricsByRanking) -> Iterator[tuple[str, float]]:
    """The model's figures under their own names, those of rankings and learners under theirs."""
    for name, estimate in ranking_metrics[MODEL].items():
        for end, value in asdict(estimate).items():
            if value is not None:
                yield (name if end == "value" else f"interval/{name}_{end}"), value
    for ranking in ranking_metrics:
        for name in _RANKING_METRICS:
            value = ranking_metrics[ranking][name].value
            if ranking != MODEL and value is not None:
                group = "learner" if ranking in REFERENCE_MODELS else "simple"
                yield f"{group}/{_slugify(ranking)}/{name}", value


def _slugify(ranking: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", ranking.lower()).strip("_")


def _format_note(result: TrainingResult) -> str:
    """The verdict, and the model beside the simple rankings, as a page."""
    about, evaluation = result.card, result.evaluation
    lines = [
        about["verdict"],
        "",
        " ".join([result.gate_decision.sentence, *result.gate_decision.notes]),
        "",
        f"Trained on {about['snapshots']:,} snapshots of {about['accounts']:,} accounts, as-ofs"
        f" {about['as_ofs']['first']} to {about['as_ofs']['last']}; log of {about['events']:,}"
        f" events from {about['log']['first_day']} to {about['log']['last_day']}.",
    ]
    if evaluation is None:
        return "\n".join(lines)
    head = ["ranking", *(name.replace("_", " ") for name in _RANKING_METRICS)]
    rows = [
        [
            f"**{name}**" if name == MODEL else name,
            *(str(estimates[key]) for key in _RANKING_METRICS),
        ]
        for name, estimates in _merge_rankings(evaluation).items()
    ]
    table = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    skipped = [
        f"- cut of {cutoff} skipped: {reason}" for cutoff, reason in evaluation.skipped.items()
    ]
    return "\n".join([*lines, "", *table, "", "In brackets 90 % intervals.", "", *skipped])


def _build_files(
    evaluation: EvaluationResult | None,
    metrics_by_cutoff: Mapping[date, MetricsByRanking],
    tables: tuple[TableFingerprint, ...],
) -> dict[str, str]:
    tables_json = json.dumps([asdict(table) for table in tables], indent=2)
    if evaluation is None:
        return {"data.json": tables_json}
    rankings_by_cutoff = {
        str(cutoff): ranking_metrics for cutoff, ranking_metrics in metrics_by_cutoff.items()
    }
    return {
        "data.json": tables_json,
        "figures.csv": _format_metrics_csv(
            {"all": _merge_rankings(evaluation)} | rankings_by_cutoff
        ),
    }


def _format_metrics_csv(rankings: Mapping[str, MetricsByRanking]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["cut", "ranking", "figure", "value", "low", "high"])
    for cutoff, ranking_metrics in rankings.items():
        for ranking, estimates in ranking_metrics.items():
            for name, estimate in estimates.items():
                writer.writerow(
                    [cutoff, ranking, name, estimate.value, estimate.low, estimate.high]
                )
    return buffer.getvalue()
