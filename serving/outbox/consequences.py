"""What follows from a list: who has left it, how the episodes go on, what should be true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from serving.events import kept as signals
from serving.outbox import kept, wanted
from serving.outbox.episodes import Episode, Pressure, advanced
from serving.outbox.follow_ups import Earlier, of_episodes
from serving.outbox.levels import Levels
from serving.outbox.wanted import Wanted
from serving.state import entry

if TYPE_CHECKING:
    from data.settings import Episodes
    from serving.score import Scored

__all__ = ["Consequences", "of"]


@dataclass(frozen=True)
class Consequences:
    """What follows from a list.

    Attributes
    ----------
    listed, left : polars.DataFrame
        The accounts on the list, and those that are not, with the reason in ``note``.
    before, after : list of Episode
        The episodes as they were, and as they go on.
    earlier : mapping
        What the outbox holds of opportunities and tasks.
    in_force : bool
        False beside a newer list: then nothing follows.
    """

    listed: pl.DataFrame
    left: pl.DataFrame
    before: list[Episode]
    after: list[Episode]
    earlier: Earlier
    as_of: date
    in_force: bool

    def objects(self) -> Iterator[Wanted]:
        """Every object as it should be, accounts first."""
        lines = {}
        for account in wanted.of_accounts(self.listed, self.left, self.as_of):
            if account.fields["rank"] is not None:
                lines[account.key] = account.fields
            yield account
        yield from of_episodes(self.after, lines, self.earlier, self.as_of)


def of(
    connection: sa.Connection,
    target: str,
    scored: Scored,
    as_of: date,
    *,
    levels: Mapping[str, Levels],
    rules: Episodes,
) -> Consequences:
    """Find out what follows from a list for a target; nothing is written.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        To the one database.
    target : str
        Name of the CRM.
    scored, as_of
        The list and its as-of.
    levels : mapping of str to Levels
        Account → its contract at the as-of; see :func:`serving.outbox.levels.at`.
    rules : data.settings.Episodes
        When an episode ends.
    """
    newest = entry.newest_run(connection)
    before = kept.episodes(connection)
    after = advanced(
        before,
        _pressure(scored.accounts, signals.open_signals(connection)),
        levels,
        as_of,
        relief_days=rules.relief_days,
        expiry_days=rules.expiry_days,
    )
    return Consequences(
        scored.accounts,
        entry.left_out(connection, scored.accounts, scored.left, as_of),
        before,
        after,
        kept.earlier(connection, target),
        as_of,
        in_force=newest is None or newest <= as_of,
    )


def _pressure(listed: pl.DataFrame, signals: Mapping[str, str]) -> dict[str, Pressure]:
    """What each account runs into, where a tier fires or a signal is open."""
    tiered = pl.col("tier").is_not_null() & pl.col("limit").ne("none")
    signal = pl.col("account_id").replace_strict(
        dict(signals), default=None, return_dtype=pl.String
    )
    found = listed.select(
        "account_id", "ask", limit=pl.when(tiered).then("limit").otherwise(signal)
    ).drop_nulls("limit")
    rows = found.select("account_id", "limit", "ask").iter_rows()
    return {account: Pressure(limit, bool(ask)) for account, limit, ask in rows}
