"""SQL of seat streaks: consecutive days with high seat utilization."""

from collections.abc import Iterator
from datetime import datetime

_MONTHS = 3
_HIGH_UTILIZATION = 0.8


def aggregate_seat_streaks(as_of: datetime, seat_months: int) -> Iterator[str]:
    """Return the statements for active seats per day, and consecutive days above the threshold.

    A user is idle on stretches of days of a month. Only the ends of each stretch are stored; a
    running sum gives the idle users of a day.
    """
    yield f"create or replace temp table idle as {_select_idle_stretches(seat_months)}"
    days = 30 * _MONTHS
    yield f"""
        create or replace temp table seat_days as
        select account, ago, people - sum(coalesce(change, 0)) over (
            partition by account order by ago) as active
        from (select account, count(*) as people from user_as_of where not unpaid group by account)
            cross join range({days}) as days (ago)
            left join (
                select account, ago, sum(change) as change from (
                    select account, first_day as ago, 1 as change from idle
                    union all select account, last_day + 1, -1 from idle
                ) group by account, ago
            ) using (account, ago)"""
    yield f"""
        create or replace temp table streak_counts as
        with latest_per_date as (
            select account, effective, seats from signed
            qualify row_number() over (partition by account, effective order by row_id desc) = 1
        ), utilized as (
            select seat_days.account, ago, coalesce(active > {_HIGH_UTILIZATION} * seats, false)
                and ago + {30 * seat_months} <= log_days as high
            from (select *, '{as_of:%Y-%m-%d}'::timestamptz - to_days(ago::integer) as moment
                from seat_days) as seat_days
            asof left join latest_per_date
                on seat_days.account = latest_per_date.account and effective <= moment
            cross join moment
        )
        select account, coalesce(min(ago) filter (not high), {days}) as days_above
        from utilized group by account"""


def _select_idle_stretches(seat_months: int) -> str:
    """Select stretches of days on which a user's window has no day with an active seat."""
    stretches = []
    for month in range(_MONTHS):
        inside = [f"newest_m{n} is null" for n in range(month + 1, month + seat_months)]
        first = f"coalesce(oldest_m{month}, -1) + 1"
        last = f"coalesce(newest_m{month + seat_months}, 29)"
        stretches.append(f"""
            select account, {30 * month} + {first} as first_day, {30 * month} + {last} as last_day
            from user_as_of
            where {" and ".join(("not unpaid", *inside, f"{first} <= {last}"))}""")
    return " union all ".join(stretches)
