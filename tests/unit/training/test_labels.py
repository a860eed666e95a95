"""Labels: hand-worked contract histories, and a slow reference implementation."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data.config.settings import OutcomeConfig
from data.schemas import CHANGES
from tests.tables import build_timeline
from training import labels

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
LONG_AFTER = AS_OF + timedelta(days=500)
ORDER = ("free", "team", "business", "enterprise")
RULES = OutcomeConfig(revert_days=7, plans=ORDER)

Row = dict[str, Any]


def row(day: float, signed: float | None = None, /, **levels: Any) -> Row:
    """Build a contract row in force from a day after the as-of, signed on another where given."""
    terms = {"licensed_seats": 10.0, "plan": "team", "usage_limit": 1000.0, "mrr": 100.0}
    names = {"seats": "licensed_seats", "limit": "usage_limit"}
    return {
        "account_id": "acme",
        "effective_date": AS_OF + timedelta(days=day),
        "known_at": None if signed is None else AS_OF + timedelta(days=signed),
        **terms,
        **{names.get(name, name): value for name, value in levels.items()},
    }


CHURNED = {"seats": None, "plan": None, "limit": None, "mrr": None, "status": "lapsed"}
BASE = row(-200, -210)


def outcome(
    rows: Sequence[Row],
    *,
    cutoff: datetime = LONG_AFTER,
    rules: OutcomeConfig = RULES,
    reliable_from: date | None = None,
    horizon: int = 60,
) -> dict[str, Any]:
    """Return the outcome of one account's snapshot with its label within the horizon."""
    snapshot = pl.DataFrame({"account_id": ["acme"], "as_of": [AS_OF.date()]})
    contracts = build_timeline(rows, plans=rules.plans, reliable_from=reliable_from)
    result = labels.build_outcomes(snapshot, contracts, cutoff=cutoff, rules=rules)
    return result.with_columns(expanded=labels.expansion_label(horizon)).row(0, named=True)


