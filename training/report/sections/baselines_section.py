"""The sections that set the model beside the simple rankings, over all cuts and cut by cut."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from training.evaluation.evaluate import MODEL, EvaluationResult
from training.metrics.cluster_bootstrap import MetricEstimate
from training.promotion.champion_comparison import ChampionComparison
from training.report import chart_data
from training.report.charts import plot_helpers, ranking_charts
from training.report.html_page import (
    GroupRow,
    Paragraph,
    ReportChart,
    ReportSection,
    ReportTable,
    SectionPart,
    TableRow,
)
from training.report.metric_format import describe_missing_classes, format_cell, format_title
from training.report.svg import to_single_line

__all__ = ["build_cutoffs_section", "build_rankings_section"]

_RANKING_METRICS: Final = (
    "auroc",
    "average_precision",
    "precision_at_capacity",
    "recall_at_capacity",
    "arr_at_capacity",
)
_MAX_NAMED_BASELINES: Final = 3

MetricsByRanking = Mapping[str, Mapping[str, MetricEstimate]]


def build_rankings_section(
    evaluation: EvaluationResult,
    labelled: pl.DataFrame,
    champion: ChampionComparison | None,
    *,
    has_both_classes: bool,
) -> ReportSection:
    """Show every ranking on the same snapshots: at the top of the list, and further down."""
    heading = "Beside the simple rankings"
    table = _build_ranking_table(evaluation, champion)
    if not has_both_classes:
        return ReportSection(
            "rankings",
            heading,
            [Paragraph(describe_missing_classes(labelled["expanded"].n_unique())), table],
        )
    rules = evaluation.settings.evaluation
    all_rankings = {**evaluation.metrics, **evaluation.reference_metrics}
    names = _sort_by_precision(all_rankings)
    named = _select_named_rankings(evaluation)
    contact_counts = _choose_contact_counts(labelled, rules.capacity)
    capacity_curves = {
        name: chart_data.compute_capacity_curve(labelled, _score_column(name), contact_counts)
        for name in names
    }
    recall_curves = {
        name: chart_data.compute_precision_recall(labelled, _score_column(name)) for name in names
    }
    rate = float(np.mean(labelled["expanded"].to_numpy()))
    parts: list[SectionPart] = [
        table,
        *_build_champion_note(champion),
        Paragraph(f"{_describe_baseline_gain(evaluation)} {evaluation.power}"),
        ranking_charts.draw_capacity_curve(
            *_split_named(capacity_curves, named), team_capacity=rules.capacity
        ),
        ranking_charts.draw_precision_recall(*_split_named(recall_curves, named), rate=rate),
        ranking_charts.draw_lift(evaluation.lift_by_decile),
        _build_capacity_chart(all_rankings),
    ]
    return ReportSection("rankings", heading, parts)


def build_cutoffs_section(evaluation: EvaluationResult, labelled: pl.DataFrame) -> ReportSection:
    """Show each cut's model on what it judged, where both outcomes came."""
    heading, best_baseline = "Cut by cut", evaluation.best_baseline()
    metrics_by_cutoff = {
        cutoff: ranking_metrics
        for cutoff, ranking_metrics in evaluation.metrics_by_cutoff.items()
        if ranking_metrics[MODEL]["auroc"].value is not None
    }
    if not metrics_by_cutoff:
        return ReportSection("cuts", heading, [Paragraph("No cut has judged both outcomes yet.")])

    def select_metric(metric: str, *names: str) -> dict[date, dict[str, MetricEstimate]]:
        return {
            cut: {name: found[name][metric] for name in names}
            for cut, found in metrics_by_cutoff.items()
        }

    rows: list[TableRow] = [
        [
            str(cut),
            f"{(labelled['cut'] == cut).sum():,}",
            f"{labelled.filter(pl.col('cut') == cut)['expanded'].sum():,}",
            *(format_cell(name, found[MODEL].get(name)) for name in ("auroc", "log_loss_skill")),
            *(
                format_cell("precision_at_capacity", found[name]["precision_at_capacity"])
                for name in (MODEL, best_baseline)
            ),
        ]
        for cut, found in metrics_by_cutoff.items()
    ]
    head = ["cut", "snapshots", "expanded", format_title("auroc"), format_title("log_loss_skill")]
    head += ["Precision at capacity", f"the same by {best_baseline}"]
    interval_note = "With 90% intervals, which draw whole accounts."
    return ReportSection(
        "cuts",
        heading,
        [
            plot_helpers.draw_by_cutoff(
                select_metric("log_loss_skill", MODEL),
                key="cuts-skill",
                title="Does each model know more than the base rate?",
                says=f"Log-loss skill of each cut's model on what came after it. {interval_note}",
                y="log-loss skill",
                line=0.0,
            ),
            plot_helpers.draw_by_cutoff(
                select_metric("precision_at_capacity", MODEL, best_baseline),
                key="cuts-precision",
                title="Is it ahead of the best simple ranking each time?",
                says=f"Precision at capacity beside {best_baseline}, the best simple ranking over all"
                f" cuts. {interval_note}",
                y="precision at capacity",
                shares=True,
            ),
            ReportTable("Each cut's model on what it judged, with 90% intervals", head, rows),
        ],
    )


