"""Write a list, and what follows from it at a CRM, in one transaction: all of it, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from serving.outbox import kept, wanted
from serving.outbox.episodes import Episode, Pressure, advanced
from serving.outbox.follow_ups import Earlier, of_episodes
from serving.outbox.levels import Levels
from serving.outbox.wanted import Wanted
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
        newest = entry.newest_run(connection)
        left = entry.left_out(connection, scored.accounts, scored.left, as_of)
        model = scored.accounts["model"][0]
        run_id = entry.run(connection, as_of, model=model, record=record, finished_at=finished_at)
        entry.lines(connection, scored.accounts, left, as_of)
        if newest is not None and newest > as_of:
            return Put(run_id, 0, 0, scored.accounts.height)
        carried = _carry_on(connection, scored.accounts, levels, as_of, rules)
        objects = _objects(scored.accounts, left, carried, kept.earlier(connection, target), as_of)
        kept.replace(connection, target, objects, as_of, run_id)
    return Put(
        run_id,
        scored.accounts.height,
        left.height,
        0,
        opened=sum(episode.opened_on == as_of for episode in carried),
        closed=sum(episode.closed_on == as_of for episode in carried),
    )


def _carry_on(
    connection: sa.Connection,
    listed: pl.DataFrame,
    levels: Mapping[str, Levels],
    as_of: date,
    rules: Episodes,
) -> list[Episode]:
    known = kept.episodes(connection)
    carried = advanced(
        known,
        _pressure(listed),
        levels,
        as_of,
        relief_days=rules.relief_days,
        expiry_days=rules.expiry_days,
    )
    kept.keep(connection, known, carried)
    return carried


def _pressure(listed: pl.DataFrame) -> dict[str, Pressure]:
    """What each account runs into, where a tier fires."""
    pressed = listed.filter(pl.col("tier").is_not_null(), pl.col("limit") != "none")
    rows = pressed.select("account_id", "limit", "ask").iter_rows()
    return {account: Pressure(limit, bool(ask)) for account, limit, ask in rows}


def _objects(
    listed: pl.DataFrame,
    left: pl.DataFrame,
    episodes: Iterable[Episode],
    earlier: Earlier,
    as_of: date,
) -> Iterator[Wanted]:
    """Every object as it should be, accounts first."""
    lines = {}
    for account in wanted.of_accounts(listed, left, as_of):
        if account.fields["rank"] is not None:
            lines[account.key] = account.fields
        yield account
    yield from of_episodes(episodes, lines, earlier, as_of)
