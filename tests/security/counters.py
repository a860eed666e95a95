"""Record of requests, responses and violated assertions."""

import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from tests.security.raw_http import RawResponse
from tests.security.target import Target

_ID = re.compile(r"acc_\d{5}")
_PORTFOLIO = re.compile(r"of-book-(\w+)")


@dataclass
class AttackCategory:
    """One category of attacks; status 0: the connection was closed."""

    name: str
    may_return_503: bool = False
    statuses: Counter[int] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)  # a few examples
    figures: dict[str, Any] = field(default_factory=dict)  # further measurements
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    def check(self, description: str, *, holds: bool, observed: object = "") -> None:
        """Record a violation if an assertion does not hold."""
        if not holds and len(self.violations) < 5:
            self.violations.append(
                f"{description}: {observed!r}"[:500] if observed != "" else description
            )

    def as_json(self) -> dict[str, Any]:
        return {
            "category": self.name,
            "requests": self.requests,
            "statuses": {str(status or "cut"): n for status, n in sorted(self.statuses.items())},
            "holds": not self.violations,
            "violations": self.violations,
            "seconds": round(self.seconds, 1),
            "figures": self.figures,
        }


class Ledger:
    """Checks every response; thread-safe."""

    def __init__(self, target: Target) -> None:
        self.accepted: set[tuple[str, str]] = set()  # source and id, of those answered 200
        self._csm_of = {row["account_id"]: row["csm"] for row in target.rows}
        self._lock = threading.Lock()

    def record(
        self, category: AttackCategory, response: RawResponse, *, user: str = "", request: str = ""
    ) -> RawResponse:
        """Count a response, and check it for data that the user must not see."""
        with self._lock:
            category.statuses[response.status] += 1
        bad = response.status >= 500 and not (response.status == 503 and category.may_return_503)
        category.check(
            "a 5xx", holds=not bad, observed=(response.status, request[:300], response.text[:100])
        )
        if user != "lead" and response.body:
            seen = self._find_foreign(response.text, user, request)
            category.check(
                "data of another portfolio",
                holds=not seen,
                observed=(user, request[:200], seen[:3]),
            )
        return response

    def record_accepted(self, source: str, ids: Iterable[str]) -> None:
        """Record events that were answered with 200."""
        with self._lock:
            self.accepted |= {(source, each) for each in ids}

    def _find_foreign(self, text: str, user: str, request: str) -> list[str]:
        """Return accounts and names of other portfolios in a text, except requested ones."""
        request = unquote_plus(request)
        ids = [each for each in set(_ID.findall(text)) if self._csm_of.get(each) != user]
        portfolios = [each for each in set(_PORTFOLIO.findall(text)) if each != user]
        return [each for each in ids + portfolios if each not in request]
