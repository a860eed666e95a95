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

from serving.report import paint

__all__ = [
    "Cell",
    "Chart",
    "Fact",
    "Group",
    "Note",
    "Page",
    "Row",
    "Section",
    "Table",
    "Terms",
    "render",
]

_UNBROKEN: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}\b|\bas-ofs?\b")


class Cell(NamedTuple):
    """A value of a table, with its interval in a quieter voice."""

    value: str
    interval: str = ""


class Group(NamedTuple):
    """A line of a table that names the rows below it."""

    name: str


Row = Group | Sequence[str | Cell]


@dataclass(frozen=True)
class Table:
    """Rows under a head; the first column names the row, those in ``words`` are text.

    One that stands ``beside`` shares a line with the chart before it, where there is room.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Row]
    words: frozenset[int] = frozenset({0})
    strong: frozenset[int] = frozenset()
    beside: bool = False

    kind: ClassVar[str] = "table"

    def __repr__(self) -> str:
        return f"Table({self.caption!r}, {len(self.rows)} rows)"


@dataclass(frozen=True)
class Chart:
    """A picture, a sentence that says what it shows, and the numbers behind it.

    Attributes
    ----------
    title : str
        The question it answers.
    svg : str
        From :func:`serving.report.paint.svg`.
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
    numbers: Table | None = None
    tall: bool = False

    kind: ClassVar[str] = "chart"

    def __repr__(self) -> str:
        return f"Chart({self.title!r})"


@dataclass(frozen=True)
class Note:
    """A paragraph; ``loud`` where it must not be overlooked."""

    text: str
    loud: bool = False

    kind: ClassVar[str] = "note"


@dataclass(frozen=True)
class Terms:
    """Words and what they mean, or names and their values; folded away where there are many."""

    pairs: Sequence[tuple[str, str]]
    folded: str = ""

    kind: ClassVar[str] = "terms"

    def __repr__(self) -> str:
        return f"Terms({len(self.pairs)} pairs)"


Part = Chart | Note | Table | Terms


@dataclass(frozen=True)
class Section:
    """A heading with an address in the page, and what stands under it."""

    key: str
    title: str
    parts: Sequence[Part]

    def __repr__(self) -> str:
        return f"Section({self.key!r}, {len(self.parts)} parts)"

    def runs(self) -> list[list[Part]]:
        """The parts, with those together that stand side by side."""
        found: list[list[Part]] = []
        for part in self.parts:
            if found and _beside(part) and _beside(found[-1][0]):
                found[-1].append(part)
            else:
                found.append([part])
        return found


def _beside(part: Part) -> bool:
    return isinstance(part, Chart) or (isinstance(part, Table) and part.beside)


class Fact(NamedTuple):
    """A key figure: its name, value, interval, and what it says."""

    name: str
    value: str
    interval: str
    says: str


@dataclass(frozen=True)
class Page:
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
    sections: Sequence[Section]
    facts: Sequence[Fact] = ()
    warnings: Sequence[str] = field(default=())

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {', '.join(each.key for each in self.sections)})"


def render(page: Page) -> str:
    """Write a report as one HTML file.

    Returns
    -------
    str
        The same for the same page: it holds no clock and no random name.
    """
    return _template().render(page=page, light=paint.LIGHT, dark=paint.DARK)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("serving.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["whole"] = _whole
    return environment.get_template("page.html.j2")


def _whole(text: str) -> Markup:
    """Keep days and as-ofs from being broken at their hyphens."""
    kept = _UNBROKEN.sub(r'<span class="whole">\g<0></span>', str(escape(text)))
    return Markup(kept)  # noqa: S704 - escaped above
