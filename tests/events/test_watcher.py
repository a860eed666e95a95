"""From an event to the CRM: counted, signalled once, scored, put down and sent."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from event_company import TODAY, Company, noon

from serving.delivery.crm.sql.schema import ACCOUNTS, OPPORTUNITIES, TASKS
from serving.store.event_schema import CONSUMER_OFFSETS
from serving.store.lease import Lease, LeaseLostError, acquire_lease

DAY = timedelta(days=1)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path / "company")


def levels(company: Company) -> list[tuple[str, str, int, str, str | None]]:
    return [
        (row["account_id"], row["limit"], row["number"], row["level"], row["ending"])
        for row in company.signals()
    ]


def test_an_account_that_fills_its_seats_is_an_opportunity_in_the_crm(company: Company) -> None:
    at_work = company.start(noon(TODAY))
    company.follow(at_work, noon(TODAY))
    assert levels(company) == []

    company.fill("acme", 10, noon(TODAY))
    company.follow(at_work, noon(TODAY))

    assert levels(company) == [("acme", "seats", 1, "urgent", None)]
    (signal,) = company.signals()
    assert signal["words"] == "10/10 seats in use (100 %), up from 6 in March"
    (account,) = company.rows(ACCOUNTS)
    assert account["account_id"] == "acme"
    assert account["changed"].startswith("10/10 seats in use (100 %)")
    assert (account["active_seats"], account["tier"], account["limit"]) == (10, 1, "seats")
    assert account["as_of"] == TODAY
    (opportunity,) = company.rows(OPPORTUNITIES)
    assert opportunity["key"] == "acme:seats:1"
    assert (opportunity["state"], opportunity["motion"]) == ("open", "seat add")
    assert len(company.rows(TASKS)) == 1


def test_a_signal_is_raised_once_escalated_in_place_and_closed(company: Company) -> None:
    at_work = company.start(noon(TODAY))
    company.fill("acme", 8, noon(TODAY))
    company.follow(at_work, noon(TODAY))
    assert levels(company) == []

    for day in range(1, 4):  # nobody does anything: the clock alone
        company.follow(at_work, noon(TODAY + day * DAY))
    assert levels(company) == [("acme", "seats", 1, "nudge", None)]

    company.fill("acme", 10, noon(TODAY + 3 * DAY))
    company.fill("acme", 10, noon(TODAY + 3 * DAY))
    company.follow(at_work, noon(TODAY + 3 * DAY))
    assert levels(company) == [("acme", "seats", 1, "urgent", None)]
    assert len(company.rows(OPPORTUNITIES)) == 1

    for day in range(4, 50):  # the seats age out in silence
        company.follow(at_work, noon(TODAY + day * DAY))
    assert levels(company) == [("acme", "seats", 1, "urgent", "relieved")]
    # Active last on the 18th: in a window of 30 days to 17 July; then three whole days.
    assert company.signals()[0]["closed_at"].replace(tzinfo=UTC) == datetime(
        2026, 7, 21, tzinfo=UTC
    )


def test_a_person_of_two_workspaces_counts_once_and_of_two_accounts_twice(
    company: Company,
) -> None:
    at_work = company.start(noon(TODAY))
    for user in range(9):
        company.use("acme", f"u-{user}", noon(TODAY))
        company.use("acme-eu", f"u-{user}", noon(TODAY))
        company.use("beta", f"u-{user}", noon(TODAY))
    company.use("nobody", "u-1", noon(TODAY))
    company.use("beta-eu", "u-1", noon(TODAY))
    company.follow(at_work, noon(TODAY))

    # Three more were active of late at each: twelve seats of ten.
    assert [row["used"] for row in company.signals()] == [12.0, 12.0]
    (progress,) = company.rows(CONSUMER_OFFSETS)
    assert progress["counts"] == {"arrivals": 29, "unknown_account": 2}


def test_who_was_full_before_is_no_crossing(tmp_path: Path) -> None:
    company = Company(tmp_path / "company")
    rows = (company.folder / "events.csv").read_text().splitlines()[1:]
    days = [TODAY - timedelta(days=day) for day in range(1, 60)]
    full = [
        f"beta,more-{user},{day}T09:00:00Z,view,x,b{user}{day}" for user in range(9) for day in days
    ]
    company.write("events", rows + full)
    at_work = company.start(noon(TODAY))
    company.use("beta", "more-1", noon(TODAY))
    company.follow(at_work, noon(TODAY))

    assert levels(company) == [("beta", "seats", 1, "urgent", None)]
    (signal,) = company.signals()
    assert signal["words"] == "under pressure before events were watched"
    assert company.rows(ACCOUNTS) == []


def test_another_watcher_goes_on_where_the_last_one_was_killed(company: Company) -> None:
    first = company.start(noon(TODAY))
    company.fill("acme", 8, noon(TODAY))
    first.poll(noon(TODAY))
    company.fill("beta", 8, noon(TODAY + DAY))

    # Three days later, with nobody at work in between.
    second = company.start(noon(TODAY + 3 * DAY))
    company.follow(second, noon(TODAY + 3 * DAY))

    assert levels(company) == [
        ("acme", "seats", 1, "nudge", None),
        ("beta", "seats", 1, "nudge", None),
    ]
    acme, beta = (row["opened_at"].date() for row in company.signals())
    assert (acme, beta) == (TODAY + 2 * DAY, TODAY + 3 * DAY)


def test_one_who_was_taken_over_from_writes_nothing_more(company: Company) -> None:
    first = company.start(noon(TODAY))
    first.lease.release(company.engine)
    company.fill("acme", 10, noon(TODAY))
    assert isinstance(first.lease, Lease)

    with pytest.raises(LeaseLostError):
        first.poll(noon(TODAY))

    assert company.signals() == []


def test_at_rest_it_keeps_its_lease_so_that_another_waits(company: Company) -> None:
    start = noon(TODAY)
    at_work = company.start(start)
    company.follow(at_work, start)
    now = start

    def clock() -> datetime:
        return now

    at_work.lease = replace(at_work.lease, time=clock)
    for seconds in range(0, 1_200, 20):
        now = start + timedelta(seconds=seconds)
        at_work.heartbeat()

        assert isinstance(acquire_lease(company.engine, at_work.lease.target, clock), str)
    (progress,) = company.rows(CONSUMER_OFFSETS)
    assert timedelta(0) <= now - progress["beat_at"].replace(tzinfo=UTC) < timedelta(minutes=1)

    now += timedelta(minutes=4)  # it hangs
    other = acquire_lease(company.engine, at_work.lease.target, clock)
    assert isinstance(other, Lease)
    with pytest.raises(LeaseLostError):
        at_work.heartbeat()


def test_a_contract_that_grows_closes_the_signal(company: Company) -> None:
    at_work = company.start(noon(TODAY))
    company.fill("acme", 10, noon(TODAY))
    company.follow(at_work, noon(TODAY))
    rows = (company.folder / "subscriptions.csv").read_text().splitlines()[1:]
    company.write("subscriptions", [*rows, f"acme,{TODAY},25,,team,250,paid"])

    company.follow(company.start(noon(TODAY)), noon(TODAY))

    assert levels(company) == [("acme", "seats", 1, "urgent", "expanded")]


def test_late_events_and_what_the_log_holds_by_now_count_once(company: Company) -> None:
    at_work = company.start(noon(TODAY))
    for user in range(7):
        company.use("acme", f"n-{user}", noon(TODAY - 3 * DAY), received=noon(TODAY))
    company.use("acme", "old", noon(TODAY - 40 * DAY), received=noon(TODAY))
    company.follow(at_work, noon(TODAY))
    assert [row["used"] for row in company.signals()] == [10.0]

    rows = (company.folder / "events.csv").read_text().splitlines()[1:]
    more = [
        f"acme,n-{user},{TODAY - 3 * DAY}T12:00:00Z,view,reports,m-{user + 1}" for user in range(7)
    ]
    company.write("events", [*rows, *more])
    again = company.start(noon(TODAY))

    assert again.snapshot.logged_mask.sum() == 7
    assert again.snapshot.counters.count_active_seats("acme", TODAY) == 10
    assert again.snapshot.counters.count_active_seats("acme", date(2026, 5, 10)) == 7
