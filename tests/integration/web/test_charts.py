"""Chart geometry: hand-computed positions and properties."""

import math
import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.web import charts

MONDAY = date(2026, 6, 1)
CURVE = {
    "days": [30, 60, 180],
    "probability": [0.1, 0.3, 0.6],
    "low": [0, 0.2, 0.4],
    "high": [0.2, 0.5, 1],
}
rising = st.lists(st.floats(0, 0.999), min_size=3, max_size=3).map(sorted)


def _x(day: float) -> float:
    return round(charts.LEFT + day / 180 * (charts.WIDTH - charts.LEFT - charts.RIGHT), 2)


def _y(chance: float) -> float:
    floor = charts.HEIGHT - charts.BOTTOM
    return floor - chance * (floor - charts.TOP)


def parse_points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([-\d.e]+) ([-\d.e]+)", path)]


@given(rising)
def test_the_curve_rises_through_its_horizons(probability: list[float]) -> None:
    chart = charts.build_curve_chart(
        {**CURVE, "probability": probability}, MONDAY, readiness_date=None, horizon_days=60
    )
    assert chart is not None

    y_by_x = dict(parse_points(chart.line))
    heights = list(y_by_x.values())
    assert heights == sorted(heights, reverse=True)
    for day, value in zip((30, 60, 180), probability, strict=True):
        assert y_by_x[_x(day)] == pytest.approx(_y(value), abs=0.02)


def test_the_readiness_date_is_marked_at_its_position() -> None:
    width = charts.WIDTH - charts.LEFT - charts.RIGHT
    for ready, label, position in (
        (MONDAY - timedelta(days=9), "ready now", charts.LEFT),
        (date(2026, 7, 16), "ready 16 July", charts.LEFT + width / 4),
        (date(2027, 7, 16), "ready 16 July", charts.LEFT + width),
    ):
        chart = charts.build_curve_chart(CURVE, MONDAY, readiness_date=ready, horizon_days=60)
        assert chart is not None
        (mark,) = chart.marks
        assert (mark.label, mark.x) == (label, pytest.approx(position, abs=0.01))


def test_without_data_there_is_no_chart() -> None:
    assert charts.build_curve_chart(None, MONDAY, readiness_date=None, horizon_days=60) is None
    assert charts.build_seats_chart(None) is None
    assert (
        charts.build_usage_chart(
            {"ends": ["2026-06-01"], "api_calls": [None], "seats": [], "active_seats": []}, None
        )
        is None
    )
    assert charts.build_history_chart([{"as_of": MONDAY, "probability": 0.4}]) is None


def test_a_missing_month_is_a_gap() -> None:
    ends = ["2026-03-03", "2026-04-02", "2026-05-02", "2026-06-01"]
    chart = charts.build_seats_chart(
        {"ends": ends, "active_seats": [4, None, 6, 8], "seats": [8.0, 8.0, 10.0, 10.0]}
    )
    assert chart is not None

    assert chart.line.count("M") == 2
    assert chart.alt == "active seats over the last 4 months: now 8 of 10 licensed."
    # The axis for 10.2 ends at 20; the bottom is at y = 200, the top at 22.
    assert parse_points(chart.line)[-1] == (428.0, pytest.approx(200 - 8 / 20 * 178))
    assert chart.ceiling.startswith("M46 128.8H")


def test_the_limit_of_a_month_comes_from_the_contract_then_active() -> None:
    ends = ["2026-04-02", "2026-05-02", "2026-06-01"]
    contract = {
        "effective": ["2026-01-01", "2026-05-02", "2026-07-01"],
        "usage_limit": [10.0, None, 90.0],
    }
    months = {"ends": ends, "api_calls": [1.0, 2.0, 3.0], "active_seats": [], "seats": []}
    chart = charts.build_usage_chart(months, contract)
    assert chart is not None

    assert chart.ceiling.count("M") == 1
    assert "V" not in chart.ceiling  # no limit from May on
    assert chart.alt.endswith("now 3.")


@given(
    st.floats(-8, 2),
    st.dictionaries(
        st.sampled_from(["headroom", "people", "tenure", "api_volume", "mrr", "x", "y"]),
        st.floats(-3, 3),
    ),
)
def test_the_waterfall_adds_up(base: float, parts: dict[str, float]) -> None:
    margin = base + math.fsum(parts.values())

    bars = charts.build_waterfall(base, parts, margin)

    assert bars[0].value + math.fsum(bar.value for bar in bars[1:-1]) == pytest.approx(margin)
    assert all(bar.start >= -1e-6 and bar.start + bar.width <= 100.5 for bar in bars)
    sizes = [abs(bar.value) for bar in bars[1:-1] if bar.name != "all others"]
    assert sizes == sorted(sizes, reverse=True)
    assert all(each >= 0.005 for each in sizes)


def test_features_of_one_reason_group_are_one_bar() -> None:
    bars = charts.build_waterfall(-2, {"headroom": 1.0, "people": 0.5, "tenure": -0.5}, -1)

    assert [(bar.name, bar.value, bar.direction) for bar in bars[1:-1]] == [
        ("seats", 1.5, "up"),
        ("terms", -0.5, "down"),
    ]


def test_an_axis_covers_the_data_with_distinct_labels() -> None:
    for high, labels in (
        (1.0, ["0%", "25%", "50%", "75%", "100%"]),
        (0.35, ["0%", "10%", "20%", "30%", "40%"]),
        (0.04, ["0%", "1%", "2%", "3%", "4%"]),
        (0.018, ["0.0%", "0.5%", "1.0%", "1.5%", "2.0%"]),
    ):
        low = {**CURVE, "probability": [0, 0, 0.01], "low": [0, 0, 0], "high": [0, 0, high]}
        chart = charts.build_curve_chart(low, MONDAY, readiness_date=None, horizon_days=60)
        assert chart is not None
        assert [tick.label for tick in chart.y] == labels


def test_a_chart_starts_with_the_first_seats() -> None:
    ends = ["2026-03-03", "2026-04-02", "2026-05-02", "2026-06-01"]
    months = {"ends": ends, "seats": [None, None, 5.0, 5.0], "api_calls": [0, 0, 0, 7]}
    chart = charts.build_seats_chart({**months, "active_seats": [0, 1, 0, 3]})
    calls_chart = charts.build_usage_chart({**months, "active_seats": []}, None)
    assert chart is not None
    assert calls_chart is not None

    assert [len(parse_points(each.line)) for each in (chart, calls_chart)] == [3, 2]


def test_a_small_contribution_is_a_small_bar() -> None:
    bars = charts.build_waterfall(-1.76, {"headroom": 0.04, "tenure": 0.05}, -1.67)

    moved = [bar.width for bar in bars if bar.direction == "up"]
    assert 0 < sum(moved) < 15
    assert 40 < bars[0].width < 50 < bars[-1].width < 60


def test_a_few_seats_have_integer_ticks() -> None:
    for seats, top in ((1, 2), (2, 4), (3, 4), (5, 6), (7, 8), (20, 30)):
        months = {"ends": ["2026-05-02", "2026-06-01"], "seats": [seats] * 2}
        chart = charts.build_seats_chart({**months, "active_seats": [0, seats]})
        assert chart is not None
        assert [tick.label for tick in chart.y] == ["0", f"{top / 2:g}", f"{top:g}"]
