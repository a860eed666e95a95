"""What of the list is to be shown: filters, order, search, page."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal
from urllib.parse import urlencode

__all__ = ["NOBODY", "Limit", "Order", "Tier", "Wanted", "When"]

NOBODY = "\u2014"  # the book of the accounts that are no CSM's
Tier = Literal["", "1", "2", "none"]
Limit = Literal["", "seats", "usage", "plan", "none"]
When = Literal["", "ready", "week", "signal"]
Order = Literal["rank", "name", "chance", "ready", "arr", "full"]


@dataclass(frozen=True)
class Wanted:
    """A choice of the list; what is empty is not asked for.

    Attributes
    ----------
    csm, segment : str
        Of the account.
    tier, limit : str
        As on the list; "none" is an account without one.
    when : {"", "ready", "week", "signal"}
        With a readiness date up to the end of the week; within the week's capacity; with a fresh
        signal, see :mod:`serving.web.signals`.
    q : str
        Part of the name or the id.
    sort : str
        What comes first.
    page : int
        From 1.
    """

    csm: str = ""
    tier: Tier = ""
    limit: Limit = ""
    segment: str = ""
    when: When = ""
    q: str = ""
    sort: Order = "rank"
    page: int = 1

    def link(self, **changes: object) -> str:
        """Give the query of the same choice with changes, on its first page unless told."""
        changed = asdict(replace(self, **{"page": 1, **changes}))  # type: ignore[arg-type]
        told = {name: value for name, value in changed.items() if value != _USUAL[name]}
        return f"?{urlencode(told)}" if told else "?"

    @property
    def narrowed(self) -> bool:
        """Whether any filter holds."""
        return bool(self.csm or self.tier or self.limit or self.segment or self.when or self.q)


_USUAL = asdict(Wanted())
