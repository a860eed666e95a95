"""What a data scientist reads in the terminal: the figures, and what was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from serving.console.terminal import out, share

if TYPE_CHECKING:
    from training.beside import Beside
    from training.evaluate import Evaluation
    from training.metrics import Figure

__all__ = ["answers", "controls", "evaluated", "exclusion", "judged"]

_FIGURES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "precision_at_capacity": "precision at capacity",
    "recall_at_capacity": "recall at capacity",
    "arr_at_capacity": "yearly revenue added by the worked accounts, per as-of",
    "log_loss": "log loss",
    "log_loss_skill": "log-loss skill",
    "brier": "Brier",
    "brier_skill": "Brier skill",
    "calibration_error": "calibration error",
    "calibration_slope": "calibration slope",
    "observed_to_expected": "observed ÷ expected",
}
_DATES = {
    "integrated_brier": "Brier integrated over the horizons",
    "integrated_brier_skill": "its skill over the rates in hindsight",
    "concordance": "concordance of who expands first",
}
_MONEY = ("arr_at_capacity",)
_RANKED = ("auroc", "average_precision", "precision_at_capacity")
_LEARNED = ("auroc", "average_precision", "precision_at_capacity", "log_loss_skill")
_PER_CUT = ("auroc", "precision_at_capacity", "log_loss_skill", "observed_to_expected")
_THIRDS = ("lowest", "middle", "highest")


def evaluated(walked: Evaluation) -> None:
    """Print the model's figures, then the simple rankings, then the learners."""
    mine = walked.figures["model"]
    _one("The model, walked forward; 90 % intervals over accounts and cuts", mine, _FIGURES)
    _ranked("Beside it: simple rankings", walked.figures, _RANKED)
    if walked.learners:
        _ranked("And plain learners at their defaults", walked.learners, _LEARNED)
    _dates(walked.date_figures)
    _bands(walked.bands)
    known = walked.predictions["expanded"].drop_nulls()
    _say(
        f"{walked.predictions.height:,} predictions from {walked.predictions['cut'].n_unique()}"
        f" cuts; {len(known):,} with a known outcome, {known.sum():,} expanded."
    )
    for cut, reason in walked.skipped.items():
        _say(f"cut {cut} skipped: {reason}")
    out.print(walked.verdict(), highlight=False, style="bold")


def judged(walked: Evaluation, capacity: str, beside: Beside | None) -> None:
    """Print what only an evaluation tells: lift, cuts, segments, power, and the champion."""
    _lift(walked.lift)
    _cuts(walked)
    _segments(walked)
    if walked.over_simple.value is not None:
        _say(
            "Precision at capacity less that of the simple ranking that each cut would have chosen"
            f" ({_named(walked)}): {walked.over_simple}"
        )
    _say(str(walked.power))
    if beside is not None:
        _say(beside.note)
    if beside is not None and beside.figures:
        told = ", ".join(f"{_FIGURES[name]} {beside.figures[name]}" for name in _LEARNED)
        _say(f"The champion's settings: {told}; the model's precision less theirs: {beside.ahead}.")
    _say(f"Capacity: {capacity}")
    for note in walked.notes():
        if note != capacity:
            _say(note)


def answers(said: Sequence[Mapping[str, Any]], unread: Sequence[str]) -> None:
    """Print what humans said of the lists beside what the contracts then showed."""
    table = Table(title="What humans said of the lists, and what the contracts showed then")
    for name in ("said", "answers", "chance told", "outcome known", "expanded"):
        table.add_column(name)
    for row in said:
        chance = "" if row["expected"] is None else share(row["expected"])
        counts = (f"{row[name]:,}" for name in ("known", "expanded"))
        table.add_row(row["verdict"], f"{row['answers']:,}", chance, *counts)
    if table.row_count:
        out.print(table)
    for why in unread:
        _say(why)


def controls(added: Mapping[str, Figure]) -> None:
    """Print what the controls would have added, where that was asked for."""
    if added:
        told = ", ".join(f"{_FIGURES[name]} {figure}" for name, figure in added.items())
        _say(f"With logins, tickets and NPS, which it is not given: {told}")


def exclusion(account: str, stretches: Sequence[Mapping[str, Any]]) -> None:
    """Print what the rows of one account were used for, and why others were not."""
    table = Table("as of", "rows", "trained on", "why", title=escape(account))
    for each in stretches:
        span = str(each["first"]) if each["rows"] == 1 else f"{each['first']} to {each['last']}"
        table.add_row(span, str(each["rows"]), "yes" if each["used"] else "no", each["why"])
    out.print(table)


def _one(title: str, found: Mapping[str, Figure], names: Mapping[str, str]) -> None:
    """Print the figures of one score, a line each."""
    table = Table("figure", "value", "90 % interval", title=title)
    for name, said in names.items():
        if name in found and found[name].value is not None:
            value, low, high = (
                _number(name, bound)
                for bound in (found[name].value, found[name].low, found[name].high)
            )
            table.add_row(said, value, f"{low} to {high}" if low else "")
    if table.row_count:
        out.print(table)


