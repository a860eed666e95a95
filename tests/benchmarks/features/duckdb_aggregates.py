"""SQL of all account aggregates at one as-of, from 30-day months.

One pass over users per month and one over volume per month; everything else is small.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime

from data.config.settings import Settings
from features.panel.account_aggregates import LOOKBACK_MONTHS
from tests.benchmarks.features import duckdb_activity, duckdb_feature_adoption, duckdb_seat_streaks

_MONTHS = range(LOOKBACK_MONTHS + 1)
_RECENT = range(4)

_DEPTHS = {"days": "active_days", "weeks": "active_weeks", "sessions": "sessions"}
_COUNT_TABLES = {
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
    "streak_counts": (),
}
# Null for accounts without any group, instead of zero.
_DAYS_SINCE_TABLES = {
    "reached_department": ("since_new_department_days",),
    "reached_email_domain": ("since_new_email_domain_days",),
}


def select_account_aggregates() -> str:
    """Return the query that joins all aggregates; an account without rows gets zero counts."""
    filled_columns = [
        f"coalesce(columns({table}.* exclude ({', '.join(('account', *null_columns))})), 0)"
        for table, null_columns in _COUNT_TABLES.items()
    ]
    joined_tables = _COUNT_TABLES | _DAYS_SINCE_TABLES
    null = [name for names in joined_tables.values() for name in names]
    joins = " ".join(f"left join {table} using (account)" for table in joined_tables)
    return f"""
        select account_id, terms_in_force.* exclude (account), history.* exclude (account),
            signed_ahead.* exclude (account), moment.*, {", ".join((*filled_columns, *null))}
        from terms_in_force join account using (account) left join history using (account)
            left join signed_ahead using (account) cross join moment {joins}
        order by account_id"""


def aggregate_as_of(as_of: datetime, back: int, settings: Settings) -> Iterator[str]:
    """Return the statements for all aggregates at an as-of, ``back`` months from the anchor."""
    day, seat_days = (as_of.date() - date(1970, 1, 1)).days, settings.seats.window_days
    year_end = (date(as_of.year + 1, 1, 1) - as_of.date()).days
    yield _create_table(
        "moment",
        f"""select ({day} - min(first_day))::bigint as log_days, {seat_days} as seat_window_days,
            {year_end} as year_end_days, '{as_of:%Y-%m-%d}'::date as as_of
            from volume where known_month >= {back}""",
    )
    yield _create_table("user_as_of", _select_users(as_of, back, settings))
    yield _create_table("deactivated", _select_deactivated_users(as_of, settings))
    yield _create_table("seat_counts", _select_seat_counts(seat_days // 30))
    yield _create_table("people_counts", _select_user_counts())
    yield _create_table("role_counts", _select_role_counts(day, back))
    yield _create_table("feature_now", _select_feature_use(day, back))
    yield _create_table("feature_counts", _FEATURE_COUNTS)
    for name in ("department", "email_domain"):
        yield _create_table(f"{name}_counts", _select_group_counts(name))
        yield _create_table(f"reached_{name}", _select_days_since_new_group(as_of, settings, name))
    yield _create_table("provisioned_counts", _select_provisioned_counts(as_of, settings))
    yield from duckdb_feature_adoption.aggregate_feature_adoption(day, settings.adoption)
    yield from duckdb_seat_streaks.aggregate_seat_streaks(as_of, seat_days // 30)


def _create_table(name: str, select: str) -> str:
    return f"create or replace temp table {name} as {select}"


def _repeat_template(template: str, values: Iterable[int]) -> str:
    return ", ".join(template.format(n=value) for value in values)


def _select_users(as_of: datetime, back: int, settings: Settings) -> str:
    """Select one row per user: months of seat use and any use as bits, attributes if known."""
    day, seat_months = (as_of.date() - date(1970, 1, 1)).days, settings.seats.window_days // 30
    known_at = f"greatest(first_dated, {duckdb_activity.reliable_known_at(settings)}, created_date)"
    is_known = f"coalesce({known_at} < '{as_of:%Y-%m-%d}'::timestamptz, true)"
    bit = f"1::bigint << least(month - {back}, 62)"  # no feature looks back that far
    weeks = [
        f"({' + '.join(f'(days_m{n} & {127 << 7 * week} <> 0)::integer' for week in range(4))})"
        f" as weeks_m{n}"
        for n in _RECENT
    ]
    return f"""
        with all_time as (
            select account, person, min(first_use_day) as first_use_day,
                min(first_seat_day) as first_seat_day, max(last_seat_day) as last_seat_day,
                bit_or(if(first_seat_day is null, 0, {bit})) as seat_months,
                bit_or(if(events > 0, {bit}, 0)) as months
            from people where known_month >= {back} group by account, person
        ), recent as ({_select_recent_months(day, back, seat_months)})
        select * replace ({_repeat_template("bit_count(days_m{n}) as days_m{n}", _RECENT)},
                unpaid and {is_known} as unpaid, if({is_known}, department, null) as department,
                if({is_known}, email_domain, null) as email_domain),
            {", ".join(weeks)}, {day} - first_use_day as since_first_use,
            {day} - first_seat_day as since_first_seat, {day} - last_seat_day as since_last_seat
        from all_time left join recent using (account, person) join person using (person)"""


def _select_recent_months(day: int, back: int, seat_months: int) -> str:
    """Select per-user values of the recent months only, from their rows only."""
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
        from people where known_month >= {back} and month < {back + months}
        group by account, person"""


