"""Expansions and scores of a strategy, compared with hand-computed values."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config.settings import OutcomeConfig
from tests.tables import build_timeline
from training import labels
from training.backtest import expansions, scoring, strategies
from training.backtest.scoring import BacktestContext, StrategyScore
from training.backtest.utilization import DailyUtilization
from training.backtest.workload import ContactLog, TeamCapacity
from training.metrics import cluster_bootstrap

START = date(2024, 1, 1)
END = datetime(2024, 12, 31, tzinfo=UTC)
RULES = OutcomeConfig(revert_days=7)
DAYS = 365
CAPACITY = TeamCapacity(
    minutes_per_month=600, minutes_per_account=30, minutes_per_review=2, cooldown_days=60
)


def build_contracts(*rows: tuple[str, int, float] | tuple[str, int, float, str]) -> pl.DataFrame:
    """Build a timeline from account, day from the start, seats, and optional change type."""
    return build_timeline(
        [
            {
                "account_id": account,
                "effective_date": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day),
                "licensed_seats": seats,
                "change": change[0] if change else None,
            }
            for account, day, seats, *change in rows
        ]
    )


def to_date(number: int) -> date:
    return START + timedelta(days=number)


def test_expansions_are_found_on_their_day_and_nothing_else() -> None:
    contracts = build_contracts(
        ("grows", -300, 10),
        ("grows", 100, 12),
        ("grows", 130, 15),
        ("corrected", -300, 10),
        ("corrected", 90, 12, "correction"),
        ("reverted", -300, 10),
        ("reverted", 50, 20),
        ("reverted", 55, 10),
        ("late", -300, 10),
        ("late", 360, 12),  # may still be reverted within the remaining week
        ("new", 40, 10),
    )

    result = expansions.find_expansions(contracts, end=END, rules=RULES)

    assert result.select("account_id", "day", "before").rows() == [
        ("grows", to_date(100), None),
        ("grows", to_date(130), to_date(100)),
    ]
    assert expansions.compute_maturity_date(END.date(), RULES) == to_date(358)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 340), min_size=1, max_size=8, unique=True), st.integers(0, 280))
def test_a_flag_is_labelled_positive_if_an_expansion_is_within_the_window(
    days: list[int], flagged: int
) -> None:
    increases = [("acme", day, 11.0 + number) for number, day in enumerate(sorted(days))]
    contracts = build_contracts(("acme", -300, 10), *increases)

    result = expansions.find_expansions(contracts, end=END, rules=RULES)["day"].to_list()
    flags = pl.DataFrame({"account_id": ["acme"], "day": [to_date(flagged)]})
    (followed,) = expansions.label_flags(flags, contracts, end=END, rules=RULES, within_days=60)

    assert result == [to_date(day) for day in sorted(days)]
    assert followed == any(0 <= (day - to_date(flagged)).days < 60 for day in result)


def test_the_first_full_day_is_searched_after_the_previous_expansion() -> None:
    utilization = np.full((3, 400), 0.5)
    utilization[0, [50, 210, 230]] = 0.8  # 180 days before day 300 is day 121
    utilization[1, [150, 260]] = 0.9
    daily = DailyUtilization(
        pl.Series(["a", "b", "c"]),
        START,
        utilization,
        np.full(utilization.shape, np.nan),
        utilization > 0,
    )
    contracts = build_contracts(
        *((name, -300, 10) for name in "abc"), ("b", 200, 12), *((name, 300, 20) for name in "abc")
    )

    result = expansions.find_expansions(contracts, end=END, rules=RULES)
    first_full_days = expansions.find_first_full_day(result, daily, threshold=0.8)

    assert list(zip(result["account_id"], result["day"], first_full_days, strict=True)) == [
        ("a", to_date(300), to_date(210)),
        ("b", to_date(200), to_date(150)),
        ("b", to_date(300), to_date(260)),
        ("c", to_date(300), None),
    ]


CONTRACTS = build_contracts(
    *((name, -300, 10) for name in "abcd"),
    ("a", 100, 12),
    ("a", 120, 14),
    ("b", 200, 12),
    ("c", 150, 12),
)


def build_context() -> BacktestContext:
    """Build four accounts with four expansions: two of a, one each of b and c."""
    return BacktestContext(
        accounts=pl.Series("account_id", ["a", "b", "c", "d"]),
        start=START,
        under_contract=np.ones((4, DAYS), dtype=bool),
        counted_columns=range(60, 358),
        expansion_row=np.array([0, 0, 1, 2]),
        expansion_day=np.array([100, 120, 200, 150]),
        first_full_day=np.array([70, -1, 160, -1]),
        lookback_start=np.array([-79, 101, 21, -29]),
        contracts=CONTRACTS,
        end=END,
        outcome_rules=RULES,
        window_days=60,
        csm_count=2,
        bootstrap=cluster_bootstrap.ClusterBootstrap(np.arange(4), resamples=20, seed=1),
    )


def score_flags(
    flags: list[tuple[int, int]], reviews: int = 0, condition_days: Any = None
) -> StrategyScore:
    account, day = np.array(flags, dtype=np.int64).reshape(-1, 2).T
    condition_met = np.zeros((4, DAYS), dtype=bool)
    for row, column in condition_days or ():
        condition_met[row, column] = True
    strategy = strategies.build_manual_review(
        "review", np.zeros((4, DAYS)), threshold=0.75, every_days=7
    )
    return scoring.score_strategy(
        strategy, ContactLog(account, day, reviews, condition_met), build_context(), CAPACITY
    )


def test_metrics_match_hand_computed_values() -> None:
    # a: flagged on day 75, which detects both; b: on 141, the first day of the window, and 199;
    # c: a day too early and a day too late; d: no expansion, once without a matured label.
    flags = [(0, 75), (1, 141), (1, 199), (2, 90), (2, 151), (3, 10), (3, 320)]

    result = score_flags(flags, reviews=5).result
    values = {name: estimate.value for name, estimate in result.metrics.items()}

    assert values["detection_rate"] == 3 / 4
    # Leads of 25, 45 and 59 days.
    assert (result.detected, result.detected_14d, result.detected_30d) == (3, 3, 2)
    assert values["lead_days"] == 45
    # a was full on day 70 and flagged on 75; b on 160, and the flag of 141 came before it.
    assert values["lag_days"] == (5 + 141 - 160) / 2
    assert (result.flags, result.hits, result.false_alarms) == (7, 3, 3)
    assert result.detected_too_early == 1  # c, sixty days before
    assert values["precision"] == 1 / 2
    # Labels of days 0 to 298 have matured: 299 days, two CSMs.
    assert values["false_alarms"] == pytest.approx(3 / (299 / 90) / 2)
    assert values["missed"] == pytest.approx(1 / (4 * 298 / 90 / 80))
    assert (result.review_minutes, result.contact_minutes) == (10, 210)
    assert values["minutes"] == pytest.approx(220 / (365 / 90) / 2)


@pytest.mark.parametrize(
    ("day", "expected"), [(90, 0.0), (91, 0.25), (150, 0.25), (151, 0.0)], ids=str
)
def test_the_condition_counts_within_the_detection_window(day: int, expected: float) -> None:
    result = score_flags([(3, 10)], condition_days=[(2, day)]).result

    assert result.metrics["condition_rate"].value == expected


def test_the_day_of_detection_is_reported_per_expansion() -> None:
    context = build_context()
    counted = pl.DataFrame({"day": [to_date(day) for day in context.expansion_day.tolist()]})

    flags, expansions_table = scoring.collect_flags_and_expansions(
        {"rule": score_flags([(0, 75), (2, 151)])}, context, counted
    )

    assert expansions_table["rule"].to_list() == [to_date(75), to_date(75), None, None]
    assert flags.rows() == [
        ("rule", "a", to_date(75), True),
        ("rule", "c", to_date(151), False),
    ]


def test_the_gain_is_the_difference_of_detection_rates() -> None:
    score, baseline = score_flags([(0, 75), (1, 150)]), score_flags([(2, 150)])

    gain = scoring.compare_detection(score, baseline, build_context())

    assert gain.value == pytest.approx(3 / 4 - 1 / 4)
    assert gain.low is not None
    assert gain.low <= gain.value


def test_without_flags_nothing_is_detected_and_nothing_costs() -> None:
    result = score_flags([]).result

    assert result.metrics["detection_rate"].value == 0
    assert result.metrics["precision"].value is None
    assert result.metrics["lag_days"].value is None
    assert result.metrics["minutes"].value == 0


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 3)), max_size=12),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_a_weighted_median_equals_the_median_of_repeated_values(
    values_and_rows: list[tuple[int, int]], weights: list[int]
) -> None:
    values = np.array([value for value, _ in values_and_rows], dtype=np.float64)
    rows = np.array([row for _, row in values_and_rows], dtype=np.int64)
    resample_weights = cluster_bootstrap.ResampleWeights(
        np.array([weights], dtype=np.float64), np.ones((1, 4))
    )

    (result,) = scoring.make_median_metric(values, rows)(resample_weights)

    repeated = np.repeat(values, [weights[row] for row in rows])
    assert np.isnan(result) if not len(repeated) else result == np.median(repeated)


def test_the_hand_made_context_matches_the_contracts() -> None:
    """The context above lists the expansions of its contracts."""
    result = expansions.find_expansions(CONTRACTS, end=END, rules=RULES)

    assert result.select("account_id", "day").rows() == [
        ("a", to_date(100)),
        ("a", to_date(120)),
        ("b", to_date(200)),
        ("c", to_date(150)),
    ]
    assert expansions.UTILIZATION_LOOKBACK_DAYS == labels.MAX_HORIZON_DAYS
