"""Content of a digest: the first accounts of each CSM, and the suppressed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from serving.notify.digest.text_utils import clean_sentences, to_single_line
from serving.store import fetch_rows
from serving.store.queries import is_on_previous_list, load_run_record
from serving.store.schema import SCORES

if TYPE_CHECKING:
    from data.config.settings import DigestConfig

__all__ = ["Digest", "DigestEntry", "SuppressedGroup", "build_digests", "load_digests"]

_MAX_NAME_LENGTH: Final = 80
_MAX_SENTENCES: Final = 3
_COLUMNS: Final = (
    *("account_id", "name", "csm", "rank", "portfolio_rank", "in_weekly_capacity"),
    *("outreach_allowed", "probability", "readiness_date", "limit", "motion", "contact_role"),
    *("signals", "changes", "counter_reasons", "note"),
)


@dataclass(frozen=True, repr=False)
class DigestEntry:
    """One account to contact; texts are empty where unknown.

    ``probability`` is of an expansion within the horizon, None where the list has none.
    ``readiness_date`` is None without a specific date; a past day means now. ``counter_reasons``
    are sentences against; ``note`` tells that there is little evidence.
    """

    name: str
    link: str
    probability: float | None
    readiness_date: date | None
    limit: str
    motion: str
    contact_role: str
    signals: tuple[str, ...]
    changes: tuple[str, ...]
    counter_reasons: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class SuppressedGroup:
    """Accounts suppressed for one reason; ``new`` names those added since the previous list."""

    motion: str
    accounts: int
    new: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Digest:
    """The digest of one CSM, None for accounts without a CSM.

    ``basis`` is the ranking criterion, empty for a model that passed the gate. ``in_capacity``
    counts the accounts within the CSM's capacity this week, None where unknown. The entries are the
    first of the ``outreach_accounts``, for which outreach is allowed.
    """

    csm: str | None
    as_of: date
    today: date
    horizon_days: int
    basis: str
    entries: tuple[DigestEntry, ...]
    in_capacity: int | None
    outreach_accounts: int
    suppressed: tuple[SuppressedGroup, ...]

    @property
    def age_days(self) -> int:
        """Return the number of days since the list was scored."""
        return (self.today - self.as_of).days

    @property
    def more_in_capacity(self) -> int:
        """Return the number of accounts within this week's capacity after the entries."""
        return max((self.in_capacity or 0) - len(self.entries), 0)


def load_digests(
    engine: sa.Engine, config: DigestConfig, as_of: date, today: date, *, horizon_days: int
) -> list[Digest]:
    """Load the digest of every CSM on a list."""
    rows = sa.select(*(SCORES.c[name] for name in _COLUMNS)).where(SCORES.c.as_of == as_of)
    previous = sa.select(SCORES.c.account_id, SCORES.c.motion).where(is_on_previous_list(as_of))
    basis = str(load_run_record(engine, as_of).get("basis", ""))
    passed_the_gate = basis.startswith("by model version") and "," not in basis
    return build_digests(
        fetch_rows(engine, rows.order_by(SCORES.c.rank.nulls_last(), SCORES.c.account_id)),
        {row["account_id"]: row["motion"] for row in fetch_rows(engine, previous)},
        as_of=as_of,
        today=today,
        horizon_days=horizon_days,
        basis="" if passed_the_gate else basis,
        link=config.link,
        max_accounts=config.accounts,
    )


def build_digests(
    rows: Iterable[Mapping[str, Any]],
    previous_motions: Mapping[str, str | None],
    *,
    as_of: date,
    today: date,
    horizon_days: int,
    basis: str = "",
    link: str | None = None,
    max_accounts: int = 5,
) -> list[Digest]:
    """Build the digest of every CSM on a list, by name; accounts without a CSM come last.

    ``rows`` are those of the list, including unranked ones, with
    ``serving.store.schema.SCORE_COLUMNS``; columns that an older list lacks are None.
    ``previous_motions`` is account → motion on the previous list, empty where there was none.
    ``basis`` is the ranking criterion, where a CSM should know it. ``link`` is a URL with
    ``{account_id}`` in it.
    """
    portfolios: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in rows:
        csm_name = to_single_line(row["csm"] or "", _MAX_NAME_LENGTH) or None
        portfolios.setdefault(csm_name, []).append(row)
    digests = []
    for csm in sorted(portfolios, key=lambda name: (name is None, name or "")):
        listed = sorted((row for row in portfolios[csm] if row["rank"] is not None), key=_sort_key)
        outreach_rows = [row for row in listed if row["outreach_allowed"] is not False]
        suppressed_rows = [row for row in listed if row["outreach_allowed"] is False]
        in_capacity = [
            row["in_weekly_capacity"]
            for row in outreach_rows
            if row["in_weekly_capacity"] is not None
        ]
        digests.append(
            Digest(
                csm=csm,
                as_of=as_of,
                today=today,
                horizon_days=horizon_days,
                basis=to_single_line(basis),
                entries=tuple(_build_entry(row, link) for row in outreach_rows[:max_accounts]),
                in_capacity=sum(in_capacity) if in_capacity else None,
                outreach_accounts=len(outreach_rows),
                suppressed=_group_suppressed(suppressed_rows, previous_motions),
            )
        )
    return digests


def _sort_key(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["portfolio_rank"] or row["rank"], row["rank"]


def _build_entry(row: Mapping[str, Any], link: str | None) -> DigestEntry:
    limit = row["limit"] or ""
    return DigestEntry(
        name=_display_name(row),
        link=link.replace("{account_id}", quote(row["account_id"], safe="")) if link else "",
        probability=row["probability"],
        readiness_date=row["readiness_date"],
        limit="" if limit == "none" else limit,
        motion=row["motion"] or "",
        contact_role=to_single_line(row["contact_role"] or ""),
        signals=tuple(clean_sentences(row["signals"])[:_MAX_SENTENCES]),
        changes=tuple(clean_sentences(row["changes"])[:_MAX_SENTENCES]),
        counter_reasons=tuple(clean_sentences(row["counter_reasons"])[:_MAX_SENTENCES]),
        note=to_single_line(row["note"] or ""),
    )


def _group_suppressed(
    rows: Sequence[Mapping[str, Any]], previous_motions: Mapping[str, str | None]
) -> tuple[SuppressedGroup, ...]:
    """Group by reason, the most urgent first: churn risk leads."""
    reasons: dict[str, list[Mapping[str, Any]]] = {"retain": [], "cooldown": [], "consolidate": []}
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
