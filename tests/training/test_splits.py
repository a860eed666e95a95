"""A cut trains on nothing it could not have known, and every as-of is judged once."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data.config.settings import Outcome
from data.schemas import SubscriptionSchema
from features import subscription_timeline
from training import labels
from training.evaluation import splits

START = date(2024, 1, 1)
as_ofs = st.lists(st.integers(0, 90).map(lambda week: START + timedelta(weeks=week)), max_size=40)
ROW = dict.fromkeys(SubscriptionSchema.create_empty().schema) | {"account_id": "acme"}


@given(as_ofs, st.none() | st.integers(-5, 100), st.integers(1, 12))
def test_every_as_of_from_the_first_on_is_judged_once_and_not_before_its_cut(
    days: list[date], week: int | None, months: int
) -> None:
    first = None if week is None else START + timedelta(weeks=week)

    plan = splits.walk_forward(days, first=first, refit_months=months)

    rising = sorted(set(days))
    expected = (
        rising[len(rising) * 2 // 3 :] if first is None else [d for d in rising if d >= first]
    )
    assert [day for split in plan for day in split.test_as_ofs] == expected
    for split in plan:
        assert split.cutoff == splits.utc_midnight(split.test_as_ofs[0])
        assert split.test_as_ofs[-1] - split.test_as_ofs[0] < timedelta(days=30 * months)
    assert all(a.cutoff < b.cutoff for a, b in pairwise(plan))


def test_blocks_are_as_long_as_a_model_is_kept() -> None:
    days = [START + timedelta(days=30 * month) for month in range(12)]

    plan = splits.walk_forward(days, first=days[4], refit_months=3)

    assert [len(split.test_as_ofs) for split in plan] == [3, 3, 2]
    assert [split.cutoff.date() for split in plan] == [days[4], days[7], days[10]]


def test_by_default_the_last_third_is_judged() -> None:
    days = [START + timedelta(days=30 * month) for month in range(9)]

    plan = splits.walk_forward(days, first=None, refit_months=36)

    assert [split.test_as_ofs for split in plan] == [tuple(days[6:])]


def moment(day: int) -> datetime:
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame, datetime, Outcome]:
    """Snapshots, a contract history, a cut on the edge of windows, and the rules of outcomes."""
    snapshots = pl.DataFrame(
        {"account_id": "acme", "as_of": [START + timedelta(days=30 * k) for k in range(8)]}
    )
    rules = Outcome(
        revert_days=draw(st.sampled_from([0, 7])), booking_lag_days=draw(st.sampled_from([0, 5]))
    )
    edges = [30 * k + h + d for k in range(8) for h in (0, 14, 60, 180) for d in (-1, 0, 1, 7, 12)]
    cut = moment(draw(st.sampled_from(edges).filter(lambda day: day > 0)))
    seats, rows = 10.0, [_contract(-100, -100, 10.0)]
    for _ in range(draw(st.integers(0, 5))):
        day = draw(st.integers(0, 300))
        seats += draw(st.sampled_from([-5.0, 5.0]))
        rows.append(_contract(day, draw(st.sampled_from([day, day + 40])), max(seats, 1.0)))
    table = pl.DataFrame(rows, schema=SubscriptionSchema.create_empty().schema)
    return snapshots, subscription_timeline.build_timeline(table), cut, rules


def _contract(effective: int, known: int, seats: float) -> dict[str, Any]:
    dates = {"effective_date": moment(effective), "known_at": moment(known)}
    return ROW | dates | {"licensed_seats": seats}


@given(worlds())
@settings(max_examples=30)
def test_no_label_reaches_past_the_cut(
    world: tuple[pl.DataFrame, pl.DataFrame, datetime, Outcome],
) -> None:
    snapshots, contracts, cut, rules = world

    known = splits.build_training_set(snapshots, contracts, cut, rules)

    assert known.snapshots["as_of"].max() is None or known.snapshots["as_of"].max() < cut.date()
    for horizon in (14, 60, 180):
        wait = timedelta(days=horizon + rules.booking_lag_days + rules.revert_days)
        label = known.outcomes.select("as_of", label=labels.expanded_within(horizon))
        told = label.filter(pl.col("label").is_not_null())["as_of"].to_list()
        assert all(splits.utc_midnight(as_of) + wait <= cut for as_of in told)


@given(worlds())
@settings(max_examples=30)
def test_what_comes_after_the_cut_changes_no_label(
    world: tuple[pl.DataFrame, pl.DataFrame, datetime, Outcome],
) -> None:
    snapshots, contracts, cut, rules = world
    past = contracts.filter(pl.col("known") < cut)
    earlier = snapshots.filter(pl.col("as_of") < cut.date())

    known = splits.build_training_set(snapshots, contracts, cut, rules)
    without = splits.build_training_set(earlier, past, cut, rules)

    assert_frame_equal(known.outcomes, without.outcomes)
    assert_frame_equal(known.snapshots, without.snapshots)


def test_a_label_that_did_reach_past_the_cut_would_be_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshots = pl.DataFrame({"account_id": ["acme"], "as_of": [START]})
    contracts = subscription_timeline.build_timeline(
        pl.DataFrame([_contract(-100, -100, 10.0)], schema=SubscriptionSchema.create_empty().schema)
    )
    honest = labels.build_outcomes

    def peeking(*args: Any, cut: datetime, **rest: Any) -> pl.DataFrame:
        return honest(*args, cutoff=cut + timedelta(days=30), **rest)

    monkeypatch.setattr(labels, "build_outcomes", peeking)
    with pytest.raises(AssertionError, match="a window of 60 days ends on 2024-03-01, after"):
        splits.build_training_set(snapshots, contracts, moment(40), Outcome(revert_days=0))
