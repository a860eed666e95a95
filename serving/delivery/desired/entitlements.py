"""Entitlements of each contract at an as-of, and whether one has increased since."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from features import subscription_timeline
from features.point_in_time import known_before

__all__ = ["Entitlements", "has_increased", "resolve_entitlements"]


@dataclass(frozen=True)
class Entitlements:
    """Contract of an account at an as-of; None where a value is not agreed or unknown.

    Attributes
    ----------
    seats, usage_limit : float or None
        Licensed seats; units per month.
    plan, plan_rank, mrr
        The plan, its position in the configured order of plans, and monthly recurring revenue.
    ended : bool
        Whether it has lapsed or was terminated.
    """

    seats: float | None = None
    usage_limit: float | None = None
    plan: str | None = None
    plan_rank: float | None = None
    mrr: float | None = None
    ended: bool = False


def resolve_entitlements(contracts: pl.DataFrame, as_of: datetime) -> Mapping[str, Entitlements]:
    """Return the contract of every account as in force and known at an as-of, 00:00 UTC.

    ``contracts`` comes from :func:`features.subscription_timeline.build_timeline`.
    """
    in_force = subscription_timeline.select_in_force(known_before(contracts, as_of), as_of)
    names = [*subscription_timeline.ENTITLEMENT_COLUMNS, "ended"]
    return {
        row.pop("account_id"): Entitlements(**row)
        for row in in_force.select("account_id", *names).iter_rows(named=True)
    }


def has_increased(limit: str, before: Entitlements, after: Entitlements) -> bool:
    """Return True if the entitlement of a limit has increased.

    Plans compare by the configured order, else by their revenue.

    Examples
    --------
    >>> has_increased("seats", Entitlements(seats=10), Entitlements(seats=12))
    True
    >>> has_increased("plan", Entitlements(), Entitlements(plan="a"))
    False
    """
    if limit == "seats":
        return _is_higher(before.seats, after.seats)
    if limit == "usage":
        return _is_higher(before.usage_limit, after.usage_limit)
    if before.plan is None or after.plan is None or before.plan == after.plan:
        return False
    if before.plan_rank is not None and after.plan_rank is not None:
        return after.plan_rank > before.plan_rank
    return _is_higher(before.mrr, after.mrr)


def _is_higher(before: float | None, after: float | None) -> bool:
    return before is not None and after is not None and after > before
