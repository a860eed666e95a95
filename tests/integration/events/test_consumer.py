"""From an event to the CRM: count, raise one alert, rescore, commit and send."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from serving.store.event_schema import CONSUMER_OFFSETS
from serving.store.lease import Lease, LeaseLostError, acquire_lease
from serving.store.schema import ACCOUNTS, OPPORTUNITIES, TASKS
from tests.integration.events.simulated_company import TODAY, Company, noon

DAY = timedelta(days=1)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path / "company")


def load_severities(company: Company) -> list[tuple[str, str, int, str, str | None]]:
    return [
        (row["account_id"], row["limit"], row["number"], row["severity"], row["close_reason"])
        for row in company.load_alerts()
    ]


def test_an_account_that_fills_its_seats_becomes_an_opportunity_in_the_crm(
    company: Company,
) -> None:
    consumer = company.start_consumer(noon(TODAY))
    company.run_consumer(consumer, noon(TODAY))
    assert load_severities(company) == []

    company.use_seats("acme", 10, noon(TODAY))
    company.run_consumer(consumer, noon(TODAY))

    assert load_severities(company) == [("acme", "seats", 1, "urgent", None)]
    (alert,) = company.load_alerts()
    assert alert["message"] == "10/10 seats in use (100 %), up from 6 in March"
    (account,) = company.load_rows(ACCOUNTS)
    assert account["account_id"] == "acme"
    assert account["changes"].startswith("10/10 seats in use (100 %)")
    assert (account["active_seats"], account["tier"], account["limit"]) == (10, 1, "seats")
    assert account["as_of"] == TODAY
    (opportunity,) = company.load_rows(OPPORTUNITIES)
    assert opportunity["key"] == "acme:seats:1"
    assert (opportunity["state"], opportunity["motion"]) == ("open", "seat add")
    assert len(company.load_rows(TASKS)) == 1


def test_an_alert_is_raised_once_escalated_in_place_and_closed(company: Company) -> None:
    consumer = company.start_consumer(noon(TODAY))
    company.use_seats("acme", 8, noon(TODAY))
    company.run_consumer(consumer, noon(TODAY))
    assert load_severities(company) == []

    for day in range(1, 4):  # no events, only the clock
        company.run_consumer(consumer, noon(TODAY + day * DAY))
    assert load_severities(company) == [("acme", "seats", 1, "nudge", None)]

    company.use_seats("acme", 10, noon(TODAY + 3 * DAY))
    company.use_seats("acme", 10, noon(TODAY + 3 * DAY))
    company.run_consumer(consumer, noon(TODAY + 3 * DAY))
    assert load_severities(company) == [("acme", "seats", 1, "urgent", None)]
    assert len(company.load_rows(OPPORTUNITIES)) == 1

    for day in range(4, 50):  # seats age out of the window
        company.run_consumer(consumer, noon(TODAY + day * DAY))
    assert load_severities(company) == [("acme", "seats", 1, "urgent", "relieved")]
    # Last active on the 18th: in the 30-day window until 17 July; then three whole days.
    assert company.load_alerts()[0]["closed_at"].replace(tzinfo=UTC) == datetime(
        2026, 7, 21, tzinfo=UTC
    )


def test_a_user_of_two_workspaces_counts_once_and_of_two_accounts_twice(
    company: Company,
) -> None:
    consumer = company.start_consumer(noon(TODAY))
    for user in range(9):
        company.receive_event("acme", f"u-{user}", noon(TODAY))
        company.receive_event("acme-eu", f"u-{user}", noon(TODAY))
        company.receive_event("beta", f"u-{user}", noon(TODAY))
    company.receive_event("nobody", "u-1", noon(TODAY))
    company.receive_event("beta-eu", "u-1", noon(TODAY))
    company.run_consumer(consumer, noon(TODAY))

    # Three more users were active before: twelve seats of ten.
    assert [row["used"] for row in company.load_alerts()] == [12.0, 12.0]
    (progress,) = company.load_rows(CONSUMER_OFFSETS)
    assert progress["counts"] == {"events": 29, "unknown_account": 2}


def test_an_account_full_before_the_first_start_raises_no_alert(tmp_path: Path) -> None:
    company = Company(tmp_path / "company")
    rows = (company.folder / "events.csv").read_text().splitlines()[1:]
    days = [TODAY - timedelta(days=day) for day in range(1, 60)]
    full = [
        f"beta,more-{user},{day}T09:00:00Z,view,x,b{user}{day}" for user in range(9) for day in days
    ]
    company.write_table("events", rows + full)
    consumer = company.start_consumer(noon(TODAY))
    company.receive_event("beta", "more-1", noon(TODAY))
    company.run_consumer(consumer, noon(TODAY))

    assert load_severities(company) == [("beta", "seats", 1, "urgent", None)]
    (alert,) = company.load_alerts()
    assert alert["message"] == "above the threshold before monitoring started"
    assert company.load_rows(ACCOUNTS) == []


def test_a_consumer_resumes_where_the_last_one_was_killed(company: Company) -> None:
    first = company.start_consumer(noon(TODAY))
    company.use_seats("acme", 8, noon(TODAY))
    first.poll(noon(TODAY))
    company.use_seats("beta", 8, noon(TODAY + DAY))

    # Three days later, without a consumer in between.
    second = company.start_consumer(noon(TODAY + 3 * DAY))
    company.run_consumer(second, noon(TODAY + 3 * DAY))

    assert load_severities(company) == [
        ("acme", "seats", 1, "nudge", None),
        ("beta", "seats", 1, "nudge", None),
    ]
    acme, beta = (row["opened_at"].date() for row in company.load_alerts())
    assert (acme, beta) == (TODAY + 2 * DAY, TODAY + 3 * DAY)


def test_a_consumer_without_its_lease_writes_nothing(company: Company) -> None:
    first = company.start_consumer(noon(TODAY))
    first.lease.release(company.engine)
    company.use_seats("acme", 10, noon(TODAY))
    assert isinstance(first.lease, Lease)

    with pytest.raises(LeaseLostError):
        first.poll(noon(TODAY))

    assert company.load_alerts() == []


def test_an_idle_consumer_keeps_its_lease(company: Company) -> None:
    start = noon(TODAY)
    consumer = company.start_consumer(start)
    company.run_consumer(consumer, start)
    now = start

    def clock() -> datetime:
        return now

    consumer.lease = replace(consumer.lease, clock=clock)
    for seconds in range(0, 1_200, 20):
        now = start + timedelta(seconds=seconds)
        consumer.heartbeat()

        assert isinstance(acquire_lease(company.engine, consumer.lease.target, clock), str)
    (progress,) = company.load_rows(CONSUMER_OFFSETS)
    assert timedelta(0) <= now - progress["heartbeat_at"].replace(tzinfo=UTC) < timedelta(minutes=1)

    now += timedelta(minutes=4)  # the consumer hangs
    other = acquire_lease(company.engine, consumer.lease.target, clock)
    assert isinstance(other, Lease)
    with pytest.raises(LeaseLostError):
        consumer.heartbeat()


def test_a_larger_contract_closes_the_alert(company: Company) -> None:
    consumer = company.start_consumer(noon(TODAY))
    company.use_seats("acme", 10, noon(TODAY))
    company.run_consumer(consumer, noon(TODAY))
    rows = (company.folder / "subscriptions.csv").read_text().splitlines()[1:]
    company.write_table("subscriptions", [*rows, f"acme,{TODAY},25,,team,250,paid"])

    company.run_consumer(company.start_consumer(noon(TODAY)), noon(TODAY))

    assert load_severities(company) == [("acme", "seats", 1, "urgent", "expanded")]


def test_late_events_and_logged_events_count_once(company: Company) -> None:
    consumer = company.start_consumer(noon(TODAY))
    for user in range(7):
        company.receive_event("acme", f"n-{user}", noon(TODAY - 3 * DAY), received=noon(TODAY))
    company.receive_event("acme", "old", noon(TODAY - 40 * DAY), received=noon(TODAY))
    company.run_consumer(consumer, noon(TODAY))
    assert [row["used"] for row in company.load_alerts()] == [10.0]

    rows = (company.folder / "events.csv").read_text().splitlines()[1:]
    more = [
        f"acme,n-{user},{TODAY - 3 * DAY}T12:00:00Z,view,reports,m-{user + 1}" for user in range(7)
    ]
    company.write_table("events", [*rows, *more])
    again = company.start_consumer(noon(TODAY))

    assert again.snapshot.logged_mask.sum() == 7
    assert again.snapshot.counters.count_active_seats("acme", TODAY) == 10
    assert again.snapshot.counters.count_active_seats("acme", date(2026, 5, 10)) == 7
