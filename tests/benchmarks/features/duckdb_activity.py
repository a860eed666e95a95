"""SQL from the log to daily tables, and from daily tables to 30-day months.

Days are integers since 1970, because dates via a time zone cost more than the grouping.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data.config.settings import RolesConfig, Settings

DAILY_TABLES = ("people_daily", "volume_daily", "first_uses")
_COLUMN_TYPES = {
    "account_id": "varchar",
    "user_id": "varchar",
    "timestamp": "timestamptz",
    "event": "varchar",
    "feature": "varchar",
    "quantity": "double",
    "event_id": "varchar",
    "known_at": "timestamptz",
}
_HOUR = 3_600_000_000  # microseconds
_DAY = 24 * _HOUR
_MAX_ROWS_PER_FILE = 2**40  # above the row count of any file


def parquet_relation(files: Sequence[Path]) -> str:
    """Return the relation of all files; columns that some files lack are null there."""
    return f"read_parquet({[str(file) for file in files]}, union_by_name = true)"


def build_daily_tables(
    files: Sequence[Path], settings: Settings, columns: Sequence[str]
) -> Iterator[str]:
    """Return the statements that build users per day, volume per day and feature, and first uses.

    Duplicate events are found by the hash of their id, then by the id. They are few, so their row
    numbers are stored and skipped when the log is read.
    """
    yield _build_log_view(files, settings.columns.events, columns)
    yield """
        create temp table repeated as
        select hash(event_id) as h from log where event_id is not null
        group by h having count(*) > 1"""
    # The duplicate known first stays; ties are broken by content.
    yield """
        create temp table copies as
        select row_id
        from log join repeated on hash(event_id) = h
        qualify row_number() over (
            partition by event_id
            order by greatest(timestamp, known_at), account_id nulls first, user_id nulls first,
                timestamp, event nulls first, feature nulls first, quantity nulls first
        ) > 1"""
    yield _build_classified_view(settings)
    yield """
        create temp table people_daily as
        select account_id, user_id, day, known_day, count(*) filter (used) as uses,
            count(*) filter (seat) as seat_uses, bit_or(if(used, 1 << hour, 0)) as hours
        from classified_events where user_id is not null and (used or seat) group by all"""
    yield """
        create temp table volume_daily as
        select account_id, day, known_day, role, feature, count(*) as events,
            sum(floor(coalesce(quantity, 1) * 1000 + 0.5)::bigint)::bigint as milli
        from classified_events group by all"""
    # Among uses with equal delay, the earliest use became known first.
    yield """
        create temp table first_uses as
        select account_id, user_id, feature, min(day) as day, min(known_day) as known_day
        from classified_events where user_id is not null and used
        group by account_id, user_id, feature, known_day - classified_events.day"""


def build_monthly_tables(anchor_day: int) -> Iterator[str]:
    """Return the statements that assign integer ids and count months back from the anchor.

    ``month`` 0 is the last before the anchor; ``known_month`` is the month in which a row became
    known. An as-of n months back sees the rows whose ``known_month`` is at least n.
    """
    yield """
        create or replace temp table account as
        select account_id, (row_number() over (order by account_id))::integer as account
        from accounts"""
    yield """
        create or replace temp table person as
        select user_id, (row_number() over (order by user_id))::integer as person,
            coalesce(seat_type in ('free', 'trial'), false) as unpaid, department, email_domain,
            least(created_at, deactivated_at) as first_dated, known_at, created_date
        from (select distinct user_id from people_daily) left join users using (user_id)
            left join accounts using (account_id)"""
    yield """
        create or replace temp table feature as
        select name, (row_number() over ())::integer as feature
        from (select distinct feature as name from volume_daily)"""
    month_columns = (
        f"({anchor_day} - 1 - day) // 30 as month,"
        f" ({anchor_day} - 1 - known_day) // 30 as known_month"
    )
    yield from _build_user_months(anchor_day, month_columns)
    yield f"""
        create or replace temp table by_feature as
        select account, role, feature as name, {month_columns}, sum(events)::bigint as events,
            sum(milli)::bigint as milli, min(day) as first_day
        from volume_daily join account using (account_id)
        where known_day < {anchor_day} group by all"""
    yield """
        create or replace temp table volume as
        select account, role, month, known_month, sum(events)::bigint as events,
            sum(milli)::bigint as milli, min(first_day) as first_day
        from by_feature group by all"""
    yield """
        create or replace temp table feature_months as
        select account, role = 'integration' as integration, feature, month, known_month, first_day
        from by_feature join feature using (name) where role in ('use', 'integration')"""
    yield _build_first_uses(anchor_day)


def _build_user_months(anchor_day: int, month_columns: str) -> Iterator[str]:
    """Aggregate users per month; a day that appears in several rows counts once.

    Two rows share a day only where one of them became known late, so the others skip the grouping
    by day.
    """
    yield f"""
        create or replace temp table user_days as
        select account, person, day, {month_columns}, uses, seat_uses, hours,
            known_day > day as late
        from people_daily join account using (account_id) join person using (user_id)
        where known_day < {anchor_day}"""
    yield f"""
        create or replace temp table people as
        with late as (
            select distinct account, person, day from user_days where late
        ), distinct_days as (
            select account, person, day, month, known_month, sum(uses) as uses,
                sum(seat_uses) as seat_uses, bit_or(hours) as hours
            from user_days semi join late using (account, person, day) group by all
            union all
            select account, person, day, month, known_month, uses, seat_uses, hours
            from user_days anti join late using (account, person, day)
        )
        select account, person, month, known_month, sum(uses)::bigint as events,
            coalesce(bit_or(1::integer << (({anchor_day} - 1 - day) % 30)::integer)
                filter (uses > 0), 0) as days,
            sum(bit_count(hours) - bit_count(hours & (hours << 1)))::bigint as sessions,
            min(day) filter (uses > 0) as first_use_day,
            min(day) filter (seat_uses > 0) as first_seat_day,
            max(day) filter (seat_uses > 0) as last_seat_day
        from distinct_days group by all"""
    yield "drop table user_days"


def _build_first_uses(anchor_day: int) -> str:
    """Select first uses that precede all that was known before; nearly always one per feature."""
    return f"""
        create or replace temp table firsts as
        with improved as (
            select account_id, user_id, feature, day, known_day
            from first_uses where known_day < {anchor_day}
            qualify coalesce(day < min(day) over (
                partition by account_id, user_id, feature order by known_day, day
                rows between unbounded preceding and 1 preceding), true)
        )
        select account, person, feature.feature, day, known_day,
            count(*) over (partition by account, person, feature.feature) > 1 as several
        from improved join account using (account_id) join person using (user_id)
            join feature on name = improved.feature"""


def reliable_known_at(settings: Settings) -> str:
    """Return the SQL of when a row became known; null where the value is missing or unreliable."""
    reliable_from = settings.tables.known_at_reliable_from
    return (
        "known_at"
        if reliable_from is None
        else f"if(known_at >= '{reliable_from}', known_at, null)"
    )


def _build_log_view(
    files: Sequence[Path], mapping: Mapping[str, str], columns: Sequence[str]
) -> str:
    selected = ", ".join(
        f'"{source}"::{kind} as {name}' if source in columns else f"null::{kind} as {name}"
        for name, kind in _COLUMN_TYPES.items()
        for source in (mapping.get(name, name),)
    )
    return f"""
        create temp view log as
        select {selected}, file_index * {_MAX_ROWS_PER_FILE} + file_row_number as row_id
        from {parquet_relation(files)} where "{mapping.get("account_id", "account_id")}" <> ''"""


def _build_classified_view(settings: Settings) -> str:
    """Create the view that adds role, day and known_day to each event."""
    seats = settings.seats.events
    seat = f"coalesce(event, 'use') in ({quote_names(seats)})" if seats else "used"
    return f"""
        create temp view classified_events as
        select account_id, user_id, quantity,
            {_role_case(settings.roles)} as role,
            role = 'use' as used,
            {seat} as seat,
            coalesce(feature, event, 'use') as feature,
            (epoch_us(timestamp) // {_HOUR} % 24)::integer as hour,
            (epoch_us(timestamp) // {_DAY})::integer as day,
            (greatest(epoch_us(timestamp), epoch_us({reliable_known_at(settings)}))
                // {_DAY})::integer as known_day
        from log where row_id not in (from copies) and timestamp is not null"""


def _role_case(roles: RolesConfig) -> str:
    cases = " ".join(
        f"when event in ({quote_names(names)}) then '{role}'"
        for role in type(roles).model_fields
        if (names := getattr(roles, role))
    )
    return f"case {cases} else 'use' end"


def quote_names(names: Sequence[str]) -> str:
    return ", ".join("'{}'".format(name.replace("'", "''")) for name in names)
