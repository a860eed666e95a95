"""The backtest page: every way with its figures, claims marked, nothing asked of the network."""

import re
from dataclasses import replace
from datetime import date
from itertools import combinations

import polars as pl
import pytest

from training.backtest import BACKTEST_METRICS, BacktestResult, StrategyResult
from training.backtest.strategy_set import WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS
from training.metrics.cluster_bootstrap import MetricEstimate
from training.report import backtest_page

HOSTILE = "<img src=x onerror=alert(1)>"
UNKNOWN = MetricEstimate(None, None, None)


def way(name: str, caught: float, false_alarms: float, claim: str | None = None) -> StrategyResult:
    around = {
        "share_flagged": caught,
        "share_flagged_14d": caught * 0.7,
        "share_flagged_30d": caught * 0.3,
        "precision": 0.4,
        "false_alarms": false_alarms,
        "missed": 5.0,
        "minutes": 1486.0,
        "lag_days": 36.0,
        "lead_days": 21.0,
    }
    figures = {
        name: MetricEstimate(value, value * 0.9, value * 1.1) for name, value in around.items()
    }
    return StrategyResult(
        name=name,
        rule=f"{name} flags when it does.",
        figures=figures | {"share_pointed_at": UNKNOWN},
        flags=219,
        hits=80,
        false_alarms=120,
        caught=57,
        caught_14d=40,
        caught_30d=17,
        looked=0,
        minutes_looking=0.0,
        minutes_working=13140.0,
        claim=claim,
    )


WAYS = (
    way("manual review, weekly", 0.088, 6.7, "40 to 55 % caught"),
    way("manual review, monthly", 0.094, 6.1, "40 to 55 % caught"),
    way("CRM rule", 0.32, 4.8, "70 to 80 % caught"),
    way("tiered stack", 0.28, 5.3),
    way(WEEKLY_LIST, 0.36, 4.7),
    way(WEEKLY_LIST_AND_EVENTS, 0.24, 5.4),
)


@pytest.fixture(scope="module")
def found() -> BacktestResult:
    return BacktestResult(
        start=date(2025, 8, 5),
        end=date(2026, 6, 1),
        counted_from=date(2025, 10, 4),
        counted_until=date(2026, 5, 25),
        accounts=634.2,
        expansions=159,
        repeated=6,
        ways=WAYS,
        absent={"login volume": "the log holds no logins."},
        csms=8,
        minutes_per_month=1200.0,
        minutes_per_account=60.0,
        review_minutes=2.0,
        rest_days=60,
        caught_within_days=60,
        definitions={"flag": "An account handed to a CSM.", **BACKTEST_METRICS},
        notes=("No capacity is set: 20 accounts per 30 days are assumed.",),
        hindsight=("Nobody acted on these flags.",),
        verdict="With the same hours the model's weekly list caught 36% of 159 expansions.",
        flags=pl.DataFrame({"account_id": ["acme"]}),
        expanded=pl.DataFrame({"account_id": ["acme"]}),
    )


@pytest.fixture(scope="module")
def page(found: BacktestResult) -> str:
    return backtest_page.render_backtest_page(found)


def section(page: str, key: str) -> str:
    told = re.search(rf'<section id="{key}".*?</section>', page, re.DOTALL)
    assert told, key
    return told[0]


def test_every_section_is_there(page: str) -> None:
    keys = re.findall(r'<section id="([^"]+)"', page)

    assert keys == ["ways", "rules", "claims", "hindsight", "method"]
    assert page.index("With the same hours") < page.index("<section")


def test_every_way_is_drawn_named_and_told(page: str) -> None:
    for each in WAYS:
        name = each.name.replace("'", "&#39;")
        assert f">{each.name}</text>" in page  # in a chart
        assert f'<th scope="row">{name}</th>' in section(page, "ways")
        assert f"{name} flags when it does." in section(page, "rules")


def test_names_in_the_picture_do_not_cover_each_other(page: str) -> None:
    names = "|".join(each.name for each in WAYS)
    told = re.findall(
        rf'text-anchor: (start|end)[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>({names})</text>', page
    )
    boxes = []
    for side, x, y, name in told[: len(WAYS)]:
        width = 6.0 * len(name)
        left = float(x) - (width if side == "end" else 0)
        boxes.append((left, left + width, float(y)))

    assert len({name for *_, name in told[: len(WAYS)]}) == len(WAYS)
    for (a, b, y), (c, d, z) in combinations(boxes, 2):
        assert b < c or d < a or abs(y - z) >= 10


def test_the_model_stands_out_in_the_table(page: str) -> None:
    rows = re.findall(r'<tr class="strong"><th scope="row">([^<]+)', section(page, "ways"))

    assert {row.replace("&#39;", "'") for row in rows} == {WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS}


def test_the_figures_are_those_of_the_backtest(page: str) -> None:
    row = re.search(r'<th scope="row">CRM rule</th>.*?</tr>', section(page, "ways"))

    assert row
    assert '<td>32% <span class="interval">29% to 35%</span></td>' in row[0]
    assert "<td>n/a</td>" in row[0]
    assert "<td>219</td>" in row[0]


def test_claims_are_marked_as_not_verified(page: str) -> None:
    claims = section(page, "claims")

    assert "not verified" in claims
    assert claims.count(" % caught") == 3
    assert "tiered stack" not in claims


def test_ways_that_could_not_be_replayed_and_assumptions_are_told(page: str) -> None:
    assert "the log holds no logins." in section(page, "ways")
    assert "No capacity is set" in page
    assert "Nobody acted on these flags." in section(page, "hindsight")


def test_the_page_is_one_file_that_names_no_account(page: str) -> None:
    assert len(page.encode()) < 300_000
    assert not re.search(r"(?:https?:)?//\w", page)
    assert "acme" not in page


def test_the_same_backtest_is_the_same_page(found: BacktestResult, page: str) -> None:
    assert backtest_page.render_backtest_page(found) == page


def test_words_of_a_backtest_are_shown_and_not_obeyed(found: BacktestResult) -> None:
    spoiled = replace(
        found,
        ways=(replace(WAYS[0], name=HOSTILE, rule=HOSTILE, claim=HOSTILE),),
        absent={HOSTILE: HOSTILE},
        notes=(HOSTILE,),
        verdict=HOSTILE,
    )

    assert "<img" not in backtest_page.render_backtest_page(spoiled)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ways": ()}, "No way of working could be replayed."),
        ({"expansions": 0}, "No expansion falls into the days that count"),
    ],
)
def test_where_there_is_nothing_to_draw_the_section_says_so(
    found: BacktestResult, changes: dict[str, object], told: str
) -> None:
    page = backtest_page.render_backtest_page(replace(found, **changes))  # type: ignore[arg-type]

    assert told in section(page, "ways")
    assert "<svg" not in page


def test_a_way_without_figures_is_told_and_left_out_of_the_picture(found: BacktestResult) -> None:
    blank = replace(WAYS[0], name="silent way", figures=dict.fromkeys(BACKTEST_METRICS, UNKNOWN))

    page = backtest_page.render_backtest_page(replace(found, ways=(*WAYS, blank)))

    assert '<th scope="row">silent way</th><td>n/a</td>' in page
