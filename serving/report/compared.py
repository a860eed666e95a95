"""The sections that set the model beside the simple rankings, over all cuts and cut by cut."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from serving.report import curves, ranking_charts, strokes
from serving.report.page import Chart, Group, Note, Part, Row, Section, Table
from serving.report.paint import plain
from serving.report.words import cell, lacking, title
from training.beside import Beside
from training.evaluate import MODEL, Evaluation
from training.resampling import Figure

__all__ = ["over_time", "rankings"]

_RANKED: Final = (
    "auroc",
    "average_precision",
    "precision_at_capacity",
    "recall_at_capacity",
    "arr_at_capacity",
)
_NAMED_RIVALS: Final = 3

Rankings = Mapping[str, Mapping[str, Figure]]


def rankings(
    walked: Evaluation, known: pl.DataFrame, champion: Beside | None, *, both: bool
) -> Section:
    """Show every ranking on the same snapshots: at the top of the list, and further down."""
    heading = "Beside the simple rankings"
    table = _ranking_table(walked, champion)
    if not both:
        return Section("rankings", heading, [Note(lacking(known["expanded"].n_unique())), table])
    rules = walked.settings.evaluation
    every = {**walked.figures, **walked.learners}
    names = _by_worth(every)
    named = _named(walked)
    worked = _worked(known, rules.capacity)
    drawn = {name: curves.capacity(known, _column(name), worked) for name in names}
    followed = {name: curves.precision_recall(known, _column(name)) for name in names}
    rate = float(np.mean(known["expanded"].to_numpy()))
    parts: list[Part] = [
        table,
        *_beside(champion),
        Note(f"{_chosen(walked)} {walked.power}"),
        ranking_charts.capacity(*_parted(drawn, named), set_to=rules.capacity),
        ranking_charts.precision_recall(*_parted(followed, named), rate=rate),
        ranking_charts.lift(walked.lift),
        _gains(every),
    ]
    return Section("rankings", heading, parts)


def over_time(walked: Evaluation, known: pl.DataFrame) -> Section:
    """Show each cut's model on what it judged, where both outcomes came."""
    heading, best = "Cut by cut", walked.best_simple()
    cuts = {
        cut: found
        for cut, found in walked.by_cut.items()
        if found[MODEL]["auroc"].value is not None
    }
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
            *(
                cell("precision_at_capacity", found[name]["precision_at_capacity"])
                for name in (MODEL, best)
            ),
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


def _ranking_table(walked: Evaluation, champion: Beside | None) -> Table:
    figures, learners = walked.figures, walked.learners
    shown = [name for name in _RANKED if figures[MODEL][name].value is not None] or _RANKED[:4]
    rows = [
        Group("The model"),
        _row(MODEL, figures[MODEL], shown),
        *_champion(champion, shown),
        Group("Simple rankings: single columns and rules"),
        *(_row(name, figures[name], shown) for name in _by_worth(figures)[1:]),
    ]
    if learners:
        rows.append(Group("Other learners, trained on the same rows at each cut"))
        rows += [_row(name, found, shown) for name, found in learners.items()]
    caption = "Every ranking on the same snapshots, with 90% intervals"
    head = ["ranking", *(title(name) for name in shown)]
    return Table(caption, head, rows, strong=frozenset({1}))


def _row(name: str, found: Mapping[str, Figure], shown: Sequence[str]) -> Row:
    return [name, *(cell(key, found.get(key)) for key in shown)]


def _champion(champion: Beside | None, shown: Sequence[str]) -> list[Row]:
    if champion is None or not champion.figures:
        return []
    group = Group("The champion's settings, walked over the same cuts")
    return [group, _row("champion", champion.figures, shown)]


def _beside(champion: Beside | None) -> list[Part]:
    if champion is None:
        return []
    ahead = champion.ahead
    told = ""
    if ahead is not None and ahead.value is not None:
        told = f" {_points(ahead)} is the model's precision at capacity less the champion's."
    return [Note(f"{plain(champion.note, 400)}{told}")]


def _points(gain: Figure) -> str:
    """Say a difference of shares in points."""
    if gain.value is None:
        return "n/a"
    told = f"{100 * gain.value:+.1f} points"
    if gain.low is None or gain.high is None:
        return told
    return f"{told} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _chosen(walked: Evaluation) -> str:
    """Compare with what one would have chosen at the time, without hindsight."""
    gain = walked.over_simple
    if gain.value is None:
        return "The model cannot be compared with the simple ranking chosen cut by cut."
    return (
        "The best simple ranking is known in hindsight only. Against the one that each cut would"
        f" have chosen on what it knew, the model's precision at capacity differs by"
        f" {_points(gain)}."
    )


def _named(walked: Evaluation) -> list[str]:
    """Whose lines have a name: the model, its strongest simple rivals, the strongest learner."""
    rivals = _by_worth(walked.figures)[1:]
    learners = _by_worth({MODEL: walked.figures[MODEL], **walked.learners})[1:2]
    return [MODEL, *rivals[: _NAMED_RIVALS - len(learners)], *learners]


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


def _by_worth(figures: Rankings) -> list[str]:
    """The model, then the rankings by precision at capacity."""
    others = [name for name in figures if name != MODEL]
    order = sorted(others, key=lambda name: -(figures[name]["precision_at_capacity"].value or 0))
    return [MODEL, *order]


def _parted(
    drawn: Mapping[str, pl.DataFrame], named: Sequence[str]
) -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    """The lines with a name, and the rest."""
    return {n: drawn[n] for n in named}, {n: drawn[n] for n in drawn if n not in named}


def _worked(known: pl.DataFrame, capacity: int) -> list[int]:
    """Numbers of accounts at which the curves are taken: up to five times the capacity."""
    most = int(known.group_by("as_of").len()["len"].max())  # type: ignore[arg-type]
    top = max(min(5 * capacity, most), 2)
    step = max(top // 40, 1)
    wanted = {*range(1, top + 1, step), 5, 10, 20, 50, 100, capacity, top}
    return sorted(k for k in wanted if 1 <= k <= top)


def _column(ranking: str) -> str:
    return "probability" if ranking == MODEL else ranking
