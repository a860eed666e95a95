"""The list on the page is the list in the database: filtered, ordered, paged, and as a file."""

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
from web_office import MONDAY, Office, enter, lines, raised

from serving import store
from serving.store.schema import LIST_INDEX
from serving.web import templating
from serving.web.queries import account_list, alerts
from serving.web.queries.list_filters import NO_CSM

CHOICES = st.fixed_dictionaries(
    {
        "csm": st.sampled_from(["", "Ada", "Ben", NO_CSM, "Nobody at all"]),
        "tier": st.sampled_from(["", "1", "2", "none"]),
        "limit": st.sampled_from(["", "seats", "usage", "plan", "none"]),
        "segment": st.sampled_from(["", "small", "large", "huge"]),
        "when": st.sampled_from(["", "ready", "week"]),
        "q": st.sampled_from(["", "teal", "MILL 1", "acc_0000", "%", "_", "\\", "'", "\0"]),
        "sort": st.sampled_from(["rank", "name", "chance", "ready", "arr", "full"]),
    }
)


def fits(row: Any, place: int, asked: dict[str, str]) -> bool:
    """The filters, written once more and slowly."""
    segment = ("small", "large", None)[place % 3]
    ready = row["readiness_date"]
    part = asked["q"].replace("\0", "").lower()
    return all(
        (
            not asked["csm"] or (row["csm"] or NO_CSM) == asked["csm"],
            not asked["tier"] or str(row["tier"] or "none") == asked["tier"],
            not asked["limit"] or row["limit"] == asked["limit"],
            not asked["segment"] or segment == asked["segment"],
            asked["when"] != "week" or row["this_week"],
            asked["when"] != "ready"
            or (row["ask"] and ready is not None and ready <= MONDAY + timedelta(days=6)),
            part in row["name"].lower() or part in row["account_id"],
        )
    )


