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

from data.settings import Settings
from training import drivers, fingerprint, metrics, plots
from training.evaluate import MODEL, Evaluation
from training.fingerprint import Fingerprint
from training.learners import LEARNERS
from training.pipeline import History, Trained

__all__ = ["Record", "of"]

# All that decides what is learned and how it is judged.
_SECTIONS: Final = (
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
_OF_TABLES: Final = ("stable", "known_at_reliable_from", "time_zone", "max_quarantine_share")
_RANKED: Final = ("auroc", "average_precision", "precision_at_capacity")

Rankings = Mapping[str, Mapping[str, metrics.Figure]]


@dataclass(frozen=True)
class Record:
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
    totals : mapping of str to float
        Figures over all judged snapshots.
    by_cut : mapping of datetime.date to mapping
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
    totals: Mapping[str, float] = field(default_factory=dict)
    by_cut: Mapping[date, Mapping[str, float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[Fingerprint, ...] = ()
    plots: Mapping[str, Figure] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def of(trained: Trained, past: History, settings: Settings) -> Record:
    """Gather what is worth looking at again about a training.

    Parameters
    ----------
    trained : training.pipeline.Trained
        The model, and its walk through history if there was enough of it.
    past : training.pipeline.History
        What it was trained on.
    settings : data.settings.Settings
        Every setting that shaped it.

    Returns
    -------
    Record
        Without a walk through history: no figures, and one plot.
    """
    walked = trained.evaluation
    cuts = {} if walked is None else _by_cut(walked)
    tables = fingerprint.of(past.tables, past.activity)
    newest = past.panel.snapshots.filter(pl.col("as_of") == pl.col("as_of").max())
    drawn = {"drivers.png": drivers.drivers(trained.model, newest)}
    if walked is not None:
        drawn |= plots.judged(walked.predictions, capacity=settings.evaluation.capacity)
        drawn |= plots.over_cuts(cuts)
    return Record(
        name=f"as of {past.as_of:%Y-%m-%d}",
        verdict=trained.about["verdict"],
        note=_note(trained),
        parameters=_parameters(settings),
        totals={} if walked is None else walked.numbers() | dict(_numbers(_all(walked))),
        by_cut={cut: dict(_numbers(found)) for cut, found in cuts.items()},
        tags={
            "as_of": f"{past.as_of:%Y-%m-%d}",
            "gate": "passes" if trained.ruling.passes else "refuses",
            **fingerprint.code(),
        },
        tables=tables,
        plots=drawn,
        files=_files(walked, cuts, tables)
        | {"gate.json": json.dumps(trained.ruling.told(), indent=2)},
    )


def _by_cut(walked: Evaluation) -> dict[date, Rankings]:
    """Figures of every cut that has judged both outcomes."""
    return {
        cut: found
        for cut, found in walked.by_cut.items()
        if found[MODEL]["auroc"].value is not None
    }


def _all(walked: Evaluation) -> Rankings:
    """The model, the simple rankings and the learners."""
    return {**walked.figures, **walked.learners}


def _parameters(settings: Settings) -> dict[str, Any]:
    told = {section: getattr(settings, section).model_dump(mode="json") for section in _SECTIONS}
    told["tables"] = settings.tables.model_dump(mode="json", include=set(_OF_TABLES))
    return {
        f"{section}.{name}": value
        for section, values in told.items()
        for name, value in values.items()
    }


def _numbers(figures: Rankings) -> Iterator[tuple[str, float]]:
    """The model's figures under their own names, those of rankings and learners under theirs."""
    for name, figure in figures[MODEL].items():
        for end, value in asdict(figure).items():
            if value is not None:
                yield (name if end == "value" else f"interval/{name}_{end}"), value
    for ranking in figures:
        for name in _RANKED:
            value = figures[ranking][name].value
            if ranking != MODEL and value is not None:
                group = "learner" if ranking in LEARNERS else "simple"
                yield f"{group}/{_plain(ranking)}/{name}", value


def _plain(ranking: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", ranking.lower()).strip("_")


def _note(trained: Trained) -> str:
    """The verdict, and the model beside the simple rankings, as a page."""
    about, walked = trained.about, trained.evaluation
    lines = [
        about["verdict"],
        "",
        " ".join([trained.ruling.sentence, *trained.ruling.notes]),
        "",
        f"Trained on {about['snapshots']:,} snapshots of {about['accounts']:,} accounts, as-ofs"
        f" {about['as_ofs']['first']} to {about['as_ofs']['last']}; log of {about['events']:,}"
        f" events from {about['log']['first_day']} to {about['log']['last_day']}.",
    ]
    if walked is None:
        return "\n".join(lines)
    head = ["ranking", *(name.replace("_", " ") for name in _RANKED)]
    rows = [
        [f"**{name}**" if name == MODEL else name, *(str(figures[key]) for key in _RANKED)]
        for name, figures in _all(walked).items()
    ]
    table = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    skipped = [f"- cut of {cut} skipped: {reason}" for cut, reason in walked.skipped.items()]
    return "\n".join([*lines, "", *table, "", "In brackets 90 % intervals.", "", *skipped])


def _files(
    walked: Evaluation | None, cuts: Mapping[date, Rankings], tables: tuple[Fingerprint, ...]
) -> dict[str, str]:
    data = json.dumps([asdict(table) for table in tables], indent=2)
    if walked is None:
        return {"data.json": data}
    by_cut = {str(cut): figures for cut, figures in cuts.items()}
    return {"data.json": data, "figures.csv": _table({"all": _all(walked)} | by_cut)}


def _table(rankings: Mapping[str, Rankings]) -> str:
    page = io.StringIO()
    rows = csv.writer(page, lineterminator="\n")
    rows.writerow(["cut", "ranking", "figure", "value", "low", "high"])
    for cut, figures in rankings.items():
        for ranking, found in figures.items():
            for name, figure in found.items():
                rows.writerow([cut, ranking, name, figure.value, figure.low, figure.high])
    return page.getvalue()
