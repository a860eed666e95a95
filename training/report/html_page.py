"""What a report is made of, and how it becomes one HTML file that needs nothing else.

No script and no request: the page says so to the browser itself, so that it may be opened from a
mail attachment. Everything that comes from data is escaped by the template.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, Final, NamedTuple

import jinja2
from markupsafe import Markup, escape

from training.report import svg

__all__ = [
    "DefinitionList",
    "GroupRow",
    "KeyMetric",
    "MetricCell",
    "Paragraph",
    "ReportChart",
    "ReportPage",
    "ReportSection",
    "ReportTable",
    "TableRow",
    "render_page",
]

_NO_WRAP: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}\b|\bas-ofs?\b")


class MetricCell(NamedTuple):
    """A value of a table, with its interval in a quieter voice."""

    value: str
    interval: str = ""


class GroupRow(NamedTuple):
    """A line of a table that names the rows below it."""

    name: str


TableRow = GroupRow | Sequence[str | MetricCell]


@dataclass(frozen=True)
class ReportTable:
    """Rows under a head; the first column names the row, those in ``words`` are text.

    One that stands ``beside`` shares a line with the chart before it, where there is room.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[TableRow]
    words: frozenset[int] = frozenset({0})
    strong: frozenset[int] = frozenset()
    beside: bool = False

    kind: ClassVar[str] = "table"

    def __repr__(self) -> str:
        return f"Table({self.caption!r}, {len(self.rows)} rows)"


@dataclass(frozen=True)
class ReportChart:
    """A picture, a sentence that says what it shows, and the numbers behind it.

    Attributes
    ----------
    title : str
        The question it answers.
    svg : str
        From :func:`training.report.svg.render_svg`.
    says : str
        How to read it.
    numbers : Table, optional
        For whoever wants them, or cannot see the picture.
    tall : bool
        Whether two others have room beside it.
    """

    title: str
    svg: Markup
    says: str
    numbers: ReportTable | None = None
    tall: bool = False

    kind: ClassVar[str] = "chart"

    def __repr__(self) -> str:
        return f"Chart({self.title!r})"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; ``loud`` where it must not be overlooked."""

    text: str
    loud: bool = False

    kind: ClassVar[str] = "note"


@dataclass(frozen=True)
class DefinitionList:
    """Words and what they mean, or names and their values; folded away where there are many."""

    pairs: Sequence[tuple[str, str]]
    folded: str = ""

    kind: ClassVar[str] = "terms"

    def __repr__(self) -> str:
        return f"Terms({len(self.pairs)} pairs)"


SectionPart = ReportChart | Paragraph | ReportTable | DefinitionList


@dataclass(frozen=True)
class ReportSection:
    """A heading with an address in the page, and what stands under it."""

    key: str
    title: str
    parts: Sequence[SectionPart]

    def __repr__(self) -> str:
        return f"Section({self.key!r}, {len(self.parts)} parts)"

    def runs(self) -> list[list[SectionPart]]:
        """The parts, with those together that stand side by side."""
        groups: list[list[SectionPart]] = []
        for part in self.parts:
            if groups and _is_side_by_side(part) and _is_side_by_side(groups[-1][0]):
                groups[-1].append(part)
            else:
                groups.append([part])
        return groups


def _is_side_by_side(part: SectionPart) -> bool:
    return isinstance(part, ReportChart) or (isinstance(part, ReportTable) and part.beside)


class KeyMetric(NamedTuple):
    """A key figure: its name, value, interval, and what it says."""

    name: str
    value: str
    interval: str
    says: str


@dataclass(frozen=True)
class ReportPage:
    """A whole report.

    Attributes
    ----------
    title, about, foot : str
        What it is, of which data, and how to read its intervals.
    verdict : str
        The one sentence to take away.
    sections : sequence of Section
        In reading order.
    facts : sequence of Fact
        The key figures, under the verdict.
    warnings : sequence of str
        What must be known before a figure is believed.
    """

    title: str
    about: str
    foot: str
    verdict: str
    sections: Sequence[ReportSection]
    facts: Sequence[KeyMetric] = ()
    warnings: Sequence[str] = field(default=())

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {', '.join(each.key for each in self.sections)})"


def render_page(page: ReportPage) -> str:
    """Write a report as one HTML file.

    Returns
    -------
    str
        The same for the same page: it holds no clock and no random name.
    """
    return _load_template().render(page=page, light=svg.LIGHT, dark=svg.DARK)


@cache
def _load_template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("training.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["whole"] = _prevent_wrapping
    return environment.get_template("page.html.j2")


def _prevent_wrapping(text: str) -> Markup:
    """Keep days and as-ofs from being broken at their hyphens."""
    wrapped = _NO_WRAP.sub(r'<span class="whole">\g<0></span>', str(escape(text)))
    return Markup(wrapped)  # noqa: S704 - escaped above
