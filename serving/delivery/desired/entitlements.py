"""How high each limit of a contract stands, and whether one has risen since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from features import subscription_timeline
from features.panel.monthly import known_before

__all__ = ["Entitlements", "has_increased", "resolve_entitlements"]


@dataclass(frozen=True)
class Entitlements:
    """The contract of an account at an as-of; None where a level is not agreed or not known.

    Attributes
    ----------
    seats, usage_limit : float or None
        Licensed seats; units a month.
    plan, plan_rank, mrr
        The plan, its place in the order of plans where one is set, and revenue a month.
    ended : bool
        Whether it has lapsed or was ended.
    """

    seats: float | None = None
    usage_limit: float | None = None
    plan: str | None = None
    plan_rank: float | None = None
    mrr: float | None = None
    ended: bool = False


def resolve_entitlements(
    subscriptions: pl.DataFrame,
    as_of: datetime,
    *,
    plans: Sequence[str] = (),
    reliable_from: date | None = None,
) -> Mapping[str, Entitlements]:
    """Give every account's contract as it was in force and known at an as-of.

    Parameters
    ----------
    subscriptions : polars.DataFrame
        Rows under :class:`data.schemas.SubscriptionSchema`.
    as_of : datetime.datetime
        00:00 UTC.
    plans, reliable_from
        As in :func:`features.subscription_timeline.build_timeline`.
    """
    rows = subscription_timeline.build_timeline(
        subscriptions, plans=plans, reliable_from=reliable_from
    )
    now = subscription_timeline.in_force(known_before(rows, as_of), as_of)
    names = [*subscription_timeline.ENTITLEMENT_COLUMNS, "ended"]
    return {
        row.pop("account_id"): Entitlements(**row)
        for row in now.select("account_id", *names).iter_rows(named=True)
    }


def has_increased(limit: str, before: Entitlements, now: Entitlements) -> bool:
    """Whether the level of a limit has risen; a plan by the order of plans, else by its revenue.

    Examples
    --------
    >>> has_increased("seats", Entitlements(seats=10), Entitlements(seats=12)), has_increased("plan", Entitlements(), Entitlements(plan="a"))
    (True, False)
    """
    if limit == "seats":
        return _is_higher(before.seats, now.seats)
    if limit == "usage":
        return _is_higher(before.usage_limit, now.usage_limit)
    if before.plan is None or now.plan is None or before.plan == now.plan:
        return False
    if before.plan_rank is not None and now.plan_rank is not None:
        return now.plan_rank > before.plan_rank
    return _is_higher(before.mrr, now.mrr)


def _is_higher(before: float | None, now: float | None) -> bool:
    return before is not None and now is not None and now > before
