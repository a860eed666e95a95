"""What a digest says, before it is put into words: of each CSM the first accounts, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from urllib.parse import quote

from serving.notify.digest.text_utils import to_single_line

__all__ = ["Digest", "DigestEntry", "SuppressedGroup", "build_digests"]

_MAX_NAME_LENGTH: Final = 80
_MAX_SENTENCES: Final = 3


@dataclass(frozen=True)
class DigestEntry:
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
class SuppressedGroup:
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
    entries: tuple[DigestEntry, ...]
    this_week: int | None
    asked: int
    held: tuple[SuppressedGroup, ...]

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


def build_digests(
    rows: Iterable[Mapping[str, Any]],
    previous_rows: Iterable[Mapping[str, Any]],
    *,
    as_of: date,
    today: date,
    horizon_days: int,
    basis: str = "",
    link: str | None = None,
    max_accounts: int = 5,
) -> list[Digest]:
    """Make the digest of every CSM that a list names.

    Parameters
    ----------
    rows : iterable of mapping
        Lines of the list, with those that have no rank: see ``serving.store.schema.SCORE_COLUMNS``. What an
        older list has not filled in is None.
    previous_rows : iterable of mapping
        ``account_id`` and ``motion`` of the list before; empty where there was none.
    as_of, today : datetime.date
        The day of the list, and the day on which it is told.
    horizon_days : int
        Of the chances.
    basis : str
        By what the accounts are ranked, where a CSM should know.
    link : str, optional
        Where more about an account stands, with ``{account_id}`` in it.
    max_accounts : int
        So many are told in full.

    Returns
    -------
    list of Digest
        By name; the one for accounts without a CSM comes last.
    """
    portfolios: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in rows:
        portfolios.setdefault(
            to_single_line(row["csm"] or "", _MAX_NAME_LENGTH) or None, []
        ).append(row)
    previous_motions = {row["account_id"]: row["motion"] for row in previous_rows}
    digests = []
    for csm in sorted(portfolios, key=lambda name: (name is None, name or "")):
        listed = sorted((row for row in portfolios[csm] if row["rank"] is not None), key=_sort_key)
        outreach_rows = [row for row in listed if row["ask"] is not False]
        suppressed_rows = [row for row in listed if row["ask"] is False]
        weekly = [row["this_week"] for row in outreach_rows if row["this_week"] is not None]
        digests.append(
            Digest(
                csm=csm,
                as_of=as_of,
                today=today,
                horizon_days=horizon_days,
                basis=to_single_line(basis),
                entries=tuple(_build_entry(row, link) for row in outreach_rows[:max_accounts]),
                this_week=sum(weekly) if weekly else None,
                asked=len(outreach_rows),
                held=_group_suppressed(suppressed_rows, previous_motions),
            )
        )
    return digests


def _sort_key(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["book_rank"] or row["rank"], row["rank"]


def _build_entry(row: Mapping[str, Any], link: str | None) -> DigestEntry:
    limit = row["limit"] or ""
    return DigestEntry(
        name=_display_name(row),
        link=link.replace("{account_id}", quote(row["account_id"], safe="")) if link else "",
        chance=row["probability"],
        talk_from=row["readiness_date"],
        limit="" if limit == "none" else limit,
        motion=row["motion"] or "",
        buyer=to_single_line(row["buyer"] or ""),
        signals=_clean_sentences(row["signals"]),
        changed=_clean_sentences(row["changed"]),
        holds_back=_clean_sentences(row["holds_back"]),
        note=to_single_line(row["note"] or ""),
    )


def _group_suppressed(
    rows: Sequence[Mapping[str, Any]], previous_motions: Mapping[str, Any]
) -> tuple[SuppressedGroup, ...]:
    """By reason, in the order of the most pressing: who may leave comes first."""
    reasons: dict[str, list[Mapping[str, Any]]] = {"retain": [], "rest": [], "consolidate": []}
    for row in rows:
        reasons.setdefault(row["motion"] or "", []).append(row)
    return tuple(
        SuppressedGroup(
            motion,
            len(members),
            tuple(
                _display_name(row)
                for row in members
                if previous_motions and previous_motions.get(row["account_id"]) != motion
            ),
        )
        for motion, members in reasons.items()
        if members
    )


def _display_name(row: Mapping[str, Any]) -> str:
    return to_single_line(row["name"] or "", _MAX_NAME_LENGTH) or to_single_line(
        row["account_id"], _MAX_NAME_LENGTH
    )


def _clean_sentences(sentences: Sequence[str] | None) -> tuple[str, ...]:
    lines = (to_single_line(sentence) for sentence in sentences or ())
    return tuple(line for line in lines if line)[:_MAX_SENTENCES]
