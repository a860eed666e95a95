"""What of the list is to be shown: filters, order, search, page."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal
from urllib.parse import urlencode

__all__ = ["NO_CSM", "LimitFilter", "ListFilters", "SortOrder", "TierFilter", "WhenFilter"]

NO_CSM = "\u2014"  # the book of the accounts that are no CSM's
TierFilter = Literal["", "1", "2", "none"]
LimitFilter = Literal["", "seats", "usage", "plan", "none"]
WhenFilter = Literal["", "ready", "week", "signal"]
SortOrder = Literal["rank", "name", "chance", "ready", "arr", "full"]


@dataclass(frozen=True)
class ListFilters:
    """A choice of the list; what is empty is not asked for.

    Attributes
    ----------
    csm, segment : str
        Of the account.
    tier, limit : str
        As on the list; "none" is an account without one.
    when : {"", "ready", "week", "signal"}
        With a readiness date up to the end of the week; within the week's capacity; with a fresh
        signal, see :mod:`serving.web.queries.alerts`.
    q : str
        Part of the name or the id.
    sort : str
        What comes first.
    page : int
        From 1.
    """

    csm: str = ""
    tier: TierFilter = ""
    limit: LimitFilter = ""
    segment: str = ""
    when: WhenFilter = ""
    q: str = ""
    sort: SortOrder = "rank"
    page: int = 1

    def build_query(self, **changes: object) -> str:
        """Give the query of the same choice with changes, on its first page unless told."""
        changed = asdict(replace(self, **{"page": 1, **changes}))  # type: ignore[arg-type]
        changed_values = {
            name: value for name, value in changed.items() if value != _DEFAULTS[name]
        }
        return f"?{urlencode(changed_values)}" if changed_values else "?"

    @property
    def is_filtered(self) -> bool:
        """Whether any filter holds."""
        return bool(self.csm or self.tier or self.limit or self.segment or self.when or self.q)


_DEFAULTS = asdict(ListFilters())
