"""The page of the runs says how events stand, and why rows were refused."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from web_office import MONDAY, NOW, Office, office, raised

from data.config.webhooks import Webhooks
from serving import store
from serving.events.monitor.repository import ConsumerOffset, save_offset
from serving.store.event_schema import ALERTS, QUARANTINE, WEBHOOK_EVENTS
from serving.web.queries import event_status, run_status

SECRET: Any = {"generic_secret": "a-secret-of-a-webhook-0123456789"}
HOOKS = Webhooks(**SECRET)


def arrived(connection: sa.Connection, count: int, at: datetime) -> None:
    rows = [
        {
            "source": "generic",
            "message_id": f"{at:%H%M%S}-{n}",
            "happened_at": at,
            "received_at": at,
        }
        for n in range(count)
    ]
    connection.execute(sa.insert(WEBHOOK_EVENTS), rows)


def refused(connection: sa.Connection, reason: str, at: datetime, source: str = "generic") -> None:
    row = {"source": source, "reason": reason, "received_at": at, "body": "{}"}
    connection.execute(sa.insert(QUARANTINE).values(row))


def told(page: str) -> str:
    """The part of the page on events, as one reads it."""
    part = page.split('class="events"', maxsplit=1)[1].split("</section>", maxsplit=1)[0]
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", part))


def test_without_a_webhook_the_page_says_so_and_how_to_begin(office: Office) -> None:
    page = told(office.text("/runs"))

    assert "No webhook is set up: no source sends events" in page
    assert "[webhooks]" in page
    assert "Watcher" not in page


def test_how_events_stand_is_told(tmp_path: Path) -> None:
    with office(tmp_path, webhooks=SECRET) as opened:
        minute = timedelta(minutes=1)
        with store.write_transaction(opened.engine) as connection:
            arrived(connection, 5, NOW - 90 * minute)
            arrived(connection, 3, NOW - 7 * minute)
            counts = {"arrivals": 1_205, "unknown_account": 17}
            save_offset(connection, ConsumerOffset(5, MONDAY, counts), NOW - 20 * minute)
            for back in (3, 1, 2):
                refused(connection, "timestamp is too old", NOW - back * minute)
            refused(connection, "<b>event</b> is missing", NOW - 30 * minute, "segment")
        raised(opened.engine, "acc_00002", level="urgent", at=MONDAY)
        raised(opened.engine, "acc_00004", level="nudge", at=MONDAY)
        raised(opened.engine, "acc_00005", level="nudge", at=MONDAY, closed=MONDAY)
        with store.write_transaction(opened.engine) as connection:
            connection.execute(sa.update(ALERTS).values(told_level="urgent"))

        page = told(opened.text("/runs"))

    assert "Taken at /webhooks/generic" in page
    assert "last wrote 2 Jun 2026, 09:10 UTC; 3 events wait to be counted" in page
    assert "Events wait since 2 Jun 2026, 09:23 UTC to be counted." in page
    assert "1,205 events, 17 of them of accounts that the accounts table does not know" in page
    assert "Signals under way 1 urgent, 1 nudge" in page
    assert "1 signal was raised and not passed on to the CRM." in page
    assert "3 × timestamp is too old (generic, the last 2 Jun 2026, 09:29 UTC)" in page
    assert "1 × &lt;b&gt;event&lt;/b&gt; is missing (segment," in page


def test_a_watcher_that_keeps_up_is_well(tmp_path: Path) -> None:
    with office(tmp_path, webhooks=SECRET) as opened:
        page = told(opened.text("/runs"))
        assert "has written nothing yet" in page
        assert "counted Counted" not in page  # nor that all is counted
        with store.write_transaction(opened.engine) as connection:
            arrived(connection, 2, NOW)
            save_offset(connection, ConsumerOffset(2, MONDAY, {"arrivals": 2}), NOW)

        page = told(opened.text("/runs"))

    assert "Health well" in page
    assert "all that arrived is counted" in page
    assert "Refused messages none" in page


def test_what_came_while_there_was_a_webhook_is_still_told(office: Office) -> None:
    with store.write_transaction(office.engine) as connection:
        save_offset(connection, ConsumerOffset(0, MONDAY, {}), NOW)

    page = told(office.text("/runs"))

    assert "no webhook has its secret any more" in page
    assert "last wrote" in page


@given(minutes=st.integers(0, 600), waited=st.integers(0, 300))
def test_silence_is_told_after_five_minutes_and_waiting_after_two(
    minutes: int, waited: int
) -> None:
    written, since = NOW - timedelta(minutes=minutes), NOW - timedelta(seconds=waited)

    found = [*event_status.list_event_problems(written, since, 0, NOW)]

    assert any("written nothing since" in each for each in found) == (minutes > 5)
    assert any("to be counted" in each for each in found) == (waited > 120)


def test_more_than_the_most_is_not_counted_out(office: Office, monkeypatch: Any) -> None:
    monkeypatch.setattr(event_status, "MAX_WAITING", 4)
    with store.write_transaction(office.engine) as connection:
        arrived(connection, 9, NOW)

    found = event_status.load_event_status(office.engine, HOOKS, NOW)

    assert found.waiting == 5
    assert "more than 4 events wait" in told(office.text("/runs"))


def test_refused_rows_and_who_was_left_out_are_told_with_their_reasons(office: Office) -> None:
    page = office.text("/runs")

    assert page.count("<li>3 × events: event_id seen before</li>") == 2
    assert page.count("<li>1 × on trial</li>") == 2
    assert page.count('<details class="counted" open>') == 2  # those of the newest run alone


@given(
    st.dictionaries(
        st.sampled_from(["events", "accounts", "users"]),
        st.dictionaries(st.text("abc", min_size=1), st.integers(0, 9)),
    )
)
def test_reasons_lose_no_row_and_the_most_frequent_come_first(
    quarantine: dict[str, dict[str, int]],
) -> None:
    found = run_status.count_quarantine_reasons({"quarantine": quarantine})

    counts = [count for _, count in found]
    assert sum(counts) == sum(sum(each.values()) for each in quarantine.values())
    assert counts == sorted(counts, reverse=True)
    assert 0 not in counts