def _ranked(title: str, found: Mapping[str, Mapping[str, Figure]], names: Sequence[str]) -> None:
    """Print the same few figures of several scores."""
    table = Table(title=title)
    table.add_column("ranking", max_width=31)
    for name in names:
        table.add_column(_FIGURES[name], no_wrap=False)
    for ranking, figures in found.items():
        style = "bold" if ranking == "model" else ""
        table.add_row(ranking, *(_cell(figures[name]) for name in names), style=style)
    out.print(table)


def _lift(tenths: Sequence[Mapping[str, Any]]) -> None:
    """Print how much more often each tenth of the ranking expanded than all."""
    table = Table("tenth", "snapshots", "expanded", "rate", "lift", title="Lift by tenth")
    for row in tenths:
        interval = "" if row["low"] is None else f"  {row['low']:.1f}–{row['high']:.1f}"
        lift = "n/a" if row["value"] is None else f"{row['value']:.1f}{interval}"
        counts = (f"{row[name]:,.0f}" for name in ("snapshots", "expanded"))
        table.add_row(str(row["decile"]), *counts, share(row["rate"]), lift)
    if tenths:
        out.print(table)


def _cuts(walked: Evaluation) -> None:
    """Print the model at every cut."""
    table = Table(title="The model of each cut, on what came after it")
    for name in ("cut", "judged", "expanded", *(_FIGURES[name] for name in _PER_CUT)):
        table.add_column(name)
    for cut, figures in walked.by_cut.items():
        known = walked.predictions.filter(walked.predictions["cut"] == cut)["expanded"].drop_nulls()
        cells = (_cell(figures["model"][name]) for name in _PER_CUT)
        table.add_row(str(cut), f"{len(known):,}", f"{known.sum():,}", *cells)
    if table.row_count:
        out.print(table)


def _segments(walked: Evaluation) -> None:
    """Print the model for every kind of account."""
    table = Table(title="By kind of account; precision among those within the capacity of all")
    for name in ("kind", "", "judged", "expanded", "AUROC", "precision", "observed ÷ expected"):
        table.add_column(name)
    for kind, segments in walked.segments.items():
        for place, (name, segment) in enumerate(segments.items()):
            found = segment.figures
            cells = ("auroc", "precision_at_capacity", "observed_to_expected")
            table.add_row(
                "" if place else kind,
                escape(name),
                f"{segment.snapshots:,}",
                f"{segment.expanded:,}",
                *(_cell(found[cell]) for cell in cells),
            )
    if table.row_count:
        out.print(table)


def _bands(bands: Sequence[Mapping[str, Any]]) -> None:
    """Print what was expected and observed in each band of probability."""
    table = Table("chance", "snapshots", "expected", "expanded", title="By band of the chance")
    for band in bands:
        observed = f"{share(band['value'])} ({share(band['low'])} – {share(band['high'])})"
        expected = share(band["expected"])
        table.add_row(band["band"], f"{band['snapshots']:,}", expected, observed)
    if bands:
        out.print(table)


def _dates(found: Mapping[str, Figure]) -> None:
    """Print how far the expected dates were off, where any expansion can be judged yet."""
    _one("The whole curve and the dates", found, _DATES)
    error, usual, line = (found[f"date_error_days{rival}"] for rival in ("", "_usual", "_line"))
    if error.value is None:
        return
    _say(
        f"expected date off by {error.value:.0f} days on average, for expansions within 180 days;"
        f" the usual day by {usual.value:.0f}, a straight line to the limit by {line.value:.0f};"
        f" saved: {found['date_gain_over_usual']} and {found['date_gain_over_line']}"
    )
    held = (found[f"date_coverage_{third}"].value for third in _THIRDS)
    wide = (found[f"date_width_days_{third}"].value for third in _THIRDS)
    told = ", ".join("n/a" if third is None else f"{third:.0%}" for third in held)
    days = ", ".join("n/a" if third is None else f"{third:.0f}" for third in wide)
    _say(
        f"80 % interval of the date held {found['date_coverage']}; by third of the chance: {told};"
        f" it is {days} days wide"
    )


def _named(walked: Evaluation) -> str:
    """The simple rankings that the cuts would have chosen."""
    return ", ".join(walked.predictions["simple"].unique(maintain_order=True))


def _say(sentence: str) -> None:
    out.print(escape(sentence), highlight=False)


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if name in _MONEY else f"{value:.3f}"


def _cell(figure: Figure) -> str:
    if figure.value is None or figure.low is None:
        return str(figure)
    return f"{figure.value:.3f}  {figure.low:.2f}–{figure.high:.2f}"
