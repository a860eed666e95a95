"""First days, as known from each day on: by a slow definition, and however many rows go at once."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.activity import first_seen

DAY = date(2025, 3, 1)
told = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 9), st.integers(0, 5)),
    max_size=30,
)
Told = list[tuple[str, str, int, int]]


def rows(drawn: Told) -> pl.DataFrame:
    """Account, user, day of use, and the day on which that became known, never before it."""
    return pl.DataFrame(
        [
            (account, user, DAY + timedelta(days), DAY + timedelta(days + late))
            for account, user, days, late in drawn
        ],
        schema={"account": pl.String, "user": pl.String, "day": pl.Date, "known_day": pl.Date},
        orient="row",
    )


def earliest(table: pl.DataFrame) -> set[tuple[object, ...]]:
    return set(first_seen.first_seen_by_known_date(table.lazy(), ["account", "user"]).iter_rows())


@given(told)
def test_each_row_is_news_to_what_was_known_before(drawn: Told) -> None:
    table = rows(drawn)

    found = earliest(table)

    expected: dict[tuple[str, str], list[tuple[date, date]]] = {}
    for account, user, day, known_day in sorted(set(table.iter_rows()), key=lambda r: (r[3], r[2])):
        news = expected.setdefault((account, user), [])
        if not news or day < news[-1][0]:
            news.append((day, known_day))
    assert found == {
        (*key, day, known_day, len(news) > 1)
        for key, news in expected.items()
        for day, known_day in news
    }


@given(told)
def test_it_does_not_matter_how_many_rows_are_grouped_at_once(drawn: Told) -> None:
    table = rows(drawn)
    whole = earliest(table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_seen, "_MAX_GROUP_ROWS", 4)

        assert earliest(table) == whole
