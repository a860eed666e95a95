"""The charts show the numbers: hand-worked places, and laws."""

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
    "chance": [0.1, 0.3, 0.6],
    "low": [0, 0.2, 0.4],
    "high": [0.2, 0.5, 1],
}
rising = st.lists(st.floats(0, 0.999), min_size=3, max_size=3).map(sorted)


def _x(day: float) -> float:
    return round(charts.LEFT + day / 180 * (charts.WIDTH - charts.LEFT - charts.RIGHT), 2)


def _y(chance: float) -> float:
    floor = charts.HEIGHT - charts.BOTTOM
    return floor - chance * (floor - charts.TOP)


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([-\d.e]+) ([-\d.e]+)", path)]


@given(rising)
def test_the_curve_rises_through_its_horizons(chance: list[float]) -> None:
    drawn = charts.build_curve_chart(
        {**CURVE, "chance": chance}, MONDAY, readiness_date=None, horizon_days=60
    )
    assert drawn is not None

    at = dict(points(drawn.line))
    places = list(at.values())
    assert places == sorted(places, reverse=True)
    for day, value in zip((30, 60, 180), chance, strict=True):
        assert at[_x(day)] == pytest.approx(_y(value), abs=0.02)


def test_the_readiness_date_is_marked_where_it_is() -> None:
    width = charts.WIDTH - charts.LEFT - charts.RIGHT
    for ready, told, at in (
        (MONDAY - timedelta(days=9), "ready now", charts.LEFT),
        (date(2026, 7, 16), "ready 16 July", charts.LEFT + width / 4),
        (date(2027, 7, 16), "ready 16 July", charts.LEFT + width),
    ):
        drawn = charts.build_curve_chart(CURVE, MONDAY, readiness_date=ready, horizon_days=60)
        assert drawn is not None
        (mark,) = drawn.marks
        assert (mark.label, mark.x) == (told, pytest.approx(at, abs=0.01))


def test_there_is_no_chart_of_nothing() -> None:
    assert charts.build_curve_chart(None, MONDAY, readiness_date=None, horizon_days=60) is None
    assert charts.build_seats_chart(None) is None
    assert (
        charts.build_usage_chart(
            {"ends": ["2026-06-01"], "api_calls": [None], "seats": [], "active_seats": []}, None
        )
        is None
    )
    assert charts.build_history_chart([{"as_of": MONDAY, "probability": 0.4}]) is None


def test_a_month_that_is_not_known_is_a_gap() -> None:
    ends = ["2026-03-03", "2026-04-02", "2026-05-02", "2026-06-01"]
    drawn = charts.build_seats_chart(
        {"ends": ends, "active_seats": [4, None, 6, 8], "seats": [8.0, 8.0, 10.0, 10.0]}
    )
    assert drawn is not None

    assert drawn.line.count("M") == 2
    assert drawn.alt == "active seats over the last 4 months: now 8 of 10 licensed."
    # 10 and two per cent above it end the axis on 20; the floor is at 200, the top at 22.
    assert points(drawn.line)[-1] == (428.0, pytest.approx(200 - 8 / 20 * 178))
    assert drawn.ceiling.startswith("M46 128.8H")


def test_the_limit_of_a_month_is_what_the_contract_said_then() -> None:
    ends = ["2026-04-02", "2026-05-02", "2026-06-01"]
    contract = {
        "effective": ["2026-01-01", "2026-05-02", "2026-07-01"],
        "usage_limit": [10.0, None, 90.0],
    }
    months = {"ends": ends, "api_calls": [1.0, 2.0, 3.0], "active_seats": [], "seats": []}
    drawn = charts.build_usage_chart(months, contract)
    assert drawn is not None

    assert drawn.ceiling.count("M") == 1
    assert "V" not in drawn.ceiling  # from May on there is none
    assert drawn.alt.endswith("now 3.")


@given(
    st.floats(-8, 2),
    st.dictionaries(
        st.sampled_from(["headroom", "people", "tenure", "api_volume", "mrr", "x", "y"]),
        st.floats(-3, 3),
    ),
)
def test_the_waterfall_adds_up(base: float, parts: dict[str, float]) -> None:
    margin = base + math.fsum(parts.values())

    steps = charts.build_waterfall(base, parts, margin)

    assert steps[0].value + math.fsum(step.value for step in steps[1:-1]) == pytest.approx(margin)
    assert all(step.start >= -1e-6 and step.start + step.width <= 100.5 for step in steps)
    told = [abs(step.value) for step in steps[1:-1] if step.name != "all else"]
    assert told == sorted(told, reverse=True)
    assert all(each >= 0.005 for each in told)


def test_signals_of_one_story_are_one_bar() -> None:
    steps = charts.build_waterfall(-2, {"headroom": 1.0, "people": 0.5, "tenure": -0.5}, -1)

    assert [(step.name, step.value, step.direction) for step in steps[1:-1]] == [
        ("seats", 1.5, "up"),
        ("terms", -0.5, "down"),
    ]


def test_an_axis_ends_above_what_is_drawn_and_tells_its_shares_apart() -> None:
    for high, told in (
        (1.0, ["0%", "25%", "50%", "75%", "100%"]),
        (0.35, ["0%", "10%", "20%", "30%", "40%"]),
        (0.04, ["0%", "1%", "2%", "3%", "4%"]),
        (0.018, ["0.0%", "0.5%", "1.0%", "1.5%", "2.0%"]),
    ):
        low = {**CURVE, "chance": [0, 0, 0.01], "low": [0, 0, 0], "high": [0, 0, high]}
        drawn = charts.build_curve_chart(low, MONDAY, readiness_date=None, horizon_days=60)
        assert drawn is not None
        assert [tick.label for tick in drawn.y] == told


def test_an_account_is_not_drawn_before_it_had_seats() -> None:
    ends = ["2026-03-03", "2026-04-02", "2026-05-02", "2026-06-01"]
    months = {"ends": ends, "seats": [None, None, 5.0, 5.0], "api_calls": [0, 0, 0, 7]}
    drawn = charts.build_seats_chart({**months, "active_seats": [0, 1, 0, 3]})
    called = charts.build_usage_chart({**months, "active_seats": []}, None)
    assert drawn is not None
    assert called is not None

    assert [len(points(each.line)) for each in (drawn, called)] == [3, 2]


def test_what_moves_the_number_little_looks_little() -> None:
    steps = charts.build_waterfall(-1.76, {"headroom": 0.04, "tenure": 0.05}, -1.67)

    moved = [step.width for step in steps if step.direction == "up"]
    assert 0 < sum(moved) < 15
    assert 40 < steps[0].width < 50 < steps[-1].width < 60


def test_a_handful_of_seats_is_told_in_whole_ones() -> None:
    for seats, top in ((1, 2), (2, 4), (3, 4), (5, 6), (7, 8), (20, 30)):
        months = {"ends": ["2026-05-02", "2026-06-01"], "seats": [seats] * 2}
        drawn = charts.build_seats_chart({**months, "active_seats": [0, seats]})
        assert drawn is not None
        assert [tick.label for tick in drawn.y] == ["0", f"{top / 2:g}", f"{top:g}"]
