"""What each contract allows on a day, as the panel reads it as of the coming midnight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from features import contract
from features.grid import known_before
from features.moment import as_of

__all__ = ["Contracts", "Terms"]


@dataclass(frozen=True, slots=True)
class Terms:
    """A contract in force; None where a level is not agreed."""

    seats: float | None = None
    usage_limit: float | None = None
    paid: bool = False
    ended: bool = False


_NONE: Final = Terms()


class Contracts:
    """The terms of every account, of one day at a time.

    Parameters
    ----------
    subscriptions : polars.DataFrame
        Rows under :class:`data.contracts.Subscriptions`.
    plans, reliable_from
        As in :func:`features.contract.timeline`.
    """

    def __init__(
        self, subscriptions: pl.DataFrame, *, plans: Sequence[str], reliable_from: date | None
    ) -> None:
        self._rows = contract.timeline(subscriptions, plans=plans, reliable_from=reliable_from)
        self._held: dict[date, Mapping[str, Terms]] = {}

    def of(self, account: str, day: date) -> Terms:
        """The terms of an account on a day; of an unknown one, none."""
        if day not in self._held:
            self._held = {day: self._on(day)}
        return self._held[day].get(account, _NONE)

    def _on(self, day: date) -> Mapping[str, Terms]:
        moment = as_of(day)
        found = contract.in_force(known_before(self._rows, moment), moment)
        rows = found.select("account_id", "seats", "usage_limit", "paid", "ended").iter_rows()
        return {account: Terms(*terms) for account, *terms in rows}
