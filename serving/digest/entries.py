"""What a digest says, before it is put into words: of each CSM the first accounts, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from urllib.parse import quote

from serving.digest.plain import one_line

__all__ = ["Digest", "Entry", "Held", "digests"]

_NAME: Final = 80
_SENTENCES: Final = 3


@dataclass(frozen=True)
class Entry:
    """One account to talk to.

    Attributes
    ----------
    name, link : str
        What it is called; where more about it stands, or empty.
    chance : float or None
        Of an expansion within the horizon; None where the list states none.
    talk_from : datetime.date or None
        None where there is no specific date; a day that is not to come means now.
    limit, motion, buyer : str
        What it runs into, what to do, and with whom; empty where not told.
    signals, changed, holds_back : tuple of str
        Sentences of the list: why, what is new, and what speaks against it.
    note : str
        How little is known of it, or empty.
    """

    name: str
    link: str
    chance: float | None
    talk_from: date | None
    limit: str
    motion: str
    buyer: str
    signals: tuple[str, ...]
    changed: tuple[str, ...]
    holds_back: tuple[str, ...]
    note: str

    def __repr__(self) -> str:
        return f"Entry({self.name!r})"


@dataclass(frozen=True)
class Held:
    """Accounts of which no ask is made, for one reason; ``new`` names those since last time."""

    motion: str
    accounts: int
    new: tuple[str, ...]


@dataclass(frozen=True)
class Digest:
    """What one CSM is told.

    Attributes
    ----------
    csm : str or None
        None: of accounts for which no CSM is named.
    as_of, today : datetime.date
        The day of the list, and the day on which it is told.
    horizon_days : int
        Of the chances.
    basis : str
        By what the accounts are ranked, where that is not a model that passed; else empty.
    entries : tuple of Entry
        The first to talk to.
    this_week : int or None
        So many accounts are within the CSM's time this week; None where that is not known.
    asked : int
        Accounts that may be asked, of which the entries are the first.
    held : tuple of Held
        Accounts of which no ask is made, by reason.
    """

    csm: str | None
    as_of: date
    today: date
    horizon_days: int
    basis: str
    entries: tuple[Entry, ...]
    this_week: int | None
    asked: int
    held: tuple[Held, ...]

    def __repr__(self) -> str:
        return f"Digest({self.csm!r}, {len(self.entries)} of {self.asked} accounts)"

    @property
    def age_days(self) -> int:
        """Days since the list was made."""
        return (self.today - self.as_of).days

    @property
    def more_this_week(self) -> int:
        """Accounts beyond the entries that are within this week's time."""
        return max((self.this_week or 0) - len(self.entries), 0)


def digests(
    rows: Iterable[Mapping[str, Any]],
    before: Iterable[Mapping[str, Any]],
    *,
    as_of: date,
    today: date,
    horizon_days: int,
    basis: str = "",
    link: str | None = None,
    accounts: int = 5,
) -> list[Digest]:
    """Make the digest of every CSM that a list names.

    Parameters
    ----------
    rows : iterable of mapping
        Lines of the list, with those that have no rank: see ``serving.state.schema.LINE``. What an
        older list has not filled in is None.
    before : iterable of mapping
        ``account_id`` and ``motion`` of the list before; empty where there was none.
    as_of, today : datetime.date
        The day of the list, and the day on which it is told.
    horizon_days : int
        Of the chances.
    basis : str
        By what the accounts are ranked, where a CSM should know.
    link : str, optional
        Where more about an account stands, with ``{account_id}`` in it.
    accounts : int
        So many are told in full.

    Returns
    -------
    list of Digest
        By name; the one for accounts without a CSM comes last.
    """
    books: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in rows:
        books.setdefault(one_line(row["csm"] or "", _NAME) or None, []).append(row)
    then = {row["account_id"]: row["motion"] for row in before}
    made = []
    for csm in sorted(books, key=lambda name: (name is None, name or "")):
        listed = sorted((row for row in books[csm] if row["rank"] is not None), key=_place)
        asked = [row for row in listed if row["ask"] is not False]
        held = [row for row in listed if row["ask"] is False]
        weekly = [row["this_week"] for row in asked if row["this_week"] is not None]
        made.append(
            Digest(
                csm=csm,
                as_of=as_of,
                today=today,
                horizon_days=horizon_days,
                basis=one_line(basis),
                entries=tuple(_entry(row, link) for row in asked[:accounts]),
                this_week=sum(weekly) if weekly else None,
                asked=len(asked),
                held=_held(held, then),
            )
        )
    return made


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["book_rank"] or row["rank"], row["rank"]


def _entry(row: Mapping[str, Any], link: str | None) -> Entry:
    limit = row["limit"] or ""
    return Entry(
        name=_name(row),
        link=link.replace("{account_id}", quote(row["account_id"], safe="")) if link else "",
        chance=row["probability"],
        talk_from=row["readiness_date"],
        limit="" if limit == "none" else limit,
        motion=row["motion"] or "",
        buyer=one_line(row["buyer"] or ""),
        signals=_sentences(row["signals"]),
        changed=_sentences(row["changed"]),
        holds_back=_sentences(row["holds_back"]),
        note=one_line(row["note"] or ""),
    )


def _held(rows: Sequence[Mapping[str, Any]], then: Mapping[str, Any]) -> tuple[Held, ...]:
    """By reason, in the order of the most pressing: who may leave comes first."""
    reasons: dict[str, list[Mapping[str, Any]]] = {"retain": [], "rest": [], "consolidate": []}
    for row in rows:
        reasons.setdefault(row["motion"] or "", []).append(row)
    return tuple(
        Held(
            motion,
            len(found),
            tuple(_name(row) for row in found if then and then.get(row["account_id"]) != motion),
        )
        for motion, found in reasons.items()
        if found
    )


def _name(row: Mapping[str, Any]) -> str:
    return one_line(row["name"] or "", _NAME) or one_line(row["account_id"], _NAME)


def _sentences(told: Sequence[str] | None) -> tuple[str, ...]:
    lines = (one_line(sentence) for sentence in told or ())
    return tuple(line for line in lines if line)[:_SENTENCES]
