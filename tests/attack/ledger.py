"""What was tried, what was answered, and which laws did not hold."""

import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from target import Target
from wire import Answer

_ID = re.compile(r"acc_\d{5}")
_BOOK = re.compile(r"of-book-(\w+)")


@dataclass
class Kind:
    """One kind of attack.

    Attributes
    ----------
    name : str
        What is tried.
    refuses : bool
        Whether 503 is an honest answer here.
    statuses : Counter
        Status code → answers; 0: the server hung up.
    broken : list of str
        What was seen that must not be, a few examples.
    told : dict
        Further figures.
    """

    name: str
    refuses: bool = False
    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    def law(self, what: str, *, holds: bool, found: object = "") -> None:
        """A law of this kind, and what was found where it does not hold."""
        if not holds and len(self.broken) < 5:
            self.broken.append(f"{what}: {found!r}"[:500] if found != "" else what)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.name,
            "requests": self.requests,
            "answers": {str(status or "cut"): n for status, n in sorted(self.statuses.items())},
            "holds": not self.broken,
            "broken": self.broken,
            "seconds": round(self.seconds, 1),
            "told": self.told,
        }


class Ledger:
    """Judges every answer as it comes; used by many threads."""

    def __init__(self, target: Target) -> None:
        self.accepted: set[tuple[str, str]] = set()  # source and id, of those answered 200
        self.forged = 0
        self._csm_of = {row["account_id"]: row["csm"] for row in target.rows}
        self._lock = threading.Lock()

    def note(self, kind: Kind, answer: Answer, *, viewer: str = "", asked: str = "") -> Answer:
        """Count an answer, and look through it for what this viewer must not see."""
        with self._lock:
            kind.statuses[answer.status] += 1
        bad = answer.status >= 500 and not (answer.status == 503 and kind.refuses)
        kind.law("a 5xx", holds=not bad, found=(answer.status, asked[:300], answer.text[:100]))
        if viewer != "lead" and answer.body:
            seen = self._strange(answer.text, viewer, asked)
            kind.law("of another's book", holds=not seen, found=(viewer, asked[:200], seen[:3]))
        return answer

    def keep(self, source: str, ids: Iterable[str]) -> None:
        """These events were answered with 200."""
        with self._lock:
            self.accepted |= {(source, each) for each in ids}

    def _strange(self, text: str, viewer: str, asked: str) -> list[str]:
        """Accounts and names of other books in a text, but for those that were asked for."""
        asked = unquote_plus(asked)
        ids = [each for each in set(_ID.findall(text)) if self._csm_of.get(each) != viewer]
        books = [each for each in set(_BOOK.findall(text)) if each != viewer]
        return [each for each in ids + books if each not in asked]
