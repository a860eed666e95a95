"""The runs page: event status and reasons for rejected rows."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import WebhooksConfig
from serving import store
from serving.events.monitor.repository import ConsumerOffset, save_offset
from serving.store.event_schema import ALERTS, QUARANTINE, WEBHOOK_EVENTS
from serving.web.queries import event_status, run_status
from tests.integration.web.web_client import MONDAY, NOW, WebFixture, insert_alert, open_web_fixture

SECRET: Any = {"generic_secret": "a-secret-of-a-webhook-0123456789"}
WEBHOOKS = WebhooksConfig(**SECRET)


def insert_events(connection: sa.Connection, count: int, at: datetime) -> None:
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


def insert_rejection(
    connection: sa.Connection, reason: str, at: datetime, source: str = "generic"
) -> None:
    row = {"source": source, "reason": reason, "received_at": at, "body": "{}"}
    connection.execute(sa.insert(QUARANTINE).values(row))


def read_event_section(page: str) -> str:
    """Return the text of the event section of the page."""
    part = page.split('class="events"', maxsplit=1)[1].split("</section>", maxsplit=1)[0]
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", part))


def test_without_a_webhook_the_page_explains_the_setup(site: WebFixture) -> None:
    page = read_event_section(site.get_text("/runs"))

    assert "No webhook is configured" in page
    assert "[webhooks]" in page
    assert "Consumer" not in page


def test_the_page_shows_the_event_status(tmp_path: Path) -> None:
    with open_web_fixture(tmp_path, webhooks=SECRET) as opened:
        minute = timedelta(minutes=1)
        with store.write_transaction(opened.engine) as connection:
            insert_events(connection, 5, NOW - 90 * minute)
            insert_events(connection, 3, NOW - 7 * minute)
            counts = {"events": 1_205, "unknown_account": 17}
            save_offset(connection, ConsumerOffset(5, MONDAY, counts), NOW - 20 * minute)
            for back in (3, 1, 2):
                insert_rejection(connection, "timestamp is too old", NOW - back * minute)
            insert_rejection(connection, "<b>event</b> is missing", NOW - 30 * minute, "segment")
        insert_alert(opened.engine, "acc_00002", severity="urgent", at=MONDAY)
        insert_alert(opened.engine, "acc_00004", severity="nudge", at=MONDAY)
        insert_alert(opened.engine, "acc_00005", severity="nudge", at=MONDAY, closed=MONDAY)
        with store.write_transaction(opened.engine) as connection:
            connection.execute(sa.update(ALERTS).values(committed_severity="urgent"))

        page = read_event_section(opened.get_text("/runs"))

    assert "Routes /webhooks/generic" in page
    assert "last heartbeat 2 Jun 2026, 09:10 UTC; 3 events waiting" in page
    assert "Events have been waiting since 2 Jun 2026, 09:23 UTC." in page
    assert "1,205 events, 17 of unknown accounts" in page
    assert "Open alerts 1 urgent, 1 nudge" in page
    assert "1 alert was raised and not sent to the CRM." in page
    assert "3 × timestamp is too old (generic, last 2 Jun 2026, 09:29 UTC)" in page
    assert "1 × &lt;b&gt;event&lt;/b&gt; is missing (segment," in page


def test_a_consumer_that_keeps_up_is_ok(tmp_path: Path) -> None:
    with open_web_fixture(tmp_path, webhooks=SECRET) as opened:
        page = read_event_section(opened.get_text("/runs"))
        assert "No heartbeat from the event consumer yet" in page
        assert "no events waiting" not in page
        with store.write_transaction(opened.engine) as connection:
            insert_events(connection, 2, NOW)
            save_offset(connection, ConsumerOffset(2, MONDAY, {"events": 2}), NOW)

        page = read_event_section(opened.get_text("/runs"))

    assert "Health ok" in page
    assert "no events waiting" in page
    assert "Rejected messages none" in page


def test_past_events_are_shown_after_a_webhook_is_removed(site: WebFixture) -> None:
    with store.write_transaction(site.engine) as connection:
        save_offset(connection, ConsumerOffset(0, MONDAY, {}), NOW)

    page = read_event_section(site.get_text("/runs"))

    assert "no webhook secret is set any more" in page
    assert "last heartbeat" in page


@given(minutes=st.integers(0, 600), waited=st.integers(0, 300))
def test_silence_is_reported_after_five_minutes_and_waiting_after_two(
    minutes: int, waited: int
) -> None:
    written, since = NOW - timedelta(minutes=minutes), NOW - timedelta(seconds=waited)

    problems = [*event_status.list_event_problems(written, since, 0, NOW)]

    assert any("No heartbeat from the event consumer since" in each for each in problems) == (
        minutes > 5
    )
    assert any("have been waiting since" in each for each in problems) == (waited > 120)


def test_waiting_events_are_counted_up_to_a_maximum(site: WebFixture, monkeypatch: Any) -> None:
    monkeypatch.setattr(event_status, "MAX_WAITING", 4)
    with store.write_transaction(site.engine) as connection:
        insert_events(connection, 9, NOW)

    status = event_status.load_event_status(site.engine, WEBHOOKS, NOW)

    assert status.waiting == 5
    assert "more than 4 events waiting" in read_event_section(site.get_text("/runs"))


def test_rejected_rows_and_unlisted_accounts_show_their_reasons(site: WebFixture) -> None:
    page = site.get_text("/runs")

    assert page.count("<li>3 × events: duplicate event_id</li>") == 2
    assert page.count("<li>1 × on trial</li>") == 2
    assert page.count('<details class="reason-counts" open>') == 2  # only those of the newest run


@given(
    st.dictionaries(
        st.sampled_from(["events", "accounts", "users"]),
        st.dictionaries(st.text("abc", min_size=1), st.integers(0, 9)),
    )
)
def test_reasons_cover_every_row_in_descending_order(
    quarantine: dict[str, dict[str, int]],
) -> None:
    reasons = run_status.count_quarantine_reasons({"quarantine": quarantine})

    counts = [count for _, count in reasons]
    assert sum(counts) == sum(sum(each.values()) for each in quarantine.values())
    assert counts == sorted(counts, reverse=True)
    assert 0 not in counts
