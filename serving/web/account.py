"""One account as a viewer may see it, and what came before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from serving.state.database import reading
from serving.state.schema import EPISODES, PORTRAITS, SCORES
from serving.web import feedback, signals
from serving.web.sign_in import Viewer

__all__ = ["Account", "agreed", "find", "terms"]

_LISTS: Final = 26  # of the past, half a year of Mondays
_TERMS: Final = ("plan", "seats", "usage_limit", "mrr", "status")
_PAST: Final = ("as_of", "rank", "probability", "tier", "limit", "signals", "expansion_signal")


@dataclass(frozen=True)
class Account:
    """What is known of an account.

    Attributes
    ----------
    line : mapping
        See ``serving.state.schema.LINE``; of one that is not on the list, the reason in ``note``.
    segment : str or None
        Of the accounts table.
    drawn : mapping
        What :func:`serving.lines.portraits.of` told; empty where no list has told it.
    past : sequence of mapping
        Its lines on the last lists, oldest first.
    episodes, signals, said : sequence of mapping
        Stretches of pressure, what events raised, and what humans said; newest first.
    """

    line: Mapping[str, Any]
    segment: str | None
    drawn: Mapping[str, Any]
    past: Sequence[Mapping[str, Any]]
    episodes: Sequence[Mapping[str, Any]]
    signals: Sequence[Mapping[str, Any]]
    said: Sequence[Mapping[str, Any]]

    def __repr__(self) -> str:
        return f"Account({self.line['account_id']!r})"


def find(engine: sa.Engine, viewer: Viewer, account_id: str, as_of: date) -> Account | None:
    """Look an account up; None where there is none in the viewer's book."""
    whose = [] if viewer.csm is None else [SCORES.c.csm == viewer.csm]
    here = sa.select(SCORES).where(
        SCORES.c.account_id == account_id, SCORES.c.as_of == as_of, *whose
    )
    with reading(engine) as connection:
        line = connection.execute(here).mappings().first()
        if line is None:
            return None
        drawn = connection.execute(
            sa.select(PORTRAITS).where(
                PORTRAITS.c.account_id == account_id, PORTRAITS.c.as_of == as_of
            )
        ).first()
        past = connection.execute(
            sa.select(*(SCORES.c[name] for name in _PAST))
            .where(
                SCORES.c.account_id == account_id,
                SCORES.c.rank.is_not(None),
                SCORES.c.as_of <= as_of,
            )
            .order_by(SCORES.c.as_of.desc())
            .limit(_LISTS)
        ).mappings()
        lists = [dict(row) for row in past][::-1]
        episodes = connection.execute(
            sa.select(EPISODES)
            .where(EPISODES.c.account_id == account_id)
            .order_by(EPISODES.c.opened_on.desc(), EPISODES.c.limit)
        ).mappings()
        stretches = [dict(row) for row in episodes]
        raised = signals.of_account(connection, account_id)
    return Account(
        dict(line),
        drawn.segment if drawn else None,
        drawn.told if drawn else {},
        lists,
        stretches,
        raised,
        feedback.of_account(engine, account_id),
    )


def terms(contract: Mapping[str, Sequence[Any]] | None) -> list[dict[str, Any]]:
    """Give the rows of a contract that changed something, the newest first."""
    if not contract:
        return []
    rows = [dict(zip(contract, row, strict=True)) for row in zip(*contract.values(), strict=True)]
    return [
        row
        for row, before in zip(rows, [None, *rows[:-1]], strict=True)
        if before is None or row["change"] or any(row[name] != before[name] for name in _TERMS)
    ][::-1]


def agreed(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Name what a contract says anything of."""
    return {name for name in _TERMS if any(row[name] is not None for row in rows)}