# Rows after ten seats on the team plan.
NO_EXPANSION = {
    "nothing happens": [],
    "the plan falls in the order of plans at a higher price": [row(20, 20, plan="free", mrr=150)],
    "a plan outside the order costs less": [row(20, 20, plan="custom", mrr=90)],
    "a price increase is marked as a price change": [row(20, 20, mrr=120, change="price")],
    "a price increase is not marked": [row(20, 20, mrr=120)],
    "the contract renews flat": [
        row(20, 20, change="renewal", renewal_date=AS_OF + timedelta(days=385))
    ],
    "the contract renews at a higher price": [row(20, 20, mrr=110, change="renewal")],
    "a ramp signed before takes its step": [row(20, -100, seats=20, mrr=200)],
    "a ramp signed before takes its step and renews flat": [
        row(20, -100, seats=20, mrr=200),
        row(30, 30, seats=20, mrr=200),
    ],
    "a ramp's step is booked only when it comes": [row(20, 20, seats=20, mrr=200, change="ramp")],
    "a rise is reverted within days": [row(20, 20, seats=20), row(26, 26, seats=10)],
    "a rise is reverted on the last revert day": [row(20, 20, seats=20), row(27, 27)],
    "a rise booked late is reverted within days of its booking": [
        row(-40, 20, seats=20),
        row(23, 23),
    ],
    "a plan rises and falls below where it was": [
        row(20, 20, plan="business", mrr=150),
        row(24, 24, plan="free", mrr=0.01),
    ],
    "an account is merged in": [row(20, 20, seats=18, mrr=180, change="merger")],
    "seats fall after a merger": [
        row(20, 20, seats=18, mrr=180, change="merger"),
        row(40, 40, seats=15, mrr=150),
    ],
    "an increase is booked late for a past period": [row(-250, 20, seats=14)],
    "the past is corrected": [row(-100, 20, seats=14, change="correction")],
    "a rise is corrected away": [row(20, 20, seats=20), row(20, 30, seats=10, change="correction")],
    "a downgrade is followed by the return": [row(10, 10, seats=5, plan="free"), row(30, 30)],
    "the account lapses": [row(20, 20, **CHURNED)],
    "the account lapses and returns larger": [row(20, 20, **CHURNED), row(30, 30, seats=20)],
    "the account churns before it would expand": [
        row(20, 10, status="churned", mrr=0),
        row(40, 40, seats=20),
    ],
    "a lapse before the as-of becomes known after it": [
        row(-5, 3, **CHURNED),
        row(40, 40, seats=20),
    ],
    "a lapse row has more seats than were sold": [row(30, 20, seats=20, status="lapsed")],
    "more seats are on trial": [row(20, 20, seats=20, status="trial")],
    "signed on day 50, cancelled before it was in force": [row(120, 50, seats=20), row(120, 55)],
    "booked a moment before the as-of": [row(0, -1e-9, seats=20)],
    "the price rises twice, marked once": [
        row(10, 10, mrr=120, change="price"),
        row(30, 30, mrr=120, change="organic"),
    ],
}
# Day and type of the expansion, and the rows.
EXPANSIONS = {
    "seats are added": (20, "seats", [row(20, 20, seats=12, mrr=120)]),
    "seats are added at a lower total price": (20, "seats", [row(20, 20, seats=12, mrr=90)]),
    "the plan rises in the order of plans": (20, "plan", [row(20, 20, plan="business", mrr=90)]),
    "a plan outside the order costs more": (20, "plan", [row(20, 20, plan="custom", mrr=150)]),
    "plan and seats rise at once": (20, "plan", [row(20, 20, plan="business", seats=12, mrr=150)]),
    "the usage limit is raised": (20, "usage", [row(20, 20, limit=5000, mrr=180)]),
    "the customer buys an add-on that no quantity shows": (
        20,
        "revenue",
        [row(20, 20, mrr=120, change="organic")],
    ),
    "an ambiguous increase is followed by a clear one": (
        30,
        "seats",
        [row(20, 20, seats=None, mrr=120), row(30, 30, seats=12, mrr=140)],
    ),
    "the contract renews with more seats": (
        20,
        "seats",
        [row(20, 20, seats=15, mrr=150, change="renewal")],
    ),
    "seats are added on top of a ramp signed before": (
        30,
        "seats",
        [row(20, -100, seats=20, mrr=200), row(30, 30, seats=25, mrr=250)],
    ),
    "one signature schedules several steps": (
        10,
        "seats",
        [row(25, 10, seats=12), row(90, 10, seats=14), row(200, 10, seats=16)],
    ),
    "seats are added while a signed ramp is still ahead": (
        20,
        "seats",
        [row(150, 5, seats=40, change="ramp"), row(20, 20, seats=12)],
    ),
    "seats in use are trued up": (20, "seats", [row(-30, 20, seats=14, mrr=140, change="true_up")]),
    "a rise is reverted a day too late": (20, "seats", [row(20, 20, seats=20), row(28, 28)]),
    "a rise is reverted in part": (20, "seats", [row(20, 20, seats=20), row(24, 24, seats=12)]),
    "a plan is reverted and the seats stay": (
        20,
        "plan",
        [row(20, 20, plan="business", seats=20), row(24, 24, seats=20)],
    ),
    "seats rise after a merger": (
        40,
        "seats",
        [row(20, 20, seats=18, mrr=180, change="merger"), row(40, 40, seats=20, mrr=200)],
    ),
    "a downgrade is followed by more than the return": (
        30,
        "seats",
        [row(10, 10, seats=5), row(30, 30, seats=11)],
    ),
    "the account expands before it churns": (
        20,
        "seats",
        [row(20, 20, seats=20), row(50, 50, status="churned")],
    ),
    "a lapse is revoked before an expansion": (
        40,
        "seats",
        [row(20, 15, **CHURNED), row(20, 18, change="correction"), row(40, 40, seats=20)],
    ),
    "signed on day 50 and in force on day 120": (50, "seats", [row(120, 50, seats=20)]),
    "in force before the as-of and booked after it": (25, "seats", [row(-15, 25, seats=20)]),
    "in force and booked exactly at the as-of": (0, "seats", [row(0, 0, seats=20)]),
    "booked in the last moment of the horizon": (59, "seats", [row(60, 60 - 1e-9, seats=20)]),
    "booked exactly at the end of the horizon": (60, "seats", [row(60, 60, seats=20)]),
    "without a booking time the effective date is used": (120, "seats", [row(120, seats=20)]),
    "two rows of one moment agree on a rise": (
        20,
        "seats",
        [row(20, 20, seats=12), row(20, 20, seats=14)],
    ),
}
AMBIGUOUS = {
    "a price change comes with more seats": [BASE, row(20, 20, seats=12, mrr=150, change="price")],
    "the price rises and the seats become unknown": [BASE, row(20, 20, seats=None, mrr=120)],
    "seats are sold for the first time": [row(-200, seats=None), row(20, 20, seats=15, mrr=150)],
}


