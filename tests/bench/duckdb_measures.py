"""What can be counted of each account at one as-of, from the grid of months: SQL.

One pass over people per month, one over volume per month; everything else is small.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime

import duckdb_activity
import duckdb_seat_days
import duckdb_spreading

from data.config.settings import Settings
from features.panel.account_aggregates import LOOKBACK_MONTHS

_MONTHS = range(LOOKBACK_MONTHS + 1)
_RECENT = range(4)

_DEPTHS = {"days": "active_days", "weeks": "active_weeks", "sessions": "sessions"}
_COUNTED = {
    "seat_counts": ("since_new_user_days",),
    "people_counts": (),
    "feature_counts": (),
    "role_counts": ("since_first_api_days", "since_event_months"),
    "department_counts": (),
    "email_domain_counts": (),
    "provisioned_counts": (),
    "first_use_counts": (),
    "spread_counts": (),
    "advanced_counts": (),
    "above_counts": (),
}
# What nobody has is not none of it.
_DAYS_SINCE = {
    "reached_department": ("since_new_department_days",),
    "reached_email_domain": ("since_new_email_domain_days",),
}


def wide() -> str:
    """The query that brings all counts together; who is not counted has none."""
    told = [
        f"coalesce(columns({table}.* exclude (account{''.join(f', {name}' for name in null)})), 0)"
        for table, null in _COUNTED.items()
    ]
    beside = _COUNTED | _DAYS_SINCE
    null = [name for names in beside.values() for name in names]
    joins = " ".join(f"left join {table} using (account)" for table in beside)
    return f"""
        select account_id, standing.* exclude (account), history.* exclude (account),
            signed_ahead.* exclude (account), moment.*, {", ".join((*told, *null))}
        from standing join account using (account) left join history using (account)
            left join signed_ahead using (account) cross join moment {joins}
        order by account_id"""


def at(as_of: datetime, back: int, settings: Settings) -> Iterator[str]:
    """The statements that count everything at an as-of, so many months before the anchor.

    Parameters
    ----------
    as_of : datetime.datetime
        00:00 UTC.
    back : int
        Months from the anchor back to it.
    settings : data.config.settings.Settings
        Length of the seat window.
    """
    day, seat_days = (as_of.date() - date(1970, 1, 1)).days, settings.seats.window_days
    year_end = (date(as_of.year + 1, 1, 1) - as_of.date()).days
    yield _table(
        "moment",
        f"""select ({day} - min(first_day))::bigint as log_days, {seat_days} as seat_window_days,
            {year_end} as year_end_days, '{as_of:%Y-%m-%d}'::date as as_of
            from volume where heard >= {back}""",
    )
    yield _table("person_now", _persons(as_of, back, settings))
    yield _table("taken_back", _taken_back(as_of, settings))
    yield _table("seat_counts", _seats(seat_days // 30))
    yield _table("people_counts", _people())
    yield _table("role_counts", _roles(day, back))
    yield _table("feature_now", _feature(day, back))
    yield _table("feature_counts", _FEATURES)
    for name in ("department", "email_domain"):
        yield _table(f"{name}_counts", _groups(name))
        yield _table(f"reached_{name}", _reached(as_of, settings, name))
    yield _table("provisioned_counts", _provisioned(as_of, settings))
    yield from duckdb_spreading.at(day, settings.adoption)
    yield from duckdb_seat_days.at(as_of, seat_days // 30)


def _table(name: str, select: str) -> str:
    return f"create or replace temp table {name} as {select}"


def _each(template: str, values: Iterable[int]) -> str:
    return ", ".join(template.format(n=value) for value in values)


def _persons(as_of: datetime, back: int, settings: Settings) -> str:
    """Each person in one row: the months of seat use and of any use as bits, and what is told.

    What they are is told of those that were known.
    """
    day, seat_months = (as_of.date() - date(1970, 1, 1)).days, settings.seats.window_days // 30
    known = f"greatest(there, {duckdb_activity.believed(settings)}, created_date)"
    seen = f"coalesce({known} < '{as_of:%Y-%m-%d}'::timestamptz, true)"
    bit = f"1::bigint << least(month - {back}, 62)"  # nothing looks back so far
    weeks = [
        f"({' + '.join(f'(days_m{n} & {127 << 7 * week} <> 0)::integer' for week in range(4))})"
        f" as weeks_m{n}"
        for n in _RECENT
    ]
    return f"""
        with ever as (
            select account, person, min(first_use_day) as first_use_day,
                min(first_seat_day) as first_seat_day, max(last_seat_day) as last_seat_day,
                bit_or(if(first_seat_day is null, 0, {bit})) as seat_months,
                bit_or(if(events > 0, {bit}, 0)) as months
            from people where heard >= {back} group by account, person
        ), lately as ({_lately(day, back, seat_months)})
        select * replace ({_each("bit_count(days_m{n}) as days_m{n}", _RECENT)},
                unpaid and {seen} as unpaid, if({seen}, department, null) as department,
                if({seen}, email_domain, null) as email_domain),
            {", ".join(weeks)}, {day} - first_use_day as since_first_use,
            {day} - first_seat_day as since_first_seat, {day} - last_seat_day as since_last_seat
        from ever left join lately using (account, person) join person using (person)"""


def _lately(day: int, back: int, seat_months: int) -> str:
    """What is told of the last months only, from their rows only."""
    depths = [
        f"""bit_or(days) filter (month = {back + n}) as days_m{n},
            sum(sessions) filter (month = {back + n}) as sessions_m{n}"""
        for n in _RECENT
    ]
    # Days with an active seat, counted back from the end of their month.
    ends = [
        f"""min({day - 1 - 30 * n} - last_seat_day) filter (month = {back + n}) as newest_m{n},
            max({day - 1 - 30 * n} - first_seat_day) filter (month = {back + n}) as oldest_m{n}"""
        for n in range(3 + seat_months)
    ]
    months = max(len(_RECENT), len(ends))
    return f"""
        select account, person, sum(events) filter (month < {back + 3}) as events_90d,
            {", ".join((*depths, *ends))}
        from people where heard >= {back} and month < {back + months} group by account, person"""


def _seats(seat_months: int) -> str:
    """Active seats in trailing windows, and people who became active for the first time."""
    window, days = (1 << seat_months) - 1, seat_months * 30
    now, before = f"seat_months & {window} <> 0", f"seat_months & {window << 1} <> 0"
    active = ", ".join(
        f"count(*) filter (seat_months & {window << lag} <> 0) as active_seats_m{lag}"
        for lag in _MONTHS
    )
    new = "count(*) filter (since_first_seat <= {n}) as new_users_{n}d"
    previous = "count(*) filter (since_first_seat between {n} + 1 and 2 * {n})"
    return f"""
        select account, {active}, {_each(new, (30, 60, 90, 180, 360))},
            {_each(previous + " as new_users_previous_{n}d", (30, 60, 90))},
            coalesce(bit_count(bit_or(1 << least((since_first_seat - 1) // 30, 6))
                filter (since_first_seat <= 180)), 0) as months_with_new_users_6m,
            min(since_first_seat) as since_new_user_days,
            count(*) filter (seat_months & 7 <> 0 and not coalesce(gone, false)) as kept_90d,
            count(*) filter (since_last_seat between {days * 2 // 3 + 1} and {days}) as rolling_off,
            count(*) filter ({before} and not ({now})) as lost_users,
            count(*) filter ({now} and not ({before}) and since_first_seat > 30) as returned_users
        from person_now left join taken_back using (user_id)
        where since_first_seat is not null and not unpaid
        group by account"""


def _taken_back(as_of: datetime, settings: Settings) -> str:
    """People whose login was taken back, as far as that was known."""
    now = f"'{as_of:%Y-%m-%d}'::timestamptz"
    known = f"greatest({duckdb_activity.believed(settings)}, created_date)"
    return f"""
        select user_id, true as gone from users join accounts using (account_id)
        where deactivated_at < {now} and coalesce({known} < {now}, true)"""


def _people() -> str:
    """People by any feature use: how many, how deep, how concentrated."""
    active = "count(*) filter (months & (1::bigint << {n}) <> 0) as active_users_m{n}"
    met = ", ".join(
        f"count(*) filter (months & {(1 << months) - 1} <> 0) as people_{months * 30}d"
        for months in (3, 6, 12)
    )
    depths = ", ".join(
        f"sum({what}_m{n})::bigint as {told}_m{n}"
        for what, told in _DEPTHS.items()
        for n in _RECENT
    )
    return f"""
        select account, {_each(active, _MONTHS)}, {depths}, {met},
            {_each("count(*) filter (days_m{n} >= 12) as power_users_m{n}", _RECENT)},
            max(events_90d)::bigint as champion_events_90d, sum(events_90d)::bigint as events_90d
        from person_now where since_first_use is not null group by account"""


def _roles(day: int, back: int) -> str:
    """Volume by role: use, API calls, and the controls."""

    def total(column: str, role: str, months: str) -> str:
        return f"coalesce(sum({column}) filter (role = '{role}' and month {months}), 0)"

    used = [f"{total('events', 'use', f'= {n}')}::bigint as events_m{n}" for n in _MONTHS]
    calls = [f"{total('milli', 'api_call', f'= {n}')} / 1000 as api_calls_m{n}" for n in _MONTHS]
    logins = [f"{total('events', 'login', f'= {n}')}::bigint as logins_m{n}" for n in range(2)]
    return f"""
        select account, {", ".join((*used, *calls, *logins))},
            {day} - min(first_day) filter (role = 'api_call') as since_first_api_days,
            min(month) as since_event_months,
            {total("events", "support_ticket", "< 3")}::bigint as tickets_90d,
            {total("events", "support_ticket", "between 3 and 5")}::bigint as tickets_previous_90d,
            {total("events", "nps", "< 6")}::bigint as nps_answers_180d,
            {total("milli", "nps", "< 6")} / 1000 as nps_sum_180d
        from (select * replace (month - {back} as month) from volume where heard >= {back})
        group by account"""


def _feature(day: int, back: int) -> str:
    """Each feature and integration of an account in one row: first used when, and lately."""
    used = ", ".join(f"bool_or(month = {back + n}) as used_m{n}" for n in _RECENT)
    return f"""
        select account, integration, feature, {day} - min(first_day) as since, {used}
        from feature_months where heard >= {back} group by account, integration, feature"""


_USED = "count(*) filter (used_m{n} and not integration) as features_m{n}"
_LINKED = "count(*) filter (used_m{n} and integration) as integrations_m{n}"
_FEATURES = f"""
    select account, {_each(_USED, _RECENT)}, {_each(_LINKED, _RECENT)},
        count(*) filter (not integration) as features_ever,
        count(*) filter (not integration and since <= 60) as features_new_60d,
        count(*) filter (not integration and since between 61 and 120) as features_new_previous_60d,
        count(*) filter (not integration and since <= 180) as features_new_180d,
        count(*) filter (integration and since <= 90) as integrations_new_90d
    from feature_now group by account"""


def _groups(attribute: str) -> str:
    """Groups of people active now, and those new in the last 90 days."""
    return f"""
        select account, count(*) filter (active) as {attribute}s_90d,
            count(*) filter (since <= 90) as {attribute}s_new_90d
        from (select account, {attribute}, bool_or(events_90d > 0) as active,
                max(since_first_use) as since
            from person_now
            where since_first_use is not null and {attribute} is not null group by all)
        group by account"""


def _provisioned(as_of: datetime, settings: Settings) -> str:
    """People with a login, by the dates in the users table."""
    now = f"'{as_of:%Y-%m-%d}'::timestamptz"
    known = duckdb_activity.believed(settings)
    there = (
        f"count(*) filter (created_at < {now} - interval {{n}} days and not"
        f" coalesce(deactivated_at < {now} - interval {{n}} days, false))"
        " as provisioned{told}"
    )
    past = _each(there.replace("{told}", "_{n}d_ago"), (30, 60, 90, 180))
    return f"""
        select account, {there.format(n=0, told="")}, {past}
        from users join account using (account_id)
        where created_at < {now} and coalesce({known} < {now}, true)
        group by account"""


def _reached(as_of: datetime, settings: Settings, attribute: str) -> str:
    """Days since the first login in the newest of several groups."""
    now = f"'{as_of:%Y-%m-%d}'::timestamptz"
    known = duckdb_activity.believed(settings)
    return f"""
        select account,
            '{as_of:%Y-%m-%d}'::date - max(first)::date as since_new_{attribute}_days
        from (select account, {attribute}, min(created_at::timestamp) as first
            from users join account using (account_id)
            where created_at < {now} and coalesce({known} < {now}, true)
                and {attribute} is not null group by all)
        group by account having count(*) > 1"""