def key(row: Any, asked: dict[str, str]) -> Any:
    """The order, likewise."""
    last = {"ready": row["readiness_date"], "arr": row["expected_arr"]}.get(asked["sort"], 0)
    first = {
        "rank": row["book_rank"] if asked["csm"] else row["rank"],
        "name": row["name"].lower(),
        "chance": -row["probability"],
        "ready": row["readiness_date"],
        "arr": -(row["expected_arr"] or 0),
        "full": -row["seat_utilization"],
    }[asked["sort"]]
    return (last is None, first if last is not None else 0, row["rank"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from web_office import office  # noqa: PLC0415 - found by the conftest beside

    with office(tmp_path_factory.mktemp("list")) as opened:
        yield opened


@settings(max_examples=60)
@given(asked=CHOICES)
def test_filters_and_order_agree_with_a_slow_version(shared: Office, asked: dict[str, str]) -> None:
    wanted = [row for place, row in enumerate(shared.rows) if fits(row, place, asked)]

    found = list(csv.DictReader(io.StringIO(shared.browser.get("/list.csv", params=asked).text)))

    ids = [row["account_id"] for row in sorted(wanted, key=lambda row: key(row, asked))]
    assert [row["account_id"] for row in found] == ids
    page = shared.text("/", params=asked)
    assert re.findall(r'href="/account\?id=(\w+)"', page) == ids[:50]


def test_pages_hold_every_account_once(shared: Office) -> None:
    pages = [shared.text("/", params={"page": page}) for page in (1, 2, 3)]

    found = [each for page in pages for each in re.findall(r'href="/account\?id=(\w+)"', page)]

    assert found == [row["account_id"] for row in shared.rows]
    assert 'rel="next"' not in pages[-1]
    assert 'rel="prev"' not in pages[0]
    assert "ends before this page" in shared.text("/", params={"page": 9})


@given(st.sampled_from([{}, {"csm": "Ada"}, {"tier": "1", "sort": "name"}]), st.integers(1, 9))
def test_a_page_says_which_lines_it_holds_and_leads_to_both_ends(
    shared: Office, asked: dict[str, str], at: int
) -> None:
    ids = [row["account_id"] for row in csv.DictReader(_file(shared, asked))]
    pages = -(-len(ids) // 50)

    page = shared.text("/", params={**asked, "page": str(at)})

    held = re.findall(r'href="/account\?id=(\w+)"', page)
    said = re.findall(r'role="status">(?:(\d+)–(\d+) of )?(\d+) accounts', page)[0]
    turns = re.findall(r'rel="(first|prev|next|last)" href="/(\?[^"]*)"', page)
    leads = {rel: dict(parse_qsl(unescape(query)[1:])) for rel, query in turns}
    assert held == ids[(at - 1) * 50 : at * 50]
    assert said[2] == str(len(ids))
    if held and pages > 1:
        assert held == ids[int(said[0]) - 1 : int(said[1])]
    assert {rel: int(each.pop("page", 1)) for rel, each in leads.items()} == (
        {"first": 1, "prev": min(at - 1, pages)} if at > 1 and pages > 1 else {}
    ) | ({"next": at + 1, "last": pages} if at < pages else {})
    assert all(each == asked for each in leads.values())


def _file(office: Office, asked: dict[str, str]) -> io.StringIO:
    return io.StringIO(office.browser.get("/list.csv", params=asked).text)


def test_a_change_of_filters_sends_the_table_alone(shared: Office) -> None:
    part = shared.text("/", headers={"HX-Target": "list"})

    assert part.lstrip().startswith('<section id="list"')
    assert "<html" not in part


def test_the_numbers_above_count_the_list(shared: Office) -> None:
    values = re.findall(r'class="value">(?:<a [^>]*>)?([\d,]+)<', shared.text("/"))

    week = sum(bool(row["this_week"]) for row in shared.rows)
    soon = MONDAY + timedelta(days=6)
    ready = sum(
        row["ask"] and row["readiness_date"] is not None and row["readiness_date"] <= soon
        for row in shared.rows
    )
    assert values == [str(week), str(ready), "120"]


def test_text_in_the_file_is_no_formula(office: Office) -> None:
    rows = lines(2, names={0: '=HYPERLINK("http://evil","x")', 1: 'A "quoted",\nname'})
    enter(office.engine, rows)

    first, second = csv.DictReader(io.StringIO(office.browser.get("/list.csv").text))

    assert first["name"] == '\'=HYPERLINK("http://evil","x")'
    assert second["name"] == 'A "quoted",\nname'


def test_what_cannot_be_asked_for_is_said(shared: Office) -> None:
    for asked in ({"sort": "csm; drop table scores"}, {"page": "0"}, {"page": str(10**30)}):
        answer = shared.browser.get("/", params=asked)

        assert answer.status_code == 422
        assert "cannot be asked for" in answer.text


def test_whoever_filled_up_of_late_is_told_and_can_be_asked_for(office: Office) -> None:
    raised(office.engine, "acc_00002", level="urgent", at=MONDAY + timedelta(days=1))
    raised(office.engine, "acc_00004", level="nudge", at=MONDAY - timedelta(days=7))
    raised(office.engine, "acc_00005", level="nudge", at=MONDAY - timedelta(days=8))
    raised(office.engine, "acc_00006", level="urgent", at=MONDAY, closed=MONDAY)

    page = office.text("/", params={"when": "signal"})

    assert re.findall(r'href="/account\?id=(\w+)"', page) == ["acc_00002", "acc_00004"]
    assert 'href="/?when=signal">2<' in page
    assert 'class="pill urgent">urgent: seats<' in page
    assert "9/10 seats in use (90%), up from 6 in March" in page
    assert office.browser.get("/list.csv?when=signal").text.count("acc_") == 2


def test_where_nobody_filled_up_nothing_is_said_of_it(office: Office) -> None:
    assert "Fresh signals" not in office.text("/")


@given(st.integers(-40 * 24, 40 * 24), st.integers(-12, 12))
def test_fresh_is_the_same_in_every_zone(after: int, hours: int) -> None:
    at = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(hours=after)
    bare, zoned = at.replace(tzinfo=None), at.astimezone(timezone(timedelta(hours=hours)))

    told = [
        alerts.is_new_alert({"closed_at": None, "level_at": each}, MONDAY) for each in (bare, zoned)
    ]

    assert told == [after >= -7 * 24] * 2
    assert [templating.as_utc(bare), templating.as_utc(zoned)] == [at, at]


def test_dates_are_told_against_today_in_the_week_of_the_list_only() -> None:
    for days, told in ((-1, 0), (0, 0), (3, 3), (6, 6), (7, 0), (180, 0)):
        expected = MONDAY + timedelta(days=told)
        assert account_list.get_reference_date(MONDAY, MONDAY + timedelta(days=days)) == expected


def test_an_old_list_says_how_old_it_is(office: Office) -> None:
    assert "days ago" not in office.text("/")
    with store.write_transaction(office.engine) as connection:
        for table in ("runs", "books", "scores"):
            connection.execute(
                sa.text(f"UPDATE {table} SET as_of = '2026-05-04' WHERE as_of = '2026-06-01'")
            )
            connection.execute(sa.text(f"DELETE FROM {table} WHERE as_of > '2026-05-04'"))

    assert "(<strong>29 days ago</strong>)" in office.text("/")


def test_the_heads_of_the_table_order_it_and_keep_the_filters(shared: Office) -> None:
    page = shared.text("/", params={"tier": "1", "sort": "chance"})

    assert 'aria-sort="descending"><a href="/?tier=1&amp;sort=chance">Chance' in page
    assert 'href="/?tier=1&amp;sort=name">Account' in page
    assert page.count("aria-sort") == 1


def test_an_empty_list_does_not_speak_of_filters(office: Office) -> None:
    enter(office.engine, lines(1))
    assert "account in 1 book" in office.text("/")
    with store.write_transaction(office.engine) as connection:
        connection.execute(sa.delete(LIST_INDEX))

    assert "Nobody is on this list" in office.text("/")
    assert "Nothing on the list fits" in office.text("/", params={"q": "x"})


def test_the_table_alone_is_the_table_of_the_page(shared: Office) -> None:
    for asked in ({}, {"page": "2"}, {"csm": "Ada"}, {"q": "nobody"}, {"when": "ready"}):
        whole = shared.text("/", params=asked)
        part = shared.text("/", params=asked, headers={"HX-Target": "list"})

        assert part.strip() in whole


def test_what_can_be_chosen_is_counted(shared: Office) -> None:
    page = shared.text("/")

    for name in ("Ada", "Ben", None):
        count = sum(row["csm"] == name for row in shared.rows)
        assert f">{name or 'Nobody'} ({count})</option>" in page
    assert page.index(">Ada (") < page.index(">Ben (") < page.index(">Nobody (")
    assert [f">{name} (40)</option>" in page for name in ("small", "large")] == [True, True]


def test_an_account_without_a_name_goes_by_its_id(office: Office) -> None:
    enter(office.engine, lines(2, names={0: " ", 1: ""}))

    for page in (office.text("/"), office.text("/account?id=acc_00000")):
        assert re.search(r"<(a|h1)[^>]*>acc_00000<", page)
