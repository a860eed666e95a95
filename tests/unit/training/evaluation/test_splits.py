"""A cutoff trains only on what was known at it, and every as-of is tested once."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data.config.settings import OutcomeConfig
from tests.tables import build_timeline
from training import labels
from training.evaluation import splits

START = date(2024, 1, 1)
as_ofs = st.lists(st.integers(0, 90).map(lambda week: START + timedelta(weeks=week)), max_size=40)


@given(as_ofs, st.none() | st.integers(-5, 100), st.integers(1, 12))
def test_every_as_of_from_the_first_on_is_tested_once_after_its_cutoff(
    days: list[date], week: int | None, months: int
) -> None:
    first = None if week is None else START + timedelta(weeks=week)

    plan = splits.split_walk_forward(days, first=first, refit_months=months)

    sorted_days = sorted(set(days))
    expected = (
        sorted_days[len(sorted_days) * 2 // 3 :]
        if first is None
        else [d for d in sorted_days if d >= first]
    )
    assert [day for split in plan for day in split.test_as_ofs] == expected
    for split in plan:
        assert split.cutoff == splits.to_utc_midnight(split.test_as_ofs[0])
        assert split.test_as_ofs[-1] - split.test_as_ofs[0] < timedelta(days=30 * months)
    assert all(a.cutoff < b.cutoff for a, b in pairwise(plan))


def test_blocks_are_as_long_as_the_refit_interval() -> None:
    days = [START + timedelta(days=30 * month) for month in range(12)]

    plan = splits.split_walk_forward(days, first=days[4], refit_months=3)

    assert [len(split.test_as_ofs) for split in plan] == [3, 3, 2]
    assert [split.cutoff.date() for split in plan] == [days[4], days[7], days[10]]


def moment(day: int) -> datetime:
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame, datetime, OutcomeConfig]:
    """Draw snapshots, a contract history, a cutoff on a window boundary, and the label rules."""
    snapshots = pl.DataFrame(
        {"account_id": "acme", "as_of": [START + timedelta(days=30 * k) for k in range(8)]}
    )
    rules = OutcomeConfig(
        revert_days=draw(st.sampled_from([0, 7])), booking_lag_days=draw(st.sampled_from([0, 5]))
    )
    edges = [30 * k + h + d for k in range(8) for h in (0, 14, 60, 180) for d in (-1, 0, 1, 7, 12)]
    cutoff = moment(draw(st.sampled_from(edges).filter(lambda day: day > 0)))
    seats, rows = 10.0, [_contract(-100, -100, 10.0)]
    for _ in range(draw(st.integers(0, 5))):
        day = draw(st.integers(0, 300))
        seats += draw(st.sampled_from([-5.0, 5.0]))
        rows.append(_contract(day, draw(st.sampled_from([day, day + 40])), max(seats, 1.0)))
    return snapshots, build_timeline(rows), cutoff, rules


def _contract(effective: int, known_day: int, seats: float) -> dict[str, Any]:
    dates = {"effective_date": moment(effective), "known_at": moment(known_day)}
    return {"account_id": "acme"} | dates | {"licensed_seats": seats}


@given(worlds())
@settings(max_examples=30)
def test_no_label_window_ends_after_the_cutoff(
    world: tuple[pl.DataFrame, pl.DataFrame, datetime, OutcomeConfig],
) -> None:
    snapshots, contracts, cutoff, rules = world

    training_set = splits.build_training_set(snapshots, contracts, cutoff, rules)

    assert (
        training_set.snapshots["as_of"].max() is None
        or training_set.snapshots["as_of"].max() < cutoff.date()
    )
    for horizon in (14, 60, 180):
        wait = timedelta(days=horizon + rules.booking_lag_days + rules.revert_days)
        label = training_set.outcomes.select("as_of", label=labels.expansion_label(horizon))
        labelled_as_ofs = label.filter(pl.col("label").is_not_null())["as_of"].to_list()
        assert all(splits.to_utc_midnight(as_of) + wait <= cutoff for as_of in labelled_as_ofs)


@given(worlds())
@settings(max_examples=30)
def test_data_after_the_cutoff_changes_no_label(
    world: tuple[pl.DataFrame, pl.DataFrame, datetime, OutcomeConfig],
) -> None:
    snapshots, contracts, cutoff, rules = world
    known_contracts = contracts.filter(pl.col("known") < cutoff)
    earlier = snapshots.filter(pl.col("as_of") < cutoff.date())

    training_set = splits.build_training_set(snapshots, contracts, cutoff, rules)
    without_future = splits.build_training_set(earlier, known_contracts, cutoff, rules)

    assert_frame_equal(training_set.outcomes, without_future.outcomes)
    assert_frame_equal(training_set.snapshots, without_future.snapshots)


def test_a_label_window_ending_after_the_cutoff_raises_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshots = pl.DataFrame({"account_id": ["acme"], "as_of": [START]})
    contracts = build_timeline([_contract(-100, -100, 10.0)])
    original = labels.build_outcomes

    def build_with_lookahead(*args: Any, cutoff: datetime, **rest: Any) -> pl.DataFrame:
        return original(*args, cutoff=cutoff + timedelta(days=30), **rest)

    monkeypatch.setattr(labels, "build_outcomes", build_with_lookahead)
    with pytest.raises(AssertionError, match="a window of 60 days ends on 2024-03-01, after"):
        splits.build_training_set(snapshots, contracts, moment(40), OutcomeConfig(revert_days=0))
