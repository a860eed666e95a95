"""The sections that set the model beside the simple rankings, over all cuts and cut by cut."""

from collections.abc import Mapping
from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.settings import Settings
from serving.report import curves, ranking_charts, strokes
from serving.report.page import Cell, Chart, Group, Note, Part, Row, Section, Table
from serving.report.words import cell, lacking, title
from training import metrics
from training.evaluate import MODEL, Evaluation
from training.resampling import Figure

__all__ = ["over_time", "rankings"]

_RANKED: Final = ("auroc", "average_precision", "precision_at_capacity", "recall_at_capacity")
_NAMED_RIVALS: Final = 3

Rankings = Mapping[str, Mapping[str, Figure]]


def rankings(walked: Evaluation, known: pl.DataFrame, settings: Settings, *, both: bool) -> Section:
    """Show every ranking on the same snapshots: at the top of the list, and further down."""
    parts: list[Part] = [_ranking_table(walked.figures)]
    if not both:
        return Section(
            "rankings",
            "Beside the simple rankings",
            [Note(lacking(known["expanded"].n_unique())), *parts],
        )
    rules = settings.evaluation
    names = _by_worth(walked.figures)
    worked = _worked(known, rules.capacity)
    drawn = {name: curves.capacity(known, _column(name), worked) for name in names}
    followed = {name: curves.precision_recall(known, _column(name)) for name in names}
    tenths = curves.lift(known, resamples=rules.resamples, seed=settings.model.seed)
    rate = float(np.mean(known["expanded"].to_numpy()))
    parts += [
        ranking_charts.capacity(*_parted(drawn), set_to=rules.capacity),
        ranking_charts.precision_recall(*_parted(followed), rate=rate),
        ranking_charts.lift(tenths),
        _gains(walked.figures),
    ]
    return Section("rankings", "Beside the simple rankings", parts)


def over_time(walked: Evaluation, known: pl.DataFrame, settings: Settings) -> Section:
    """Show each cut's model on what it judged, where both outcomes came."""
    heading, best = "Cut by cut", walked.best_simple()
    cuts = _by_cut(known, best, settings)
    if not cuts:
        return Section("cuts", heading, [Note("No cut has judged both outcomes yet.")])

    def of(figure: str, *names: str) -> dict[date, dict[str, Figure]]:
        return {cut: {name: found[name][figure] for name in names} for cut, found in cuts.items()}

    rows: list[Row] = [
        [
            str(cut),
            f"{(known['cut'] == cut).sum():,}",
            f"{known.filter(pl.col('cut') == cut)['expanded'].sum():,}",
            *(cell(name, found[MODEL].get(name)) for name in ("auroc", "log_loss_skill")),
            cell("precision_at_capacity", found[MODEL]["precision_at_capacity"]),
            cell("precision_at_capacity", found[best]["precision_at_capacity"]),
        ]
        for cut, found in cuts.items()
    ]
    head = ["cut", "snapshots", "expanded", title("auroc"), title("log_loss_skill")]
    head += ["Precision at capacity", f"the same by {best}"]
    within = "With 90% intervals, which draw whole accounts."
    return Section(
        "cuts",
        heading,
        [
            strokes.over_cuts(
                of("log_loss_skill", MODEL),
                key="cuts-skill",
                title="Does each model know more than the base rate?",
                says=f"Log-loss skill of each cut's model on what came after it. {within}",
                y="log-loss skill",
                line=0.0,
            ),
            strokes.over_cuts(
                of("precision_at_capacity", MODEL, best),
                key="cuts-precision",
                title="Is it ahead of the best simple ranking each time?",
                says=f"Precision at capacity beside {best}, the best simple ranking over all"
                f" cuts. {within}",
                y="precision at capacity",
                shares=True,
            ),
            Table("Each cut's model on what it judged, with 90% intervals", head, rows),
        ],
    )


def _ranking_table(figures: Rankings) -> Table:
    head = ["ranking", *(title(name) for name in _RANKED)]
    rows: list[Row] = [
        Group("The model"),
        _row(MODEL, figures[MODEL]),
        Group("Simple rankings: single columns and rules"),
        *(_row(name, figures[name]) for name in _by_worth(figures)[1:]),
    ]
    caption = "Every ranking on the same snapshots, with 90% intervals"
    return Table(caption, head, rows, strong=frozenset({1}))


def _row(name: str, found: Mapping[str, Figure]) -> list[str | Cell]:
    return [name, *(cell(key, found.get(key)) for key in _RANKED)]


def _gains(figures: Rankings) -> Chart:
    name = "precision_at_capacity"
    return strokes.dots(
        {ranking: figures[ranking][name] for ranking in _by_worth(figures)},
        key="at-capacity",
        title="Who is ahead at the team's capacity?",
        says="Precision at capacity of every ranking, with 90% intervals. Intervals that overlap do"
        " not mean that two rankings are level: the verdict compares them on the same draws.",
        x="precision at capacity",
        shares=True,
        strong=[MODEL],
    )


def _by_cut(known: pl.DataFrame, best: str, settings: Settings) -> dict[date, Rankings]:
    """Figures of every cut that has judged both outcomes: the model's, and the best ranking's."""
    parts = known.sort("cut", "as_of", "account_id").partition_by("cut", maintain_order=True)
    return {
        part["cut"][0]: {
            MODEL: _figures(
                part,
                "probability",
                settings,
                probability=part["probability"].to_numpy(),
                reference=part["base_rate"].to_numpy(),
            ),
            best: _figures(part, best, settings),
        }
        for part in parts
        if part["expanded"].n_unique() == 2
    }


def _figures(
    part: pl.DataFrame, score: str, settings: Settings, **stated: NDArray[np.float64]
) -> dict[str, Figure]:
    return metrics.figures(
        part[score].to_numpy(),
        metrics.judged(part),
        capacity=settings.evaluation.capacity,
        resamples=settings.evaluation.resamples,
        seed=settings.model.seed,
        **stated,
    )


def _by_worth(figures: Rankings) -> list[str]:
    """The model, then the rankings by precision at capacity."""
    others = [name for name in figures if name != MODEL]
    order = sorted(others, key=lambda name: -(figures[name]["precision_at_capacity"].value or 0))
    return [MODEL, *order]


def _parted(drawn: Mapping[str, pl.DataFrame]) -> tuple[dict[str, pl.DataFrame], ...]:
    """The model with its strongest rivals, and the rest."""
    names = list(drawn)
    named = names[: _NAMED_RIVALS + 1]
    return {n: drawn[n] for n in named}, {n: drawn[n] for n in names if n not in named}


def _worked(known: pl.DataFrame, capacity: int) -> list[int]:
    """Numbers of accounts at which the curves are taken: up to five times the capacity."""
    most = int(known.group_by("as_of").len()["len"].max())  # type: ignore[arg-type]
    top = max(min(5 * capacity, most), 2)
    step = max(top // 40, 1)
    wanted = {*range(1, top + 1, step), 5, 10, 20, 50, 100, capacity, top}
    return sorted(k for k in wanted if 1 <= k <= top)


def _column(ranking: str) -> str:
    return "probability" if ranking == MODEL else ranking