def _select_seat_counts(seat_months: int) -> str:
    """Count active seats in trailing windows, and users active for the first time."""
    window, days = (1 << seat_months) - 1, seat_months * 30
    now, before = f"seat_months & {window} <> 0", f"seat_months & {window << 1} <> 0"
    active = ", ".join(
        f"count(*) filter (seat_months & {window << lag} <> 0) as active_seats_m{lag}"
        for lag in _MONTHS
    )
    new = "count(*) filter (since_first_seat <= {n}) as new_users_{n}d"
    previous = "count(*) filter (since_first_seat between {n} + 1 and 2 * {n})"
    return f"""
        select account, {active}, {_repeat_template(new, (30, 60, 90, 180, 360))},
            {_repeat_template(previous + " as new_users_previous_{n}d", (30, 60, 90))},
            coalesce(bit_count(bit_or(1 << least((since_first_seat - 1) // 30, 6))
                filter (since_first_seat <= 180)), 0) as months_with_new_users_6m,
            min(since_first_seat) as since_new_user_days,
            count(*) filter (seat_months & 7 <> 0 and not coalesce(is_deactivated, false))
                as retained_90d,
            count(*) filter (since_last_seat between {days * 2 // 3 + 1} and {days}) as rolling_off,
            count(*) filter ({before} and not ({now})) as lost_users,
            count(*) filter ({now} and not ({before}) and since_first_seat > 30) as returned_users
        from user_as_of left join deactivated using (user_id)
        where since_first_seat is not null and not unpaid
        group by account"""


def _select_deactivated_users(as_of: datetime, settings: Settings) -> str:
    """Select users whose login was deactivated, as far as known."""
    now = f"'{as_of:%Y-%m-%d}'::timestamptz"
    known_at = f"greatest({duckdb_activity.reliable_known_at(settings)}, created_date)"
    return f"""
        select user_id, true as is_deactivated from users join accounts using (account_id)
        where deactivated_at < {now} and coalesce({known_at} < {now}, true)"""


