"""What there was to find, and what is made of a way's flags: by hand, and from the rows."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config.settings import Outcome
from data.schemas import SubscriptionSchema
from features import subscription_timeline
from training import labels
from training.backtest import expansions, scoring, strategies
from training.backtest.context import BacktestContext
from training.backtest.scoring import StrategyScore
from training.backtest.utilization import DailyUtilization
from training.backtest.workload import ContactLog, TeamCapacity
from training.metrics import cluster_bootstrap

START = date(2024, 1, 1)
END = datetime(2024, 12, 31, tzinfo=UTC)
RULES = Outcome(revert_days=7)
DAYS = 365
HOURS = TeamCapacity(
    minutes_per_month=600, minutes_per_account=30, minutes_per_review=2, cooldown_days=60
)
SCHEMA = SubscriptionSchema.create_empty().schema


def _contracts(*rows: tuple[str, int, float] | tuple[str, int, float, str]) -> pl.DataFrame:
    """Account, day from the start, seats, and the kind of change where it is told."""
    made = [
        dict.fromkeys(SCHEMA)
        | {
            "account_id": row[0],
            "effective_date": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=row[1]),
            "licensed_seats": row[2],
            "change": row[3] if len(row) == 4 else None,
        }
        for row in rows
    ]
    return subscription_timeline.build_timeline(pl.DataFrame(made, schema=SCHEMA))


def _day(number: int) -> date:
    return START + timedelta(days=number)


def test_an_expansion_is_found_on_its_day_and_what_is_none_is_not() -> None:
    contracts = _contracts(
        ("grows", -300, 10),
        ("grows", 100, 12),
        ("grows", 130, 15),
        ("mends", -300, 10),
        ("mends", 90, 12, "correction"),
        ("undoes", -300, 10),
        ("undoes", 50, 20),
        ("undoes", 55, 10),
        ("late", -300, 10),
        ("late", 360, 12),  # could still be undone within the week that is left
        ("new", 40, 10),
    )

    found = expansions.find_expansions(contracts, end=END, rules=RULES)

    assert found.select("account_id", "day", "before").rows() == [
        ("grows", _day(100), None),
        ("grows", _day(130), _day(100)),
    ]
    assert expansions.compute_maturity_date(END.date(), RULES) == _day(358)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 340), min_size=1, max_size=8, unique=True), st.integers(0, 280))
def test_a_flag_is_followed_by_an_expansion_where_one_of_those_found_is_near(
    days: list[int], flagged: int
) -> None:
    rises = [("acme", day, 11.0 + number) for number, day in enumerate(sorted(days))]
    contracts = _contracts(("acme", -300, 10), *rises)

    found = expansions.find_expansions(contracts, end=END, rules=RULES)["day"].to_list()
    flags = pl.DataFrame({"account_id": ["acme"], "day": [_day(flagged)]})
    (followed,) = expansions.label_flags(flags, contracts, end=END, rules=RULES, within_days=60)

    assert found == [_day(day) for day in sorted(days)]
    assert followed == any(0 <= (day - _day(flagged)).days < 60 for day in found)


def test_an_account_is_full_from_its_first_full_morning_since_it_last_expanded() -> None:
    full = np.full((3, 400), 0.5)
    full[0, [50, 210, 230]] = 0.8  # 180 days before day 300 is day 121
    full[1, [150, 260]] = 0.9
    daily = DailyUtilization(
        pl.Series(["a", "b", "c"]), START, full, np.full(full.shape, np.nan), full > 0
    )
    contracts = _contracts(
        *((name, -300, 10) for name in "abc"), ("b", 200, 12), *((name, 300, 20) for name in "abc")
    )

    found = expansions.find_expansions(contracts, end=END, rules=RULES)
    since = expansions.find_first_full_day(found, daily, threshold=0.8)

    assert list(zip(found["account_id"], found["day"], since, strict=True)) == [
        ("a", _day(300), _day(210)),
        ("b", _day(200), _day(150)),
        ("b", _day(300), _day(260)),
        ("c", _day(300), None),
    ]


CONTRACTS = _contracts(
    *((name, -300, 10) for name in "abcd"),
    ("a", 100, 12),
    ("a", 120, 14),
    ("b", 200, 12),
    ("c", 150, 12),
)


def _ground() -> BacktestContext:
    """Four accounts, four expansions: two of a, one each of b and c; a and b were full before."""
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


def _judged(flags: list[tuple[int, int]], looks: int = 0, points: Any = None) -> StrategyScore:
    account, day = (np.array(column, dtype=np.int64) for column in zip(*flags, strict=True))
    pointed = np.zeros((4, DAYS), dtype=bool)
    for row, column in points or ():
        pointed[row, column] = True
    plan = strategies.build_manual_review(
        "review", np.zeros((4, DAYS)), threshold=0.75, every_days=7
    )
    return scoring.score_strategy(plan, ContactLog(account, day, looks, pointed), _ground(), HOURS)


def test_the_figures_are_what_a_hand_finds() -> None:
    # a: flagged on day 75, which catches both; b: on 141, the first day that counts, and 199;
    # c: a day too early, and a day too late; d: for nothing, once so late that nobody knows yet.
    flags = [(0, 75), (1, 141), (1, 199), (2, 90), (2, 151), (3, 10), (3, 320)]

    way = _judged(flags, looks=5).result
    values = {name: figure.value for name, figure in way.figures.items()}

    assert values["share_flagged"] == 3 / 4
    assert (way.caught, way.caught_14d, way.caught_30d) == (3, 3, 2)  # leads of 25, 45 and 59 days
    assert values["lead_days"] == 45
    # a was full on day 70 and flagged on 75; b on 160, and the flag of 141 came before it.
    assert values["lag_days"] == (5 + 141 - 160) / 2
    assert (way.flags, way.hits, way.false_alarms) == (7, 3, 3)
    assert way.early == 1  # c, sixty days before
    assert values["precision"] == 1 / 2
    # Flags of days 0 to 298 are settled: 299 days, two CSMs.
    assert values["false_alarms"] == pytest.approx(3 / (299 / 90) / 2)
    assert values["missed"] == pytest.approx(1 / (4 * 298 / 90 / 80))
    assert (way.minutes_looking, way.minutes_working) == (10, 210)
    assert values["minutes"] == pytest.approx(220 / (365 / 90) / 2)


@pytest.mark.parametrize(("day", "seen"), [(90, 0.0), (91, 0.25), (150, 0.25), (151, 0.0)], ids=str)
def test_a_condition_points_at_an_expansion_in_the_days_that_count(day: int, seen: float) -> None:
    way = _judged([(3, 10)], points=[(2, day)]).result

    assert way.figures["share_pointed_at"].value == seen


def test_the_days_on_which_an_expansion_was_caught_are_told() -> None:
    ground = _ground()
    counted = pl.DataFrame({"day": [_day(day) for day in ground.expansion_day.tolist()]})

    flags, caught = scoring.collect_flags_and_expansions(
        {"way": _judged([(0, 75), (2, 151)])}, ground, counted
    )

    assert caught["way"].to_list() == [_day(75), _day(75), None, None]
    assert flags.rows() == [("way", "a", _day(75), True), ("way", "c", _day(151), False)]


def test_an_advantage_is_the_difference_of_the_shares() -> None:
    one, other = _judged([(0, 75), (1, 150)]), _judged([(2, 150)])

    gain = scoring.compare_catches(one, other, _ground())

    assert gain.value == pytest.approx(3 / 4 - 1 / 4)
    assert gain.low is not None
    assert gain.low <= gain.value


def test_without_flags_nothing_was_caught_and_nothing_cost() -> None:
    plan = strategies.build_crm_rule(np.zeros((4, DAYS)), threshold=0.8)
    none = np.zeros(0, dtype=np.int64)

    way = scoring.score_strategy(
        plan, ContactLog(none, none, 0, np.zeros((4, DAYS), bool)), _ground(), HOURS
    ).result

    assert way.figures["share_flagged"].value == 0
    assert way.figures["precision"].value is None
    assert way.figures["lag_days"].value is None
    assert way.figures["minutes"].value == 0


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 3)), max_size=12),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_a_weighted_median_is_that_of_the_values_repeated(
    told: list[tuple[int, int]], weights: list[int]
) -> None:
    values = np.array([value for value, _ in told], dtype=np.float64)
    rows = np.array([row for _, row in told], dtype=np.int64)
    drawn = cluster_bootstrap.ResampleWeights(
        np.array([weights], dtype=np.float64), np.ones((1, 4))
    )

    (found,) = scoring.make_median_metric(values, rows)(drawn)

    repeated = np.repeat(values, [weights[row] for row in rows])
    assert np.isnan(found) if not len(repeated) else found == np.median(repeated)


def test_the_hand_made_outcomes_are_those_of_training() -> None:
    """The ground above names the expansions of its contracts."""
    found = expansions.find_expansions(CONTRACTS, end=END, rules=RULES)

    assert found.select("account_id", "day").rows() == [
        ("a", _day(100)),
        ("a", _day(120)),
        ("b", _day(200)),
        ("c", _day(150)),
    ]
    assert expansions.UTILIZATION_LOOKBACK_DAYS == labels.MAX_HORIZON_DAYS
