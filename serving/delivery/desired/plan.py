"""What follows from a list: who has left it, how the episodes go on, what should be true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from serving.delivery.desired import account_fields, repository
from serving.delivery.desired.account_fields import DesiredObject
from serving.delivery.desired.entitlements import Entitlements
from serving.delivery.desired.episodes import Episode, LimitPressure, advance_episodes
from serving.delivery.desired.opportunities_tasks import ExistingFields, build_episode_objects
from serving.events.monitor import repository as signals
from serving.store import writers

if TYPE_CHECKING:
    from data.config.settings import Episodes
    from serving.scoring.score import ScoredList

__all__ = ["DeliveryPlan", "plan_delivery"]


@dataclass(frozen=True)
class DeliveryPlan:
    """What follows from a list.

    Attributes
    ----------
    listed, unlisted : polars.DataFrame
        The accounts on the list, and those that are not, with the reason in ``note``.
    episodes_before, episodes_after : list of Episode
        The episodes as they were, and as they go on.
    existing : mapping
        What the outbox holds of opportunities and tasks.
    is_current : bool
        False beside a newer list: then nothing follows.
    """

    listed: pl.DataFrame
    unlisted: pl.DataFrame
    episodes_before: list[Episode]
    episodes_after: list[Episode]
    existing: ExistingFields
    as_of: date
    is_current: bool

    def iter_objects(self) -> Iterator[DesiredObject]:
        """Every object as it should be, accounts first."""
        rows = {}
        for account in account_fields.build_account_objects(self.listed, self.unlisted, self.as_of):
            if account.fields["rank"] is not None:
                rows[account.key] = account.fields
            yield account
        yield from build_episode_objects(self.episodes_after, rows, self.existing, self.as_of)


def plan_delivery(
    connection: sa.Connection,
    target: str,
    scored: ScoredList,
    as_of: date,
    *,
    entitlements: Mapping[str, Entitlements],
    episode_config: Episodes,
) -> DeliveryPlan:
    """Find out what follows from a list for a target; nothing is written.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        To the one database.
    target : str
        Name of the CRM.
    scored, as_of
        The list and its as-of.
    entitlements : mapping of str to Levels
        Account → its contract at the as-of; see :func:`serving.delivery.desired.entitlements.resolve_entitlements`.
    episode_config : data.config.settings.Episodes
        When an episode ends.
    """
    newest = writers.select_latest_as_of(connection)
    before = repository.load_episodes(connection)
    after = advance_episodes(
        before,
        _find_pressure(scored.accounts, signals.load_open_alerts(connection)),
        entitlements,
        as_of,
        clear_after_days=episode_config.clear_after_days,
        expiry_days=episode_config.expiry_days,
    )
    return DeliveryPlan(
        scored.accounts,
        writers.find_unlisted_accounts(connection, scored.accounts, scored.not_listed, as_of),
        before,
        after,
        repository.load_existing_followups(connection, target),
        as_of,
        is_current=newest is None or newest <= as_of,
    )


def _find_pressure(listed: pl.DataFrame, alerts: Mapping[str, str]) -> dict[str, LimitPressure]:
    """What each account runs into, where a tier fires or a signal is open."""
    tiered = pl.col("tier").is_not_null() & pl.col("limit").ne("none")
    signal = pl.col("account_id").replace_strict(dict(alerts), default=None, return_dtype=pl.String)
    pressing = listed.select(
        "account_id", "ask", limit=pl.when(tiered).then("limit").otherwise(signal)
    ).drop_nulls("limit")
    rows = pressing.select("account_id", "limit", "ask").iter_rows()
    return {account: LimitPressure(limit, bool(ask)) for account, limit, ask in rows}