@pytest.mark.parametrize("rows", NO_EXPANSION.values(), ids=NO_EXPANSION)
def test_histories_without_an_expansion(rows: list[Row]) -> None:
    result = outcome([BASE, *rows])

    assert (result["expanded"], result["days_to_expansion"], result["kind"]) == (False, None, None)


@pytest.mark.parametrize(("day", "kind", "rows"), EXPANSIONS.values(), ids=EXPANSIONS)
def test_an_expansion_has_the_hand_worked_day_and_type(
    day: int, kind: str, rows: list[Row]
) -> None:
    result = outcome([BASE, *rows])

    assert (result["days_to_expansion"], result["kind"]) == (day, kind)
    assert result["expanded"] is (day < 60)


@pytest.mark.parametrize("rows", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_ambiguous_increase_leaves_the_label_unknown(rows: list[Row]) -> None:
    result = outcome(rows)

    assert (result["expanded"], result["days_to_expansion"], result["kind"]) == (None, None, None)
    assert result["days_to_ambiguous"] == 20


MONEY = {"seats": None, "plan": None, "limit": None}
ONLY_MRR = row(-200, -210, **MONEY)
# Without an order of plans, a change of plan counts by its price; the first row is the base.
UNORDERED = {
    "the plan changes at a higher price": (20, "plan", [BASE, row(20, 20, plan="x", mrr=150)]),
    "the plan changes at a lower price": (None, None, [BASE, row(20, 20, plan="x", mrr=80)]),
    "the plan changes at the same price": (None, None, [BASE, row(20, 20, plan="x")]),
    "the plan changes after a price rise to the same price": (
        None,
        None,
        [BASE, row(10, 10, mrr=120, change="price"), row(20, 20, plan="x", mrr=120)],
    ),
    "the plan changes and returns within days": (
        None,
        None,
        [BASE, row(20, 20, plan="x", mrr=150), row(23, 23)],
    ),
    "only revenue is known": (20, "revenue", [ONLY_MRR, row(20, 20, **MONEY, mrr=130)]),
    "only revenue: price": (None, None, [ONLY_MRR, row(20, 20, **MONEY, mrr=130, change="price")]),
    "only revenue: renewal": (
        None,
        None,
        [ONLY_MRR, row(20, 20, **MONEY, mrr=130, change="renewal")],
    ),
    "only revenue: price, then flat": (
        None,
        None,
        [ONLY_MRR, row(10, 10, **MONEY, mrr=130, change="price"), row(30, 30, **MONEY, mrr=130)],
    ),
    "only revenue: price, then more": (
        30,
        "revenue",
        [ONLY_MRR, row(10, 10, **MONEY, mrr=130, change="price"), row(30, 30, **MONEY, mrr=140)],
    ),
}


@pytest.mark.parametrize(("day", "kind", "rows"), UNORDERED.values(), ids=UNORDERED)
def test_without_an_order_of_plans_outcomes_follow_the_price(
    day: int | None, kind: str | None, rows: list[Row]
) -> None:
    result = outcome(rows, rules=OutcomeConfig())

    assert (result["days_to_expansion"], result["kind"]) == (day, kind)
    assert result["expanded"] is (day is not None)


@pytest.mark.parametrize(
    "before",
    [[], [row(-20, -20, status="trial", mrr=0)]],
    ids=["without a contract", "from a trial"],
)
def test_a_first_purchase_is_not_an_expansion(before: list[Row]) -> None:
    assert outcome([*before, row(20, 20, seats=15, mrr=150)])["expanded"] is False


@pytest.mark.parametrize(
    ("rows", "day"),
    [
        ([BASE, row(30, 10, **CHURNED)], 30),
        ([BASE, row(-5, 3, **CHURNED)], 0),
        ([row(-400, 30, **CHURNED), BASE], None),
    ],
    ids=["by its effective date", "at the as-of when known late", "never when revoked"],
)
def test_churn_is_dated(rows: list[Row], day: int | None) -> None:
    assert outcome(rows)["days_to_churn"] == day


@pytest.mark.parametrize(("first_reliable", "day"), [(29, 30), (30, 30), (31, 55)])
def test_booking_times_are_used_from_the_first_reliable_day_on(
    first_reliable: int, day: int
) -> None:
    reliable_from = (AS_OF + timedelta(days=first_reliable)).date()

    result = outcome([BASE, row(55, 30, seats=20)], reliable_from=reliable_from)

    assert result["days_to_expansion"] == day


def test_a_bulk_load_creates_no_expansions() -> None:
    bulk_rows = [row(-200, 5), row(-100, 5, seats=20)]

    result = outcome(bulk_rows, reliable_from=(AS_OF + timedelta(days=6)).date())

    assert result["expanded"] is False


@pytest.mark.parametrize(
    ("seats", "expanded"), [(11, False), (12, True), (13, True)], ids=["less", "exactly", "more"]
)
def test_an_increase_counts_from_the_minimum_share_on(seats: float, expanded: bool) -> None:
    result = outcome([BASE, row(20, 20, seats=seats)], rules=OutcomeConfig(min_increase=0.2))

    assert result["expanded"] is expanded


def test_small_increases_count_once_they_reach_the_minimum_share_together() -> None:
    rows = [BASE, *(row(day, day, seats=10 + day / 10) for day in (10, 20, 30, 40))]

    result = outcome(rows, rules=OutcomeConfig(min_increase=0.3))

    assert result["days_to_expansion"] == 30


@pytest.mark.parametrize(("days", "expanded"), [(69, None), (70, True)])
def test_an_incomplete_window_is_unknown_even_with_an_early_expansion(
    days: int, expanded: bool | None
) -> None:
    rules = OutcomeConfig(revert_days=7, booking_lag_days=3)

    result = outcome([BASE, row(5, 5, seats=20)], rules=rules, cutoff=AS_OF + timedelta(days=days))

    assert result["days_to_expansion"] == 5
    assert result["expanded"] is expanded


def test_a_window_is_complete_when_horizon_lag_and_revert_days_have_passed() -> None:
    rules = OutcomeConfig(revert_days=7, booking_lag_days=3)

    result = outcome([BASE], rules=rules, cutoff=AS_OF + timedelta(days=100, hours=23))

    assert result["observed_days"] == 90


def test_the_increase_is_the_largest_share_of_seats_limit_and_revenue() -> None:
    result = outcome([BASE, row(20, 20, seats=12, mrr=150)])

    assert result["increase"] == pytest.approx(0.5)


def test_no_snapshots_have_no_outcomes() -> None:
    no_snapshots = pl.DataFrame(schema={"account_id": pl.String, "as_of": pl.Date})

    result = labels.build_outcomes(
        no_snapshots, build_timeline([BASE]), cutoff=LONG_AFTER, rules=RULES
    )

    assert result.is_empty()
    assert "days_to_expansion" in result.columns


def test_outcomes_keep_the_order_of_the_snapshots() -> None:
    keys = pl.DataFrame(
        {
            "account_id": ["zeta", "acme", "acme"],
            "as_of": [AS_OF.date(), AS_OF.date() + timedelta(days=30), AS_OF.date()],
        }
    )

    result = labels.build_outcomes(
        keys, build_timeline([BASE, row(40, 40, seats=20)]), cutoff=LONG_AFTER, rules=RULES
    )

    assert_frame_equal(result.select(keys.columns), keys)
    assert result["days_to_expansion"].to_list() == [None, 10, 40]


# ---- Random histories with days on every boundary of the rules.

EDGES = [-1, 0, 1, 6, 7, 8, 29, 30, 59, 60, 61, 66, 67, 68, 119, 120, 179, 180, 181]
days = st.sampled_from(EDGES) | st.integers(-60, 200)
moments = st.builds(lambda day, tick: day + tick / 86_400e6, days, st.sampled_from([-1, 0, 0, 1]))
levels = st.fixed_dictionaries(
    {},  # other terms keep their first value
    optional={
        "seats": st.sampled_from([None, 8, 12, 12, 14, 20]),
        "plan": st.sampled_from([None, "free", "business", "custom"]),
        "limit": st.sampled_from([None, 500, 2000]),
        "mrr": st.sampled_from([None, 90, 100, 120, 120, 200]),
        "status": st.sampled_from([None, *["paid"] * 9, "trial", "lapsed", "churned"]),
        "change": st.sampled_from([*["organic"] * 3, *CHANGES]),
    },
)
changes = st.builds(
    lambda day, signed, terms: row(day, signed, **terms), moments, st.none() | moments, levels
)
histories = st.lists(changes, max_size=5).map(lambda rows: [BASE, *rows])
rules = st.builds(
    OutcomeConfig,
    min_increase=st.sampled_from([0.0, 0.2]),
    revert_days=st.sampled_from([0, 7, 30]),
    plans=st.sampled_from([(), ORDER]),
)


@settings(max_examples=40, deadline=None)
@given(histories, histories, rules, st.sampled_from([0, 40, 60, 90, 150]), st.data())
def test_rows_known_at_or_after_the_cutoff_change_no_label(
    rows: list[Row], later_rows: list[Row], rules: OutcomeConfig, days: int, data: st.DataObject
) -> None:
    cutoff = AS_OF + timedelta(days=days)
    future_rows = [
        other | {"known_at": cutoff + data.draw(st.sampled_from([timedelta(0), timedelta(days=9)]))}
        for other in later_rows
    ]

    assert outcome([*rows, *future_rows], rules=rules, cutoff=cutoff) == outcome(
        rows, rules=rules, cutoff=cutoff
    )


@settings(max_examples=40, deadline=None)
@given(histories, rules, st.randoms(use_true_random=False))
def test_the_order_of_contract_rows_changes_no_label(
    rows: list[Row], rules: OutcomeConfig, random: Any
) -> None:
    shuffled = random.sample(rows, len(rows))

    assert outcome(shuffled, rules=rules) == outcome(rows, rules=rules)


# ---- Slow reference implementation: loops over rows, one rule after the other.


@settings(max_examples=150, deadline=None)
@given(histories, rules)
def test_the_first_expansion_agrees_with_a_slow_reference_implementation(
    rows: list[Row], rules: OutcomeConfig
) -> None:
    result = outcome(rows, rules=rules)

    reference = ReferenceLabels(rows, rules)

    assert result["days_to_churn"] == reference.days_to_churn()
    assert (result["days_to_expansion"], result["kind"]) == reference.first_expansion()
    assert result["days_to_ambiguous"] == reference.days_to_unclear()


class ReferenceLabels:
    """Labels of one account's history, row by row, in plain Python."""

    def __init__(self, rows: Sequence[Row], rules: OutcomeConfig) -> None:
        self.rules = rules
        self.rows = [self._read(row) for row in rows]
        self.rows.sort(key=lambda r: (r["effective"], r["known"], r["tie"]))

    def _read(self, row: Row) -> Row:
        terms = {name: row.get(name) for name in ("licensed_seats", "usage_limit", "plan", "mrr")}
        status = row.get("status") or "paid"
        sold = any(value is not None for value in terms.values()) and row.get("mrr") != 0
        ended = status in ("lapsed", "churned") or (not sold and status != "trial")
        rank = None
        if row["plan"] in self.rules.plans:
            rank = self.rules.plans.index(row["plan"])
        seats, limit, plan, mrr = row["licensed_seats"], row["usage_limit"], row["plan"], row["mrr"]
        paid = status == "paid" and not ended
        tie = [seats, limit, rank, mrr, plan, row.get("change"), ended, status == "trial", paid]
        return {
            "effective": row["effective_date"],
            "known": row["known_at"] or row["effective_date"],
            "seats": seats,
            "limit": limit,
            "plan": plan,
            "rank": rank,
            "mrr": mrr,
            "change": row.get("change"),
            "ended": ended,
            "paid": paid,
            "tie": [(value is not None, value) for value in tie],
        }

    def in_force(self, moment: datetime, *, known_before: datetime = LONG_AFTER) -> Row | None:
        result = None
        for row in self.rows:
            if row["known"] < known_before and row["effective"] <= moment:
                result = row
        return result

    def days_to_churn(self) -> int | None:
        current = self.in_force(AS_OF + timedelta(days=1, microseconds=-1))
        if current is not None and current["ended"] and current["effective"] < AS_OF:
            return 0
        for day in range(180):
            for row in self.rows:
                applies = self.in_force(row["effective"]) is row
                if (row["effective"] - AS_OF).days == day and row["ended"] and applies:
                    return day
        return None

    def first_expansion(self) -> tuple[int | None, str | None]:
        clear = [(day, kind) for day, kind in self.increases() if kind != "unclear"]
        return clear[0] if clear else (None, None)

    def days_to_unclear(self) -> int | None:
        return next((day for day, kind in self.increases() if kind == "unclear"), None)

    def increases(self) -> list[tuple[int, str]]:
        """Return day and type of every increase between the as-of and the end of the contract."""
        current = self.in_force(AS_OF, known_before=AS_OF)
        if current is None or not current["paid"]:
            return []
        churn = self.days_to_churn()
        in_order = sorted(self.rows, key=lambda r: (r["known"], r["effective"], r["tie"]))
        result = []
        for index, row in enumerate(in_order):
            day = (row["known"] - AS_OF).days
            if not 0 <= day < 180 or not row["paid"] or (churn is not None and day >= churn):
                continue
            kind = self.persistent_type(row, self.previous_levels(row, current, in_order[:index]))
            if kind is not None:
                result.append((day, kind))
        return result

    def previous_levels(self, row: Row, current: Row, earlier: Sequence[Row]) -> Row:
        """Return the levels that a row has to exceed."""
        planned = self.in_force(max(row["effective"], AS_OF), known_before=AS_OF) or current
        highest = {}
        for name in ("seats", "limit", "rank", "mrr"):
            values = [current[name], planned[name]]
            for other in earlier:
                is_inorganic = other["change"] in INORGANIC
                if name == "mrr":
                    is_inorganic = is_inorganic or other["change"] in ("price", "renewal")
                if (
                    is_inorganic
                    and other["known"] >= AS_OF
                    and other["effective"] <= row["effective"]
                ):
                    values.append(other[name])
            known_values = [value for value in values if value is not None]
            highest[name] = None if current[name] is None else max(known_values)
        plan = current["plan"] if planned["plan"] is None else planned["plan"]
        return highest | {"plan": plan}

    def persistent_type(self, row: Row, before: Row) -> str | None:
        """Return the type of a row's increase; None when it is reverted within the revert days."""
        kind = self.increase_type(row, before)
        if kind in (None, "unclear"):
            return kind
        revert_deadline = max(row["effective"], row["known"]) + timedelta(
            days=self.rules.revert_days
        )
        final = self.in_force(revert_deadline)
        assert final is not None
        if kind == "revenue":
            return kind if more(final["mrr"], before["mrr"], 0) else None
        quantities = any(more(final[name], before[name], 0) for name in ("seats", "limit"))
        return kind if quantities or still_above(final, before) else None

    def increase_type(self, row: Row, before: Row) -> str | None:
        if row["change"] in INORGANIC:
            return None
        share = self.rules.min_increase
        quantities = [
            ("plan", higher_plan(row, before)),
            ("seats", more(row["seats"], before["seats"], share)),
            ("usage", more(row["limit"], before["limit"], share)),
        ]
        rises = [kind for kind, increased in quantities if increased]
        if rises:
            return "unclear" if row["change"] == "price" else rises[0]
        if not more(row["mrr"], before["mrr"], share) or row["change"] in ("price", "renewal"):
            return None
        if row["change"] in ("organic", "true_up"):
            return "revenue"
        known_values = [
            (row[name] is None, before[name] is None) for name in ("seats", "limit", "plan")
        ]
        if all(current and previous for current, previous in known_values):
            return "revenue"
        return "unclear" if any(current != previous for current, previous in known_values) else None


INORGANIC = ("new", "ramp", "merger", "correction", "contraction", "churn")


def more(current: float | None, before: float | None, share: float) -> bool:
    if current is None or before is None:
        return False
    return current > before and (
        current >= before * (1 + share) or current / before - 1 >= share - 1e-9
    )


def higher_plan(row: Row, before: Row) -> bool:
    if row["plan"] is None or before["plan"] is None or row["plan"] == before["plan"]:
        return False
    if row["rank"] is not None and before["rank"] is not None:
        return bool(row["rank"] > before["rank"])
    return more(row["mrr"], before["mrr"], 0)


def still_above(final: Row, before: Row) -> bool:
    """Check that the final plan is another one, and not one known to be lower."""
    if final["plan"] is None or before["plan"] is None or final["plan"] == before["plan"]:
        return False
    if final["rank"] is not None and before["rank"] is not None:
        return bool(final["rank"] > before["rank"])
    if final["mrr"] is None or before["mrr"] is None:
        return True
    return bool(final["mrr"] > before["mrr"])
