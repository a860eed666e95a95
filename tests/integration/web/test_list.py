"""The list page equals the list in the database: filters, sort order, pagination, CSV."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta, timezone
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import store
from serving.store.schema import LIST_INDEX
from serving.web.queries import account_list, alerts
from serving.web.queries.account_list import NO_CSM
from tests.integration.web.web_client import (
    MONDAY,
    WebFixture,
    build_rows,
    insert_alert,
    open_web_fixture,
    write_list,
)

CHOICES = st.fixed_dictionaries(
    {
        "csm": st.sampled_from(["", "Ada", "Ben", NO_CSM, "Nobody at all"]),
        "tier": st.sampled_from(["", "1", "2", "none"]),
        "limit": st.sampled_from(["", "seats", "usage", "plan", "none"]),
        "segment": st.sampled_from(["", "small", "large", "huge"]),
        "when": st.sampled_from(["", "ready", "capacity"]),
        "q": st.sampled_from(["", "teal", "MILL 1", "acc_0000", "%", "_", "\\", "'", "\0"]),
        "sort": st.sampled_from(["rank", "name", "probability", "ready", "arr", "utilization"]),
    }
)


def matches(row: Any, index: int, filters: dict[str, str]) -> bool:
    """Apply the filters in plain Python."""
    segment = ("small", "large", None)[index % 3]
    ready = row["readiness_date"]
    search = filters["q"].replace("\0", "").lower()
    return all(
        (
            not filters["csm"] or (row["csm"] or NO_CSM) == filters["csm"],
            not filters["tier"] or str(row["tier"] or "none") == filters["tier"],
            not filters["limit"] or row["limit"] == filters["limit"],
            not filters["segment"] or segment == filters["segment"],
            filters["when"] != "capacity" or row["in_weekly_capacity"],
            filters["when"] != "ready"
            or (
                row["outreach_allowed"]
                and ready is not None
                and ready <= MONDAY + timedelta(days=6)
            ),
            search in row["name"].lower() or search in row["account_id"],
        )
    )


def sort_key(row: Any, filters: dict[str, str]) -> Any:
    """Return the sort key in plain Python."""
    last = {"ready": row["readiness_date"], "arr": row["expected_arr"]}.get(filters["sort"], 0)
    first = {
        "rank": row["portfolio_rank"] if filters["csm"] else row["rank"],
        "name": row["name"].lower(),
        "probability": -row["probability"],
        "ready": row["readiness_date"],
        "arr": -(row["expected_arr"] or 0),
        "utilization": -row["seat_utilization"],
    }[filters["sort"]]
    return (last is None, first if last is not None else 0, row["rank"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_web_fixture(tmp_path_factory.mktemp("list")) as opened:
        yield opened


@settings(max_examples=60)
@given(filters=CHOICES)
def test_filters_and_order_agree_with_a_slow_version(
    shared: WebFixture, filters: dict[str, str]
) -> None:
    expected = [row for index, row in enumerate(shared.rows) if matches(row, index, filters)]

    rows = list(csv.DictReader(io.StringIO(shared.client.get("/list.csv", params=filters).text)))

    ids = [row["account_id"] for row in sorted(expected, key=lambda row: sort_key(row, filters))]
    assert [row["account_id"] for row in rows] == ids
    page = shared.get_text("/", params=filters)
    assert re.findall(r'href="/account\?id=(\w+)"', page) == ids[:50]


@given(st.sampled_from([{}, {"csm": "Ada"}, {"tier": "1", "sort": "name"}]), st.integers(1, 9))
def test_a_page_states_its_rows_and_links_to_both_ends(
    shared: WebFixture, filters: dict[str, str], page_number: int
) -> None:
    ids = [row["account_id"] for row in csv.DictReader(read_list_file(shared, filters))]
    pages = -(-len(ids) // 50)

    page = shared.get_text("/", params={**filters, "page": str(page_number)})

    shown = re.findall(r'href="/account\?id=(\w+)"', page)
    counts = re.findall(r'role="status">(?:(\d+)–(\d+) of )?(\d+) accounts', page)[0]
    links = re.findall(r'rel="(first|prev|next|last)" href="/(\?[^"]*)"', page)
    queries = {rel: dict(parse_qsl(unescape(query)[1:])) for rel, query in links}
    assert shown == ids[(page_number - 1) * 50 : page_number * 50]
    assert counts[2] == str(len(ids))
    assert ("past the end of the list" in page) == (not shown)
    if shown and pages > 1:
        assert shown == ids[int(counts[0]) - 1 : int(counts[1])]
    assert {rel: int(each.pop("page", 1)) for rel, each in queries.items()} == (
        {"first": 1, "prev": min(page_number - 1, pages)} if page_number > 1 and pages > 1 else {}
    ) | ({"next": page_number + 1, "last": pages} if page_number < pages else {})
    assert all(each == filters for each in queries.values())


def read_list_file(site: WebFixture, filters: dict[str, str]) -> io.StringIO:
    return io.StringIO(site.client.get("/list.csv", params=filters).text)


def test_the_numbers_above_count_the_list(shared: WebFixture) -> None:
    values = re.findall(r'class="value">(?:<a [^>]*>)?([\d,]+)<', shared.get_text("/"))

    week = sum(bool(row["in_weekly_capacity"]) for row in shared.rows)
    soon = MONDAY + timedelta(days=6)
    ready = sum(
        row["outreach_allowed"]
        and row["readiness_date"] is not None
        and row["readiness_date"] <= soon
        for row in shared.rows
    )
    assert values == [str(week), str(ready), "120"]


def test_exported_text_is_never_a_formula(site: WebFixture) -> None:
    rows = build_rows(2, names={0: '=HYPERLINK("http://evil","x")', 1: 'A "quoted",\nname'})
    write_list(site.engine, rows)

    first, second = csv.DictReader(io.StringIO(site.client.get("/list.csv").text))

    assert first["name"] == '\'=HYPERLINK("http://evil","x")'
    assert second["name"] == 'A "quoted",\nname'


def test_invalid_parameters_are_named(shared: WebFixture) -> None:
    for filters in ({"sort": "csm; drop table scores"}, {"page": "0"}, {"page": str(10**30)}):
        response = shared.client.get("/", params=filters)

        assert response.status_code == 422
        assert "Invalid parameters" in response.text


def test_new_alerts_are_shown_and_can_be_filtered(site: WebFixture) -> None:
    insert_alert(site.engine, "acc_00002", severity="urgent", at=MONDAY + timedelta(days=1))
    insert_alert(site.engine, "acc_00004", severity="nudge", at=MONDAY - timedelta(days=7))
    insert_alert(site.engine, "acc_00005", severity="nudge", at=MONDAY - timedelta(days=8))
    insert_alert(site.engine, "acc_00006", severity="urgent", at=MONDAY, closed=MONDAY)

    page = site.get_text("/", params={"when": "alert"})

    assert re.findall(r'href="/account\?id=(\w+)"', page) == ["acc_00002", "acc_00004"]
    assert 'href="/?when=alert">2<' in page
    assert 'class="pill urgent">urgent: seats<' in page
    assert "9/10 seats in use (90%), up from 6 in March" in page
    assert site.client.get("/list.csv?when=alert").text.count("acc_") == 2


def test_without_new_alerts_none_are_mentioned(site: WebFixture) -> None:
    assert "New alerts" not in site.get_text("/")


@given(st.integers(-40 * 24, 40 * 24), st.integers(-12, 12))
def test_new_alerts_are_the_same_in_every_time_zone(after: int, hours: int) -> None:
    at = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(hours=after)
    bare, zoned = at.replace(tzinfo=None), at.astimezone(timezone(timedelta(hours=hours)))

    is_new = [
        alerts.is_new_alert({"closed_at": None, "severity_at": each}, MONDAY)
        for each in (bare, zoned)
    ]

    assert is_new == [after >= -7 * 24] * 2
    assert [store.as_utc(bare), store.as_utc(zoned)] == [at, at]


def test_dates_are_relative_to_today_in_the_week_of_the_list_only() -> None:
    for days, reference_days in ((-1, 0), (0, 0), (3, 3), (6, 6), (7, 0), (180, 0)):
        expected = MONDAY + timedelta(days=reference_days)
        assert account_list.get_reference_date(MONDAY, MONDAY + timedelta(days=days)) == expected


def test_an_old_list_shows_its_age(site: WebFixture) -> None:
    assert "days ago" not in site.get_text("/")
    with store.write_transaction(site.engine) as connection:
        for table in ("runs", "list_index", "scores"):
            connection.execute(
                sa.text(f"UPDATE {table} SET as_of = '2026-05-04' WHERE as_of = '2026-06-01'")
            )
            connection.execute(sa.text(f"DELETE FROM {table} WHERE as_of > '2026-05-04'"))

    assert "(<strong>29 days ago</strong>)" in site.get_text("/")


def test_table_headers_sort_and_keep_the_filters(shared: WebFixture) -> None:
    page = shared.get_text("/", params={"tier": "1", "sort": "probability"})

    assert 'aria-sort="descending"><a href="/?tier=1&amp;sort=probability">Probability' in page
    assert 'href="/?tier=1&amp;sort=name">Account' in page
    assert page.count("aria-sort") == 1


def test_an_empty_list_does_not_mention_filters(site: WebFixture) -> None:
    write_list(site.engine, build_rows(1))
    assert "account in 1 portfolio" in site.get_text("/")
    with store.write_transaction(site.engine) as connection:
        connection.execute(sa.delete(LIST_INDEX))

    assert "This list is empty" in site.get_text("/")
    assert "No accounts match the filters" in site.get_text("/", params={"q": "x"})


def test_the_partial_table_equals_the_table_of_the_page(shared: WebFixture) -> None:
    for filters in ({}, {"page": "2"}, {"csm": "Ada"}, {"q": "nobody"}, {"when": "ready"}):
        whole = shared.get_text("/", params=filters)
        part = shared.get_text("/", params=filters, headers={"HX-Target": "list"})

        assert part.strip() in whole
        assert part.lstrip().startswith('<section id="list"')


def test_filter_choices_show_their_counts(shared: WebFixture) -> None:
    page = shared.get_text("/")

    for name in ("Ada", "Ben", None):
        count = sum(row["csm"] == name for row in shared.rows)
        assert f">{name or 'No CSM'} ({count})</option>" in page
    assert page.index(">Ada (") < page.index(">Ben (") < page.index(">No CSM (")
    assert [f">{name} (40)</option>" in page for name in ("small", "large")] == [True, True]


def test_an_account_without_a_name_shows_its_id(site: WebFixture) -> None:
    write_list(site.engine, build_rows(2, names={0: " ", 1: ""}))

    for page in (site.get_text("/"), site.get_text("/account?id=acc_00000")):
        assert re.search(r"<(a|h1)[^>]*>acc_00000<", page)
