"""Page model of a report, and its renderer to one self-contained HTML file.

The page has no script and makes no request, and a content security policy enforces that, so that it
can be opened from a mail attachment. The template escapes everything that comes from data.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, ClassVar, Final, NamedTuple

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
    "load_texts",
    "render_chart_file",
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


@dataclass(frozen=True)
class ReportChart:
    """A chart from :func:`training.report.svg.render_svg`, and how to read it.

    ``key`` is unique in a page. ``numbers`` are for readers who want them or cannot see the chart.
    A chart that is ``tall`` takes the height of two others.
    """

    key: str
    title: str
    svg: Markup
    caption: str
    numbers: ReportTable | None = None
    tall: bool = False

    kind: ClassVar[str] = "chart"


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


SectionPart = ReportChart | Paragraph | ReportTable | DefinitionList


@dataclass(frozen=True)
class ReportSection:
    """A heading with an anchor, and its content."""

    key: str
    title: str
    parts: Sequence[SectionPart]

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
    """A whole report; ``warnings`` are caveats that affect every metric."""

    title: str
    summary: str
    footer: str
    verdict: str
    sections: Sequence[ReportSection]
    key_metrics: Sequence[KeyMetric] = ()
    warnings: Sequence[str] = ()


def render_page(page: ReportPage) -> str:
    """Render a report as one HTML file, which contains no time and no random name."""
    return _get_template("page.html.j2").render(page=page, light=svg.LIGHT, dark=svg.DARK)


def render_chart_file(chart: ReportChart) -> str:
    """Render a chart with its title as an SVG file in the colours of a page."""
    view_box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', chart.svg)
    if view_box is None:
        raise ValueError(f"chart {chart.key}: its SVG has no view box that starts at 0 0")
    width, height = (float(side) for side in view_box.groups())
    return _get_template("chart.svg.j2").render(
        chart=chart, width=width, height=height, light=svg.LIGHT, dark=svg.DARK
    )


@cache
def load_texts(file_name: str) -> dict[str, Any]:
    """Read a TOML file of texts in this package."""
    text = (resources.files("training.report") / file_name).read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _get_template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("training.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["nowrap"] = _prevent_wrapping
    return environment.get_template(name)


def _prevent_wrapping(text: str) -> Markup:
    """Prevent line breaks at the hyphens of dates and as-ofs."""
    wrapped = _NO_WRAP.sub(r'<span class="nowrap">\g<0></span>', str(escape(text)))
    return Markup(wrapped)  # noqa: S704 - escaped above
