"""The section that asks whether the model is as good for each kind of account."""

from collections.abc import Mapping
from typing import Final

from serving.report import strokes
from serving.report.page import Group, Note, Part, Row, Section, Table
from serving.report.paint import plain
from serving.report.words import cell, share, title
from training.evaluate import Evaluation
from training.resampling import Figure
from training.segments import Segment

__all__ = ["section"]

_SHOWN: Final = ("auroc", "observed_to_expected", "precision_at_capacity")
_FEW: Final = 10


def section(walked: Evaluation) -> Section:
    """Show the model's figures by size, plan, tenure, and segment where it is stable."""
    heading = "By kind of account"
    kinds = {kind: found for kind, found in walked.segments.items() if len(found) > 1}
    if not kinds:
        return Section("kinds", heading, [Note("All judged accounts are of one kind.")])
    rows: list[Row] = []
    for kind, found in kinds.items():
        rows += [Group(kind.capitalize()), *(_row(name, each) for name, each in found.items())]
    head = ["kind", "snapshots", "expanded", "rate", *(title(name) for name in _SHOWN[:2])]
    table = Table(
        "The model by kind of account, with 90% intervals; precision is that of the accounts within"
        " the team's capacity",
        [*head, "precision"],
        rows,
    )
    note = (
        "Size is licensed seats, or people where none are sold; plan and tenure are those of the"
        f" as-of. Kinds with fewer than {_FEW} expansions are in the table only: their figures tell"
        " next to nothing."
    )
    return Section("kinds", heading, [Note(note), *_charts(kinds), table])


def _charts(kinds: Mapping[str, Mapping[str, Segment]]) -> list[Part]:
    enough = {
        f"{kind}: {plain(name, 24)}": each
        for kind, found in kinds.items()
        for name, each in found.items()
        if each.expanded >= _FEW
    }
    if not enough:
        return []

    def of(name: str) -> dict[str, Figure]:
        return {kind: each.figures[name] for kind, each in enough.items()}

    return [
        strokes.dots(
            of("auroc"),
            key="kinds-auroc",
            title="Does it rank well within each kind?",
            says="AUROC among the accounts of a kind, with 90% intervals; dashed: any order.",
            x="AUROC",
            line=0.5,
        ),
        strokes.dots(
            of("observed_to_expected"),
            key="kinds-ratio",
            title="Is the probability true for each kind?",
            says="Observed ÷ expected expansions, with 90% intervals; dashed: as expected.",
            x="observed ÷ expected",
            line=1.0,
        ),
    ]


def _row(name: str, found: Segment) -> Row:
    return [
        plain(name, 40),
        f"{found.snapshots:,}",
        f"{found.expanded:,}",
        share(found.expanded / found.snapshots),
        *(cell(figure, found.figures[figure]) for figure in _SHOWN),
    ]
