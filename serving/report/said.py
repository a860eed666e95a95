"""The section that holds what humans said of the lists against what the contracts then showed."""

from collections.abc import Mapping, Sequence
from typing import Any

from serving.report.page import Note, Section, Table
from serving.report.words import share

__all__ = ["sections"]


def sections(answers: Sequence[Mapping[str, Any]]) -> list[Section]:
    """Show the answers; nothing where none was given."""
    if not answers:
        return []
    note = (
        "No answer is a label: what counts as an expansion is read from the contracts alone. Where"
        " the two disagree, look at both: an account that was called won and shows no expansion,"
        " or one that was called wrong and expanded."
    )
    table = Table(
        "The last answer on each account of each list, beside the chance that the list told and"
        " what became of the account within the horizon",
        ["answer", "given", "chance told", "outcome known", "expanded"],
        [_row(each) for each in answers],
    )
    return [Section("said", "What humans said of the lists", [Note(note), table])]


def _row(told: Mapping[str, Any]) -> list[str]:
    chance = "" if told["expected"] is None else share(told["expected"])
    return [
        told["verdict"],
        f"{told['answers']:,}",
        chance,
        f"{told['known']:,}",
        f"{told['expanded']:,}",
    ]
