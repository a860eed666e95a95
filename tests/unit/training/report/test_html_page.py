"""A report is a self-contained file with escaped content."""

import re
from itertools import pairwise

import numpy as np
import pytest
from markupsafe import Markup

from tests.parsed_page import ParsedPage
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
    parts = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio as defined by WCAG 2.2."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@svg.with_chart_style
def draw_chart(key: str, label: str = "a line") -> str:
    figure, axes = svg.create_axes(f"across {label}", "up")
    axes.plot([0, 1], [0, 1], color=svg.LIGHT["model"], marker="o", label=label)
    axes.fill_between([0, 1], [0, 0], [1, 2], color=svg.LIGHT["baseline-1"], alpha=0.2)
    figure.legend(loc="outside lower left")
    return svg.render_svg(figure, key=key, alt=f"a chart of {label}")


def render_test_page(text: str) -> str:
    table = ReportTable(text, [text, text], [GroupRow(text), [text, MetricCell(text, text)]])
    svg = Markup(draw_chart("one", text))  # noqa: S704 - what is tested
    chart = ReportChart("one", text, svg, text, table)
    parts = [
        chart,
        table,
        Paragraph(text, is_warning=True),
        DefinitionList([(text, text)], text),
        DefinitionList([(text, text)]),
    ]
    key_metrics = [KeyMetric(text, text, text, text)]
    return render_page(
        ReportPage(text, text, text, text, [ReportSection("one", text, parts)], key_metrics, [text])
    )


@pytest.mark.parametrize("scheme", [svg.LIGHT, svg.DARK], ids=["light", "dark"])
def test_text_and_lines_meet_contrast_requirements(scheme: dict[str, str]) -> None:
    for text in ("ink", "muted", "model"):
        for background in ("paper", "panel"):
            assert contrast(scheme[text], scheme[background]) >= 4.5, (text, background)
    for line in ("model", "baseline-1", "baseline-2", "baseline-3"):
        assert contrast(scheme[line], scheme["paper"]) >= 3, line


def test_both_schemes_define_the_same_unique_colours() -> None:
    assert set(svg.LIGHT) == set(svg.DARK)
    assert len(set(svg.LIGHT.values())) == len(svg.LIGHT)


def test_a_chart_uses_only_colours_and_the_font_of_the_page() -> None:
    svg = draw_chart("one")

    assert "var(--model)" in svg
    assert "var(--baseline-1)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg)
    assert 'viewBox="0 0 440 330"' in svg
    assert " width=" not in svg.split(">")[0]
    assert ">a line</text>" in svg
    assert "font-family" not in svg


def test_chart_ids_are_unique_and_references_resolve() -> None:
    ids = []
    for key in ("one", "other"):
        svg = draw_chart(key)
        own_ids = re.findall(r'\bid="([^"]+)"', svg)
        references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        assert {href or url for href, url in references} <= set(own_ids)
        ids += own_ids

    assert len(ids) == len(set(ids))


def test_charts_and_pages_are_deterministic() -> None:
    assert draw_chart("one") == draw_chart("one")
    assert render_test_page("words") == render_test_page("words")


def test_hostile_text_is_escaped() -> None:
    page = ParsedPage(render_test_page(HOSTILE))

    assert "script" not in page.tags
    assert not page.event_handlers
    assert page.tags.count("svg") == 1
    assert any("alert('x')" in text for text in page.texts)  # shown as text


@pytest.mark.parametrize("name", ["東京 😀", "from $a$ to $b$"])
def test_names_in_any_script_and_with_dollar_signs_are_drawn(name: str) -> None:
    assert f">{name}</text>" in draw_chart("one", name)


def test_a_page_makes_no_network_request() -> None:
    text = render_test_page("words")
    page = ParsedPage(text)

    assert not re.search(r"(?:https?:)?//\w", text)
    assert "@import" not in text
    assert not set(page.tags) & {"script", "link", "img", "iframe", "object"}
    (policy,) = [
        attributes["content"]
        for _, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_a_page_is_accessible() -> None:
    page = ParsedPage(render_test_page("words"))

    levels = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(attributes.get("aria-label") for tag, attributes in page.elements if tag == "svg")
    assert all("scope" in attributes for tag, attributes in page.elements if tag == "th")
    assert ("html", {"lang": "en"}) in page.elements
    scroll_regions = [
        attributes for _, attributes in page.elements if attributes.get("class") == "scroll"
    ]
    assert scroll_regions
    assert all(
        attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in scroll_regions
    )


def test_dates_do_not_wrap_at_hyphens() -> None:
    page = render_test_page("as-of 2026-06-01")

    assert '<span class="nowrap">2026-06-01</span>' in page
    assert '<span class="nowrap">as-of</span>' in page
