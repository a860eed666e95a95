"""Write a list, and what follows from it at a CRM, in one transaction: all of it, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from serving.outbox import consequences, kept
from serving.outbox.levels import Levels
from serving.state import entry
from serving.state.database import alone, writing

if TYPE_CHECKING:
    from data.settings import Episodes
    from serving.score import Scored

__all__ = ["Put", "put"]


@dataclass(frozen=True)
class Put:
    """What was written.

    Attributes
    ----------
    run_id : int
        Of the run, in ``runs``.
    listed, unlisted : int
        Accounts on the list, and those with the reason why not; none where the list is old.
    newer : int
        Accounts left alone since a newer list is in force.
    opened, closed : int
        Episodes.
    """

    run_id: int
    listed: int
    unlisted: int
    newer: int
    opened: int = 0
    closed: int = 0


def put(
    engine: sa.Engine,
    target: str,
    scored: Scored,
    as_of: date,
    *,
    levels: Mapping[str, Levels],
    rules: Episodes,
    record: Mapping[str, Any],
    finished_at: datetime,
) -> Put:
    """Write a list, its run record, the episodes, and what should be true at a target.

    Safe to repeat: a second run for one as-of replaces the first. Beside a newer list an older
    one is kept among the scores only.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    target : str
        Name of the CRM that is to hear of it.
    scored : serving.score.Scored
        The list.
    as_of : datetime.date
        Its as-of.
    levels : mapping of str to Levels
        Account → its contract at the as-of; see :func:`serving.outbox.levels.at`.
    rules : data.settings.Episodes
        When an episode ends.
    record : mapping
        JSON values: data window, counts, quarantine.
    finished_at : datetime.datetime
        The clock, UTC.

    Returns
    -------
    Put
        Counts.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses; nothing is written then.
    """
    end = "nothing of this run was written. Mend it and run again."
    with writing(engine, consequence=end) as connection:
        alone(connection, "expansion list")
        follows = consequences.of(connection, target, scored, as_of, levels=levels, rules=rules)
        model = scored.accounts["model"][0]
        run_id = entry.run(connection, as_of, model=model, record=record, finished_at=finished_at)
        entry.lines(connection, scored.accounts, follows.left, as_of)
        if not follows.in_force:
            return Put(run_id, 0, 0, scored.accounts.height)
        entry.portraits(connection, scored.portraits, as_of)
        entry.books(connection, scored.accounts, scored.portraits, as_of)
        kept.keep(connection, follows.before, follows.after)
        kept.replace(connection, target, follows.objects(), as_of, run_id)
    return Put(
        run_id,
        scored.accounts.height,
        follows.left.height,
        0,
        opened=sum(episode.opened_on == as_of for episode in follows.after),
        closed=sum(episode.closed_on == as_of for episode in follows.after),
    )
