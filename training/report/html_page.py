"""Page model of a report, and its renderer to one self-contained HTML file.

The page has no script and makes no request, and a content security policy enforces that, so that it
can be opened from a mail attachment. The template escapes everything that comes from data.
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
    """A table cell with its interval in a muted style."""

    value: str
    interval: str = ""


class GroupRow(NamedTuple):
    """A table row that is the heading of the rows below it."""

    name: str


TableRow = GroupRow | Sequence[str | MetricCell]


@dataclass(frozen=True)
class ReportTable:
    """Rows under a header; the first column names the row, ``text_columns`` hold text.

    A table that is ``side_by_side`` is placed next to the chart before it if there is room.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[TableRow]
    text_columns: frozenset[int] = frozenset({0})
    bold_rows: frozenset[int] = frozenset()
    side_by_side: bool = False

    kind: ClassVar[str] = "table"

    def __repr__(self) -> str:
        return f"ReportTable({self.caption!r}, {len(self.rows)} rows)"


@dataclass(frozen=True)
class ReportChart:
    """A chart with title, caption and the underlying numbers.

    Attributes
    ----------
    title : str
        The question it answers.
    svg : str
        From :func:`training.report.svg.render_svg`.
    caption : str
        How to read it.
    numbers : ReportTable, optional
        The underlying numbers, for readers who want them or cannot see the chart.
    tall : bool
        Whether it is as tall as two others.
    """

    title: str
    svg: Markup
    caption: str
    numbers: ReportTable | None = None
    tall: bool = False

    kind: ClassVar[str] = "chart"

    def __repr__(self) -> str:
        return f"ReportChart({self.title!r})"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; ``is_warning`` highlights it."""

    text: str
    is_warning: bool = False

    kind: ClassVar[str] = "note"


@dataclass(frozen=True)
class DefinitionList:
    """Terms and definitions, or names and values; collapsed under ``summary`` if that is set."""

    pairs: Sequence[tuple[str, str]]
    summary: str = ""

    kind: ClassVar[str] = "terms"

    def __repr__(self) -> str:
        return f"DefinitionList({len(self.pairs)} pairs)"


SectionPart = ReportChart | Paragraph | ReportTable | DefinitionList


@dataclass(frozen=True)
class ReportSection:
    """A heading with an anchor, and its content."""

    key: str
    title: str
    parts: Sequence[SectionPart]

    def __repr__(self) -> str:
        return f"ReportSection({self.key!r}, {len(self.parts)} parts)"

    def group_parts(self) -> list[list[SectionPart]]:
        """Group adjacent parts that are laid out side by side."""
        groups: list[list[SectionPart]] = []
        for part in self.parts:
            if groups and _is_side_by_side(part) and _is_side_by_side(groups[-1][0]):
                groups[-1].append(part)
            else:
                groups.append([part])
        return groups


def _is_side_by_side(part: SectionPart) -> bool:
    return isinstance(part, ReportChart) or (isinstance(part, ReportTable) and part.side_by_side)


class KeyMetric(NamedTuple):
    """A key metric: its name, value, interval, and explanation."""

    name: str
    value: str
    interval: str
    explanation: str


@dataclass(frozen=True)
class ReportPage:
    """A whole report.

    Attributes
    ----------
    title, summary, footer : str
        Title, the data it covers, and how to read its intervals.
    verdict : str
        The conclusion in one sentence.
    sections : sequence of ReportSection
        In reading order.
    key_metrics : sequence of KeyMetric
        Shown under the verdict.
    warnings : sequence of str
        Caveats that affect every metric.
    """

    title: str
    summary: str
    footer: str
    verdict: str
    sections: Sequence[ReportSection]
    key_metrics: Sequence[KeyMetric] = ()
    warnings: Sequence[str] = field(default=())

    def __repr__(self) -> str:
        return f"ReportPage({self.title!r}, {', '.join(section.key for section in self.sections)})"


def render_page(page: ReportPage) -> str:
    """Render a report as one HTML file.

    Returns
    -------
    str
        Deterministic: it contains no time and no random name.
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
    environment.filters["nowrap"] = _prevent_wrapping
    return environment.get_template("page.html.j2")


def _prevent_wrapping(text: str) -> Markup:
    """Prevent line breaks at the hyphens of dates and as-ofs."""
    wrapped = _NO_WRAP.sub(r'<span class="nowrap">\g<0></span>', str(escape(text)))
    return Markup(wrapped)  # noqa: S704 - escaped above
