"""A report is one file that needs nothing else, and escapes what it is given."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from markupsafe import Markup

from training.report import svg
from training.report.html_page import (
    DefinitionList,
    GroupRow,
    KeyMetric,
    MetricCell,
    Paragraph,
    ReportChart,
    ReportPage,
    ReportSection,
    ReportTable,
    render_page,
)

HOSTILE = "<script>alert('x')</script> & \"$\\alpha$\" \x00\x1b[31m\n</svg>"


def luminance(color: str) -> float:
    parts = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@svg.with_chart_style
def drawn(key: str, label: str = "a line") -> str:
    figure, axes = svg.create_axes(f"across {label}", "up")
    axes.plot([0, 1], [0, 1], color=svg.LIGHT["model"], marker="o", label=label)
    axes.fill_between([0, 1], [0, 0], [1, 2], color=svg.LIGHT["rival-1"], alpha=0.2)
    figure.legend(loc="outside lower left")
    return svg.render_svg(figure, key=key, alt=f"what it shows: {label}")


def whole(text: str) -> str:
    table = ReportTable(text, [text, text], [GroupRow(text), [text, MetricCell(text, text)]])
    svg = Markup(drawn("one", text))  # noqa: S704 - what is tested
    chart = ReportChart(text, svg, text, table)
    parts = [
        chart,
        table,
        Paragraph(text, loud=True),
        DefinitionList([(text, text)], text),
        DefinitionList([(text, text)]),
    ]
    facts = [KeyMetric(text, text, text, text)]
    return render_page(
        ReportPage(text, text, text, text, [ReportSection("one", text, parts)], facts, [text])
    )


class _Elements(HTMLParser):
    """What a browser would make of a page: its elements, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("scheme", [svg.LIGHT, svg.DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_the_paper(scheme: dict[str, str]) -> None:
    for text in ("ink", "muted", "model"):
        for ground in ("paper", "panel"):
            assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
    for line in ("model", "rival-1", "rival-2", "rival-3"):
        assert contrast(scheme[line], scheme["paper"]) >= 3, line


def test_both_schemes_name_the_same_colours_and_no_value_has_two_names() -> None:
    assert set(svg.LIGHT) == set(svg.DARK)
    assert len(set(svg.LIGHT.values())) == len(svg.LIGHT)


def test_a_chart_takes_every_colour_from_the_page() -> None:
    svg = drawn("one")

    assert "var(--model)" in svg
    assert "var(--rival-1)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg)
    assert 'viewBox="0 0 440 330"' in svg
    assert " width=" not in svg.split(">")[0]


def test_text_of_a_chart_stays_text_in_the_font_of_the_page() -> None:
    svg = drawn("one")

    assert ">a line</text>" in svg
    assert "font-family" not in svg


def test_two_charts_of_a_page_share_no_id_and_refer_to_their_own() -> None:
    ids = []
    for key in ("one", "other"):
        svg = drawn(key)
        mine = re.findall(r'\bid="([^"]+)"', svg)
        refs = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        assert {a or b for a, b in refs} <= set(mine)
        ids += mine

    assert len(ids) == len(set(ids))


def test_the_same_chart_is_the_same_bytes() -> None:
    assert drawn("one") == drawn("one")
    assert whole("words") == whole("words")


def test_nothing_hostile_leaves_its_place() -> None:
    page = _Elements(whole(HOSTILE))

    tags = {tag for tag, _ in page.found}
    assert "script" not in tags
    assert not [name for _, given in page.found for name in given if name.startswith("on")]
    assert [tag for tag, _ in page.found].count("svg") == 1
    assert any("alert('x')" in words for words in page.words)  # shown, not run


def test_names_in_any_script_can_be_drawn() -> None:
    assert ">東京 😀</text>" in drawn("one", "東京 😀")


def test_dollars_in_a_name_are_dollars() -> None:
    assert ">from $a$ to $b$</text>" in drawn("one", "from $a$ to $b$")


def test_a_page_asks_nothing_of_the_network() -> None:
    text = whole("words")
    page = _Elements(text)

    assert not re.search(r"(?:https?:)?//\w", text)
    assert "@import" not in text
    assert {tag for tag, _ in page.found} & {"script", "link", "img", "iframe", "object"} == set()
    (policy,) = [
        given["content"]
        for _, given in page.found
        if given.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_a_page_can_be_read_without_seeing_it() -> None:
    page = _Elements(whole("words"))

    levels = [int(tag[1]) for tag, _ in page.found if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(given.get("aria-label") for tag, given in page.found if tag == "svg")
    assert all("scope" in given for tag, given in page.found if tag == "th")
    assert ("html", {"lang": "en"}) in page.found
    scrolled = [given for _, given in page.found if given.get("class") == "scroll"]
    assert scrolled
    assert all(given["tabindex"] == "0" and given["aria-label"] for given in scrolled)


def test_days_are_not_broken_at_their_hyphens() -> None:
    page = whole("as-of 2026-06-01")

    assert '<span class="whole">2026-06-01</span>' in page
    assert '<span class="whole">as-of</span>' in page