def _build_ranking_table(
    evaluation: EvaluationResult, champion: ChampionComparison | None
) -> ReportTable:
    figures, learners = evaluation.metrics, evaluation.reference_metrics
    shown = [
        name for name in _RANKING_METRICS if figures[MODEL][name].value is not None
    ] or _RANKING_METRICS[:4]
    rows = [
        GroupRow("The model"),
        _build_row(MODEL, figures[MODEL], shown),
        *_build_champion_rows(champion, shown),
        GroupRow("Simple rankings: single columns and rules"),
        *(_build_row(name, figures[name], shown) for name in _sort_by_precision(figures)[1:]),
    ]
    if learners:
        rows.append(GroupRow("Other learners, trained on the same rows at each cut"))
        rows += [_build_row(name, estimates, shown) for name, estimates in learners.items()]
    caption = "Every ranking on the same snapshots, with 90% intervals"
    head = ["ranking", *(format_title(name) for name in shown)]
    return ReportTable(caption, head, rows, strong=frozenset({1}))


def _build_row(
    name: str, estimates: Mapping[str, MetricEstimate], shown: Sequence[str]
) -> TableRow:
    return [name, *(format_cell(key, estimates.get(key)) for key in shown)]


def _build_champion_rows(
    champion: ChampionComparison | None, shown: Sequence[str]
) -> list[TableRow]:
    if champion is None or not champion.metrics:
        return []
    group = GroupRow("The champion's settings, walked over the same cuts")
    return [group, _build_row("champion", champion.metrics, shown)]


def _build_champion_note(champion: ChampionComparison | None) -> list[SectionPart]:
    if champion is None:
        return []
    gain = champion.precision_gain
    gain_text = ""
    if gain is not None and gain.value is not None:
        gain_text = (
            f" {_format_points(gain)} is the model's precision at capacity less the champion's."
        )
    return [Paragraph(f"{to_single_line(champion.note, 400)}{gain_text}")]


def _format_points(gain: MetricEstimate) -> str:
    """Say a difference of shares in points."""
    if gain.value is None:
        return "n/a"
    text = f"{100 * gain.value:+.1f} points"
    if gain.low is None or gain.high is None:
        return text
    return f"{text} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _describe_baseline_gain(evaluation: EvaluationResult) -> str:
    """Compare with what one would have chosen at the time, without hindsight."""
    gain = evaluation.gain_over_selected_baseline
    if gain.value is None:
        return "The model cannot be compared with the simple ranking chosen cut by cut."
    return (
        "The best simple ranking is known in hindsight only. Against the one that each cut would"
        f" have chosen on what it knew, the model's precision at capacity differs by"
        f" {_format_points(gain)}."
    )


def _select_named_rankings(evaluation: EvaluationResult) -> list[str]:
    """Whose lines have a name: the model, its strongest simple rivals, the strongest learner."""
    baselines = _sort_by_precision(evaluation.metrics)[1:]
    learners = _sort_by_precision(
        {MODEL: evaluation.metrics[MODEL], **evaluation.reference_metrics}
    )[1:2]
    return [MODEL, *baselines[: _MAX_NAMED_BASELINES - len(learners)], *learners]


def _build_capacity_chart(figures: MetricsByRanking) -> ReportChart:
    name = "precision_at_capacity"
    return plot_helpers.draw_dot_plot(
        {ranking: figures[ranking][name] for ranking in _sort_by_precision(figures)},
        key="at-capacity",
        title="Who is ahead at the team's capacity?",
        says="Precision at capacity of every ranking, with 90% intervals. Intervals that overlap do"
        " not mean that two rankings are level: the verdict compares them on the same draws.",
        x="precision at capacity",
        shares=True,
        strong=[MODEL],
    )


def _sort_by_precision(figures: MetricsByRanking) -> list[str]:
    """The model, then the rankings by precision at capacity."""
    others = [name for name in figures if name != MODEL]
    order = sorted(others, key=lambda name: -(figures[name]["precision_at_capacity"].value or 0))
    return [MODEL, *order]


def _split_named(
    curves: Mapping[str, pl.DataFrame], named: Sequence[str]
) -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    """The lines with a name, and the rest."""
    return {n: curves[n] for n in named}, {n: curves[n] for n in curves if n not in named}


def _choose_contact_counts(labelled: pl.DataFrame, capacity: int) -> list[int]:
    """Numbers of accounts at which the curves are taken: up to five times the capacity."""
    max_accounts = int(labelled.group_by("as_of").len()["len"].max())  # type: ignore[arg-type]
    max_shown = max(min(5 * capacity, max_accounts), 2)
    step = max(max_shown // 40, 1)
    candidates = {*range(1, max_shown + 1, step), 5, 10, 20, 50, 100, capacity, max_shown}
    return sorted(k for k in candidates if 1 <= k <= max_shown)


def _score_column(ranking: str) -> str:
    return "probability" if ranking == MODEL else ranking
