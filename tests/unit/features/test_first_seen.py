"""First-seen dates by known date: against a slow definition, and for any group size."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.activity import first_seen

DAY = date(2025, 3, 1)
observations = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 9), st.integers(0, 5)),
    max_size=30,
)
Told = list[tuple[str, str, int, int]]


def rows(observed: Told) -> pl.DataFrame:
    """Generate account, user, day of use, and the day it became known, never before it."""
    return pl.DataFrame(
        [
            (account, user, DAY + timedelta(days), DAY + timedelta(days + late))
            for account, user, days, late in observed
        ],
        schema={"account": pl.String, "user": pl.String, "day": pl.Date, "known_day": pl.Date},
        orient="row",
    )


def earliest(table: pl.DataFrame) -> set[tuple[object, ...]]:
    return set(first_seen.first_seen_by_known_date(table.lazy(), ["account", "user"]).iter_rows())


@given(observations)
def test_each_row_is_earlier_than_all_days_known_before(observed: Told) -> None:
    table = rows(observed)

    result = earliest(table)

    expected: dict[tuple[str, str], list[tuple[date, date]]] = {}
    for account, user, day, known_day in sorted(set(table.iter_rows()), key=lambda r: (r[3], r[2])):
        new_days = expected.setdefault((account, user), [])
        if not new_days or day < new_days[-1][0]:
            new_days.append((day, known_day))
    assert result == {
        (*key, day, known_day, len(new_days) > 1)
        for key, new_days in expected.items()
        for day, known_day in new_days
    }


@given(observations)
def test_the_group_size_does_not_change_the_result(observed: Told) -> None:
    table = rows(observed)
    all_at_once = earliest(table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_seen, "MAX_GROUP_ROWS", 4)

        assert earliest(table) == all_at_once