def _select_user_counts() -> str:
    """Count users of any feature: breadth, depth and concentration."""
    active = "count(*) filter (months & (1::bigint << {n}) <> 0) as active_users_m{n}"
    distinct_users = ", ".join(
        f"count(*) filter (months & {(1 << months) - 1} <> 0) as people_{months * 30}d"
        for months in (3, 6, 12)
    )
    depths = ", ".join(
        f"sum({column}_m{n})::bigint as {name}_m{n}"
        for column, name in _DEPTHS.items()
        for n in _RECENT
    )
    return f"""
        select account, {_repeat_template(active, _MONTHS)}, {depths}, {distinct_users},
            {_repeat_template("count(*) filter (days_m{n} >= 12) as power_users_m{n}", _RECENT)},
            max(events_90d)::bigint as champion_events_90d, sum(events_90d)::bigint as events_90d
        from user_as_of where since_first_use is not null group by account"""


def _select_role_counts(day: int, back: int) -> str:
    """Sum volume by role: use, API calls and the controls."""

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
        from (select * replace (month - {back} as month) from volume where known_month >= {back})
        group by account"""


def _select_feature_use(day: int, back: int) -> str:
    """Select one row per feature or integration of an account: first use and recent use."""
    used = ", ".join(f"bool_or(month = {back + n}) as used_m{n}" for n in _RECENT)
    return f"""
        select account, integration, feature, {day} - min(first_day) as since, {used}
        from feature_months where known_month >= {back} group by account, integration, feature"""


_FEATURES_USED = "count(*) filter (used_m{n} and not integration) as features_m{n}"
_INTEGRATIONS_USED = "count(*) filter (used_m{n} and integration) as integrations_m{n}"
_FEATURE_COUNTS = f"""
    select account, {_repeat_template(_FEATURES_USED, _RECENT)},
        {_repeat_template(_INTEGRATIONS_USED, _RECENT)},
        count(*) filter (not integration) as features_ever,
        count(*) filter (not integration and since <= 60) as features_new_60d,
        count(*) filter (not integration and since between 61 and 120) as features_new_previous_60d,
        count(*) filter (not integration and since <= 180) as features_new_180d,
        count(*) filter (integration and since <= 90) as integrations_new_90d
    from feature_now group by account"""


def _select_group_counts(attribute: str) -> str:
    """Count groups of users active now, and groups new in the last 90 days."""
    return f"""
        select account, count(*) filter (active) as {attribute}s_90d,
            count(*) filter (since <= 90) as {attribute}s_new_90d
        from (select account, {attribute}, bool_or(events_90d > 0) as active,
                max(since_first_use) as since
            from user_as_of
            where since_first_use is not null and {attribute} is not null group by all)
        group by account"""


def _select_provisioned_counts(as_of: datetime, settings: Settings) -> str:
    """Count users with a login, by the dates in the users table."""
    now = f"'{as_of:%Y-%m-%d}'::timestamptz"
    known_at = duckdb_activity.reliable_known_at(settings)
    count_template = (
        f"count(*) filter (created_at < {now} - interval {{n}} days and not"
        f" coalesce(deactivated_at < {now} - interval {{n}} days, false))"
        " as provisioned{suffix}"
    )
    past = _repeat_template(count_template.replace("{suffix}", "_{n}d_ago"), (30, 60, 90, 180))
    return f"""
        select account, {count_template.format(n=0, suffix="")}, {past}
        from users join account using (account_id)
        where created_at < {now} and coalesce({known_at} < {now}, true)
        group by account"""


def _select_days_since_new_group(as_of: datetime, settings: Settings, attribute: str) -> str:
    """Compute days since the first login in the newest of several groups."""
    now = f"'{as_of:%Y-%m-%d}'::timestamptz"
    known_at = duckdb_activity.reliable_known_at(settings)
    return f"""
        select account,
            '{as_of:%Y-%m-%d}'::date - max(first)::date as since_new_{attribute}_days
        from (select account, {attribute}, min(created_at::timestamp) as first
            from users join account using (account_id)
            where created_at < {now} and coalesce({known_at} < {now}, true)
                and {attribute} is not null group by all)
        group by account having count(*) > 1"""
