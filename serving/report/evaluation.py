"""The page of a walk through history: what the model would have been worth, and how we know."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from serving.report import causes, compared, kinds, provenance, said, strokes, truth
from serving.report.page import Fact, Note, Page, Part, Row, Section, Table, render
from serving.report.paint import plain
from serving.report.words import cell, interval, title
from training.beside import Beside
from training.evaluate import MODEL, Evaluation
from training.model import Propensity
from training.pipeline import History
from training.resampling import Figure

__all__ = ["html"]

_SIGNALS: Final = 14


def html(
    walked: Evaluation,
    past: History,
    explained: tuple[Propensity, pl.DataFrame] | None = None,
    *,
    champion: Beside | None = None,
    controls: Mapping[str, Figure] | None = None,
    answers: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Write the evaluation as one self-contained HTML page.

    Parameters
    ----------
    walked : training.evaluate.Evaluation
        The walk through history; of its settings nothing that may hold a secret is shown.
    past : training.pipeline.History
        What it walked through.
    explained : tuple of Propensity and polars.DataFrame, optional
        The last cut's model and the snapshots it judged, to show what moves its scores.
    champion : training.beside.Beside, optional
        What the champion's settings would have been worth at the same cuts.
    controls : mapping of str to training.resampling.Figure, optional
        What the controls would have added; :func:`training.ablation.controls`.
    answers : sequence of mapping, optional
        What humans said of the lists; :func:`serving.answers.judged`.

    Returns
    -------
    str
        The same for the same input; of accounts it holds counts only.
    """
    settings = walked.settings
    known = walked.predictions.filter(pl.col("expanded").is_not_null())
    both = known["expanded"].n_unique() == 2
    sections = [
        compared.rankings(walked, known, champion, both=both),
        truth.probability(walked, known, both=both),
        truth.dates(walked),
        kinds.section(walked),
        compared.over_time(walked, known),
        *said.sections(answers),
        _causes(explained, controls or {}),
        provenance.left_out(walked, past),
        provenance.method(past, settings),
        provenance.made_from(past, settings),
    ]
    horizon = settings.outcome.horizon_days
    return render(
        Page(
            title="What the model would have been worth",
            about=_about(walked, known, past, horizon),
            foot="Beside the figures, 90% intervals, which draw whole accounts, and whole cuts"
            " where there are four or more.",
            verdict=walked.verdict(),
            facts=_facts(walked, known, settings.evaluation.capacity) if both else (),
            warnings=[_sentence(each) for each in walked.notes()],
            sections=sections,
        )
    )


def _about(walked: Evaluation, known: pl.DataFrame, past: History, horizon_days: int) -> str:
    predictions = walked.predictions
    return (
        f"A walk through history up to {past.as_of:%Y-%m-%d}: {predictions['cut'].n_unique()}"
        " models, each trained on what was known at its cut, judged on what came after it."
        f" {predictions.height:,} predictions, {known.height:,} with a known outcome, of"
        f" {known['account_id'].n_unique():,} accounts; {known['expanded'].sum():,} expanded within"
        f" {horizon_days} days."
    )


def _sentence(text: str) -> str:
    line = plain(text, 400)
    return line[:1].upper() + line[1:]


def _facts(walked: Evaluation, known: pl.DataFrame, capacity: int) -> list[Fact]:
    mine, best = walked.figures[MODEL], walked.best_simple()
    rule = walked.figures[best]
    rate = float(np.mean(known["expanded"].to_numpy()))
    says = {
        "auroc": f"against {cell('auroc', rule['auroc']).value} for {best}",
        "average_precision": f"any order has {rate:.3f}",
        "precision_at_capacity": f"of {capacity} accounts worked per as-of;"
        f" {cell('precision_at_capacity', rule['precision_at_capacity']).value} by {best}",
        "recall_at_capacity": "of all expansions are among them",
        "log_loss_skill": "saved against the base rate; above 0 is better",
        "observed_to_expected": "1 is right",
        "calibration_error": "typical gap of stated and observed; 0 is right",
    }
    facts = [_fact(name, mine[name], told) for name, told in says.items() if name in mine]
    error, usual = (walked.date_figures[f"date_error_days{k}"] for k in ("", "_usual"))
    if error.value is not None and usual.value is not None:
        told = f"on average; the usual day is off by {usual.value:.0f}"
        facts.append(_fact("date_error_days", error, told))
    return facts


def _fact(name: str, figure: Figure, says: str) -> Fact:
    return Fact(title(name), cell(name, figure).value, interval(name, figure), says)


def _causes(
    explained: tuple[Propensity, pl.DataFrame] | None, controls: Mapping[str, Figure]
) -> Section:
    heading = "What drives it"
    if explained is None or explained[1].is_empty():
        none = Note("No model was handed over to be explained.")
        return Section("drivers", heading, [none, *_added(controls)])
    model, judged = explained
    newest = judged["as_of"].max()
    shown_on = judged.filter(pl.col("as_of") == newest)
    found = causes.signals(model, shown_on)
    shown = found.head(_SIGNALS)
    of_all = sum(shown["size"]) / max(sum(found["size"]), 1e-12)
    rows: list[Row] = [
        [row["signal"], f"{row['size']:.3f}", row["feature"], row["direction"]]
        for row in shown.rows(named=True)
    ]
    return Section(
        "drivers",
        heading,
        [
            Note(
                f"The last cut's model on the {shown_on.height:,} accounts of the newest as-of,"
                f" {newest!s}. The {shown.height} signals shown make {of_all:.0%}"
                " of all moves. A signal that moves the score need not cause the expansion."
            ),
            strokes.pushes(shown),
            Table(
                "Mean absolute contribution to the log-odds, and what its leading feature does",
                ["signal", "mean size", "leading feature", "more of it"],
                rows,
                words=frozenset({0, 2, 3}),
                beside=True,
            ),
            *_added(controls),
        ],
    )


def _added(controls: Mapping[str, Figure]) -> list[Part]:
    """What would have been gained by what the model is not given, where that was asked for."""
    if not controls:
        return []
    rows: list[Row] = [[title(name), cell(name, figure)] for name, figure in controls.items()]
    caption = "What logins, tickets and NPS would have added, which the model is not given"
    return [Table(caption, ["figure", "with them less without"], rows)]
