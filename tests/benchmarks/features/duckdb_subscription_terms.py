"""SQL of the subscription terms of each account at one as-of."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from data.config.settings import Settings
from features.panel.account_aggregates import LOOKBACK_MONTHS

_NEVER = "0001-01-01"


def build_timeline(settings: Settings) -> str:
    """Return the statement that orders the subscription rows and classifies each."""
    reliable_from = settings.tables.known_at_reliable_from or _NEVER
    ranks = " ".join(f"when '{p}' then {n}.0" for n, p in enumerate(settings.outcome.plans))
    rank = f"case plan {ranks} end::double" if ranks else "null::double"
    return f"""
        create or replace temp table contract as
        select *, row_number() over (
            order by account, effective, known, seats nulls first, usage_limit nulls first,
                plan_rank nulls first, mrr nulls first, plan nulls first, change nulls first,
                renewal nulls first, ended, trial, paid, booked) as row_id
        from (
            select account, effective_date as effective, plan, mrr, change, usage_limit,
                licensed_seats as seats, renewal_date as renewal, {rank} as plan_rank,
                coalesce(known_at >= '{reliable_from}', false) as booked,
                if(booked, known_at, effective_date) as known,
                coalesce(status, 'paid') = 'trial' as trial,
                coalesce(status in ('lapsed', 'churned'), false) or (not trial and (
                    coalesce(mrr = 0, false)
                    or coalesce(licensed_seats, usage_limit, mrr) is null and plan is null
                )) as ended,
                coalesce(status, 'paid') = 'paid' and not ended as paid
            from subscriptions join account using (account_id))"""


def aggregate_subscription_terms(as_of: datetime) -> Iterator[str]:
    """Return the statements for terms in force, their history, and terms signed ahead."""
    now = f"'{as_of:%Y-%m-%d}'::timestamptz"
    yield f"""
        create or replace temp table signed as
        select *, effective > {now} as ahead,
            {_days_from_microseconds(f"epoch_us({now}) - epoch_us(effective)")} as since,
            greatest(since, {_days_from_microseconds(f"epoch_us({now}) - epoch_us(known)")})
                as since_signed
        from contract where known < {now}"""
    yield f"create or replace temp table terms_in_force as {_select_terms_in_force(as_of, now)}"
    yield f"create or replace temp table history as {_HISTORY}"
    yield """
        create or replace temp table signed_ahead as
        select account, max(seats) as seats_ahead, max(mrr) as mrr_ahead
        from signed where ahead group by account"""


def _select_terms_in_force(as_of: datetime, now: str) -> str:
    """Select the row in force now and in past months: the last one effective by then."""
    past = []
    for back in range(LOOKBACK_MONTHS + 1):
        moment = f"'{as_of - timedelta(days=30 * back):%Y-%m-%d}'::timestamptz"
        last = "arg_max({{'value': {}}}, row_id) filter (effective <= {}).value as {}_m{}"
        past += [last.format(level, moment, level, back) for level in ("seats", "mrr")]
    return f"""
        select account,
            now.* exclude (account, row_id, effective, known, booked, change, since, since_signed,
                ahead),
            now.since as in_force_days, columns('_m[0-9]+$'),
            {_days_from_microseconds(f"epoch_us(now.renewal) - epoch_us({now})")} as renewal_days
        from (select account, arg_max(signed, row_id) filter (not ahead) as now, {", ".join(past)}
            from signed group by account)
        where now is not null"""


def _days_from_microseconds(microseconds: str) -> str:
    return f"({microseconds}) // 86400000000"


# The row known last wins within one effective date. An increase is one of seats, limit or plan;
# of revenue only if the row is typed as an expansion, or if revenue is all that is recorded.
_HISTORY = """
    with latest_per_date as (
        from signed
        qualify row_number() over (partition by account, effective order by row_id desc) = 1
    ), step as (
        select account, known, since, since_signed, ahead, paid, change,
            coalesce(lag(paid) over past, false) and paid as stayed,
            paid and not coalesce(lag(paid) over past, false) as began,
            coalesce(seats < lag(seats) over past, false) as less,
            coalesce(seats > lag(seats) over past, false)
                or coalesce(usage_limit > lag(usage_limit) over past, false)
                or (coalesce(plan <> lag(plan) over past, false) and coalesce(
                    plan_rank > lag(plan_rank) over past, mrr > lag(mrr) over past, false)
                ) as more,
            coalesce(mrr > lag(mrr) over past, false) as dearer,
            coalesce(seats, usage_limit, lag(seats) over past, lag(usage_limit) over past) is null
                and plan is null and lag(plan) over past is null as money_only
        from latest_per_date
        window past as (partition by account order by row_id)
    ), classified as (
        select account, known, since, since_signed, ahead, paid, began,
            stayed and less and coalesce(change, '') not in ('merger', 'correction') as cut,
            stayed and coalesce(change, '') not in
            ('new', 'ramp', 'merger', 'correction', 'contraction', 'churn')
            and if(more, coalesce(change, '') <> 'price', dearer and (
                coalesce(change, '') in ('organic', 'true_up')
                or money_only and coalesce(change, '') not in ('price', 'renewal')
            )) as rose
        from step
    )
    select account, max(since) filter (paid and not ahead) as tenure_days,
        count(*) filter (rose and not ahead) as expansions,
        count(*) filter (rose and not ahead and since <= 360) as expansions_360d,
        min(since) filter (rose and not ahead) as expansion_days_ago,
        max(known) filter (rose) as last_increase_known_at,
        min(since) filter (cut and not ahead) as seat_cut_days_ago,
        min(since_signed) filter (rose or began) as purchase_days_ago,
        min(since_signed) filter (rose or began or cut) as terms_days_ago
    from classified group by account"""
