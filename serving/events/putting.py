"""What follows from lines that were made between two lists: planned, then put down in a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from serving.outbox import kept, wanted
from serving.outbox.episodes import Episode, pressed
from serving.outbox.follow_ups import of_episodes
from serving.outbox.levels import Levels
from serving.outbox.wanted import Wanted
from serving.state.schema import RUNS

__all__ = ["Plan", "planned", "put"]

_RANKS: Final = ("rank", "book_rank", "this_week")
_FIRST: Final = 0  # place in the outbox: before every list


@dataclass(frozen=True)
class Plan:
    """Episodes as they were and go on, and objects as they should be, beside the list in force."""

    run_id: int
    before: list[Episode]
    after: list[Episode]
    objects: list[Wanted]


def planned(
    connection: sa.Connection,
    lines: pl.DataFrame,
    contracts: Mapping[str, Levels],
    *,
    target: str,
    day: date,
) -> Plan:
    """Plan accounts, their episodes, and the opportunities and tasks of these; writes nothing.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        To the one database.
    lines : polars.DataFrame
        From :func:`serving.score.said`, with ``name``, ``csm`` and ``changed``.
    contracts : mapping of str to Levels
        Account → its contract.
    target : str
        Name of the CRM.
    day : datetime.date
        Of the lines.
    """
    run_id = _newest(connection)
    accounts = lines["account_id"].to_list()
    if not accounts:
        return Plan(run_id, [], [], [])
    earlier = kept.of_accounts(connection, target, accounts)
    placed = _placed(lines, {key: fields for (_, key), fields in earlier.items()})
    objects = list(wanted.of_accounts(placed, placed.clear(), day))
    told = {each.key: each.fields for each in objects}
    before = kept.episodes(connection, accounts)
    after = _carried(before, lines, contracts, day)
    open_now = [each for each in after if each.ending is None]
    objects += of_episodes(open_now, told, earlier, day)
    return Plan(run_id, before, after, [replace(each, place=_FIRST) for each in objects])


def put(connection: sa.Connection, plan: Plan, *, target: str, day: date) -> bool:
    """Put a plan down; False where a list has come since it was made."""
    if _newest(connection) != plan.run_id:
        return False
    kept.keep(connection, plan.before, plan.after)
    kept.renew(connection, target, plan.objects, day, plan.run_id)
    return True


def _newest(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.max(RUNS.c.id))) or 0


def _placed(lines: pl.DataFrame, earlier: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """Give each line its place on the last list; null where it was not on it."""
    places = [
        {name: earlier.get(account, {}).get(name) for name in _RANKS}
        for account in lines["account_id"]
    ]
    schema = {"rank": pl.Int64, "book_rank": pl.Int64, "this_week": pl.Boolean}
    return pl.concat([lines, pl.DataFrame(places, schema=schema)], how="horizontal")


def _carried(
    before: Sequence[Episode], lines: pl.DataFrame, contracts: Mapping[str, Levels], day: date
) -> list[Episode]:
    after = list(before)
    rows = lines.filter(pl.col("tier").is_not_null(), pl.col("limit") != "none")
    for account, limit, ask in rows.select("account_id", "limit", "ask").iter_rows():
        place = (account, limit)
        mine = [each for each in after if (each.account_id, each.limit) == place]
        after = [each for each in after if (each.account_id, each.limit) != place]
        after += pressed(mine, place, contracts.get(account, Levels()), day, ask=bool(ask))
    return after
