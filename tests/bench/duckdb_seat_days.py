"""For how many days in a row seat utilisation has been high: SQL."""

from collections.abc import Iterator
from datetime import datetime

_MONTHS = 3
_HIGH = 0.8


def at(as_of: datetime, seat_months: int) -> Iterator[str]:
    """The statements that count active seats day by day, and the days in a row above the mark.

    A person is idle on a stretch of days of a month; of each stretch only the ends are counted, and
    a running sum tells how many are idle on a day.

    Parameters
    ----------
    as_of : datetime.datetime
        00:00 UTC.
    seat_months : int
        Length of the seat window.
    """
    yield f"create or replace temp table idle as {_idle(seat_months)}"
    days = 30 * _MONTHS
    yield f"""
        create or replace temp table seat_days as
        select account, ago, people - sum(coalesce(change, 0)) over (
            partition by account order by ago) as active
        from (select account, count(*) as people from person_now where not unpaid group by account)
            cross join range({days}) as days (ago)
            left join (
                select account, ago, sum(change) as change from (
                    select account, first_day as ago, 1 as change from idle
                    union all select account, last_day + 1, -1 from idle
                ) group by account, ago
            ) using (account, ago)"""
    yield f"""
        create or replace temp table above_counts as
        with spoken as (
            select account, effective, seats from signed
            qualify row_number() over (partition by account, effective order by place desc) = 1
        ), utilised as (
            select seat_days.account, ago, coalesce(active > {_HIGH} * seats, false)
                and ago + {30 * seat_months} <= log_days as high
            from (select *, '{as_of:%Y-%m-%d}'::timestamptz - to_days(ago::integer) as moment
                from seat_days) as seat_days
            asof left join spoken
                on seat_days.account = spoken.account and effective <= moment
            cross join moment
        )
        select account, coalesce(min(ago) filter (not high), {days}) as days_above
        from utilised group by account"""


def _idle(seat_months: int) -> str:
    """Stretches of days on which a person's window holds no day with an active seat."""
    stretches = []
    for month in range(_MONTHS):
        inside = [f"newest_m{n} is null" for n in range(month + 1, month + seat_months)]
        first = f"coalesce(oldest_m{month}, -1) + 1"
        last = f"coalesce(newest_m{month + seat_months}, 29)"
        stretches.append(f"""
            select account, {30 * month} + {first} as first_day, {30 * month} + {last} as last_day
            from person_now
            where {" and ".join(("not unpaid", *inside, f"{first} <= {last}"))}""")
    return " union all ".join(stretches)
