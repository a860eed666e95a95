"""From the log to daily tables, and from these to the grid of months: SQL.

Days are whole numbers since 1970, because dates by way of a time zone cost more than the grouping.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data.config.settings import Roles, Settings

DAILY = ("people_daily", "volume_daily", "first_uses")
_WANTED = {
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
_MOST_ROWS = 2**40  # of one file


def parquet(files: Sequence[Path]) -> str:
    """The relation of all files; a column that some lack is null there."""
    return f"read_parquet({[str(file) for file in files]}, union_by_name = true)"


def daily(files: Sequence[Path], settings: Settings, columns: Sequence[str]) -> Iterator[str]:
    """The statements that make people per day, volume per day and feature, and first uses.

    Copies of one event are found by the hashes of their ids, then by the ids. They are few, so
    their places in the files are kept, and passed over when the log is read.
    """
    yield _log(files, settings.columns.events, columns)
    yield """
        create temp table repeated as
        select hash(event_id) as h from log where event_id is not null
        group by h having count(*) > 1"""
    # Of the copies the one known first stays; of those, one chosen by content.
    yield """
        create temp table copies as
        select place
        from log join repeated on hash(event_id) = h
        qualify row_number() over (
            partition by event_id
            order by greatest(timestamp, known_at), account_id nulls first, user_id nulls first,
                timestamp, event nulls first, feature nulls first, quantity nulls first
        ) > 1"""
    yield _named(settings)
    yield """
        create temp table people_daily as
        select account_id, user_id, day, known_day, count(*) filter (used) as uses,
            count(*) filter (seat) as seat_uses, bit_or(if(used, 1 << hour, 0)) as hours
        from named where user_id is not null and (used or seat) group by all"""
    yield """
        create temp table volume_daily as
        select account_id, day, known_day, role, feature, count(*) as events,
            sum(floor(coalesce(quantity, 1) * 1000 + 0.5)::bigint)::bigint as milli
        from named group by all"""
    # Of the uses that became known so many days later, the earliest became known first.
    yield """
        create temp table first_uses as
        select account_id, user_id, feature, min(day) as day, min(known_day) as known_day
        from named where user_id is not null and used
        group by account_id, user_id, feature, known_day - named.day"""


def monthly(anchor_day: int) -> Iterator[str]:
    """The statements that number the names and count months back from the anchor.

    ``month`` 0 is the last before the anchor, ``heard`` the month a row became known in: at an
    as-of so many months back, rows are visible whose ``heard`` is at least that.
    """
    yield """
        create or replace temp table account as
        select account_id, (row_number() over (order by account_id))::integer as account
        from accounts"""
    yield """
        create or replace temp table person as
        select user_id, (row_number() over (order by user_id))::integer as person,
            coalesce(seat_type in ('free', 'trial'), false) as unpaid, department, email_domain,
            least(created_at, deactivated_at) as there, known_at, created_date
        from (select distinct user_id from people_daily) left join users using (user_id)
            left join accounts using (account_id)"""
    yield """
        create or replace temp table feature as
        select name, (row_number() over ())::integer as feature
        from (select distinct feature as name from volume_daily)"""
    ago = f"({anchor_day} - 1 - day) // 30 as month, ({anchor_day} - 1 - known_day) // 30 as heard"
    yield from _people(anchor_day, ago)
    yield f"""
        create or replace temp table by_feature as
        select account, role, feature as name, {ago}, sum(events)::bigint as events,
            sum(milli)::bigint as milli, min(day) as first_day
        from volume_daily join account using (account_id)
        where known_day < {anchor_day} group by all"""
    yield """
        create or replace temp table volume as
        select account, role, month, heard, sum(events)::bigint as events,
            sum(milli)::bigint as milli, min(first_day) as first_day
        from by_feature group by all"""
    yield """
        create or replace temp table feature_months as
        select account, role = 'integration' as integration, feature, month, heard, first_day
        from by_feature join feature using (name) where role in ('use', 'integration')"""
    yield _firsts(anchor_day)


def _people(anchor_day: int, ago: str) -> Iterator[str]:
    """People per month; a day that several rows tell of counts once.

    Two rows tell of one day only where one of them became known late, so the others are not
    grouped by day.
    """
    yield f"""
        create or replace temp table keyed as
        select account, person, day, {ago}, uses, seat_uses, hours, known_day > day as late
        from people_daily join account using (account_id) join person using (user_id)
        where known_day < {anchor_day}"""
    yield f"""
        create or replace temp table people as
        with late as (
            select distinct account, person, day from keyed where late
        ), once as (
            select account, person, day, month, heard, sum(uses) as uses,
                sum(seat_uses) as seat_uses, bit_or(hours) as hours
            from keyed semi join late using (account, person, day) group by all
            union all
            select account, person, day, month, heard, uses, seat_uses, hours
            from keyed anti join late using (account, person, day)
        )
        select account, person, month, heard, sum(uses)::bigint as events,
            coalesce(bit_or(1::integer << (({anchor_day} - 1 - day) % 30)::integer)
                filter (uses > 0), 0) as days,
            sum(bit_count(hours) - bit_count(hours & (hours << 1)))::bigint as sessions,
            min(day) filter (uses > 0) as first_use_day,
            min(day) filter (seat_uses > 0) as first_seat_day,
            max(day) filter (seat_uses > 0) as last_seat_day
        from once group by all"""
    yield "drop table keyed"


def _firsts(anchor_day: int) -> str:
    """First uses that precede all that was known before them; nearly always one of a kind."""
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


def believed(settings: Settings) -> str:
    """When a row became known, null where its stamp is of a bulk load or missing."""
    floor = settings.tables.known_at_reliable_from
    return "known_at" if floor is None else f"if(known_at >= '{floor}', known_at, null)"


def _log(files: Sequence[Path], mapping: Mapping[str, str], columns: Sequence[str]) -> str:
    chosen = ", ".join(
        f'"{source}"::{kind} as {name}' if source in columns else f"null::{kind} as {name}"
        for name, kind in _WANTED.items()
        for source in (mapping.get(name, name),)
    )
    return f"""
        create temp view log as
        select {chosen}, file_index * {_MOST_ROWS} + file_row_number as place
        from {parquet(files)} where "{mapping.get("account_id", "account_id")}" <> ''"""


def _named(settings: Settings) -> str:
    """The view that gives each event its role, its day, and the day it was known."""
    seats = settings.seats.events
    seat = f"coalesce(event, 'use') in ({quoted(seats)})" if seats else "used"
    return f"""
        create temp view named as
        select account_id, user_id, quantity,
            {_role(settings.roles)} as role,
            role = 'use' as used,
            {seat} as seat,
            coalesce(feature, event, 'use') as feature,
            (epoch_us(timestamp) // {_HOUR} % 24)::integer as hour,
            (epoch_us(timestamp) // {_DAY})::integer as day,
            (greatest(epoch_us(timestamp), epoch_us({believed(settings)}))
                // {_DAY})::integer as known_day
        from log where place not in (from copies) and timestamp is not null"""


def _role(roles: Roles) -> str:
    cases = " ".join(
        f"when event in ({quoted(names)}) then '{role}'"
        for role in type(roles).model_fields
        if (names := getattr(roles, role))
    )
    return f"case {cases} else 'use' end"


def quoted(names: Sequence[str]) -> str:
    return ", ".join("'{}'".format(name.replace("'", "''")) for name in names)
