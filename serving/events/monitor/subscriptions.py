"""Subscription terms per account and day, as the panel reads them as of the next midnight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from features import subscription_timeline
from features.online import get_next_midnight
from features.point_in_time import known_before

__all__ = ["SubscriptionIndex", "SubscriptionTerms"]


@dataclass(frozen=True, slots=True)
class SubscriptionTerms:
    """Active subscription terms; None where a limit is not agreed."""

    seats: float | None = None
    usage_limit: float | None = None
    paid: bool = False
    ended: bool = False


_NO_TERMS: Final = SubscriptionTerms()


class SubscriptionIndex:
    """Lookup of the terms of every account, for one day at a time.

    Parameters
    ----------
    subscriptions : polars.DataFrame
        Rows under :class:`data.schemas.SubscriptionSchema`.
    plans, reliable_from
        As in :func:`features.subscription_timeline.build_timeline`.
    """

    def __init__(
        self, subscriptions: pl.DataFrame, *, plans: Sequence[str], reliable_from: date | None
    ) -> None:
        self._timeline = subscription_timeline.build_timeline(
            subscriptions, plans=plans, reliable_from=reliable_from
        )
        self._terms_by_day: dict[date, Mapping[str, SubscriptionTerms]] = {}

    def get_terms(self, account: str, day: date) -> SubscriptionTerms:
        """Return the terms of an account on a day; empty terms for an unknown account."""
        if day not in self._terms_by_day:
            self._terms_by_day = {day: self._load_day(day)}
        return self._terms_by_day[day].get(account, _NO_TERMS)

    def _load_day(self, day: date) -> Mapping[str, SubscriptionTerms]:
        midnight = get_next_midnight(day)
        active = subscription_timeline.select_in_force(
            known_before(self._timeline, midnight), midnight
        )
        rows = active.select("account_id", "seats", "usage_limit", "paid", "ended").iter_rows()
        return {account: SubscriptionTerms(*terms) for account, *terms in rows}
