"""Filters, sort order, search and pagination of the list."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal
from urllib.parse import urlencode

__all__ = ["NO_CSM", "LimitFilter", "ListFilters", "SortOrder", "TierFilter", "WhenFilter"]

NO_CSM = "\u2014"  # filter value for accounts without a CSM
TierFilter = Literal["", "1", "2", "none"]
LimitFilter = Literal["", "seats", "usage", "plan", "none"]
WhenFilter = Literal["", "ready", "capacity", "alert"]
SortOrder = Literal["rank", "name", "probability", "ready", "arr", "utilization"]


@dataclass(frozen=True)
class ListFilters:
    """The query parameters of the list; an empty value does not filter.

    Attributes
    ----------
    csm, segment : str
        Of the account.
    tier, limit : str
        As on the list; "none" selects accounts without one.
    when : {"", "ready", "capacity", "alert"}
        Readiness date up to the end of the week; within weekly capacity; with a new alert, see
        :mod:`serving.web.queries.alerts`.
    q : str
        Part of the name or the id.
    sort : str
        Sort order.
    page : int
        Page number, from 1.
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
        """Return the query string with changed parameters; the page resets to 1 unless given."""
        changed = asdict(replace(self, **{"page": 1, **changes}))  # type: ignore[arg-type]
        changed_values = {
            name: value for name, value in changed.items() if value != _DEFAULTS[name]
        }
        return f"?{urlencode(changed_values)}" if changed_values else "?"

    @property
    def is_filtered(self) -> bool:
        """True if any filter is set."""
        return bool(self.csm or self.tier or self.limit or self.segment or self.when or self.q)


_DEFAULTS = asdict(ListFilters())
