"""Delivery plan of a list: unlisted accounts, advanced episodes and the desired objects."""

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
from serving.store import writers

if TYPE_CHECKING:
    from data.config.settings import EpisodesConfig
    from serving.scoring.score import ScoredList

__all__ = ["DeliveryPlan", "plan_delivery"]


@dataclass(frozen=True)
class DeliveryPlan:
    """Everything that follows from a list.

    Attributes
    ----------
    listed, unlisted : polars.DataFrame
        The accounts on the list, and those that are not, with the reason in ``note``.
    episodes_before, episodes_after : list of Episode
        The episodes before and after the list.
    existing : mapping
        Desired fields of opportunities and tasks as stored before.
    is_current : bool
        False if a newer list exists; nothing is delivered then.
    """

    listed: pl.DataFrame
    unlisted: pl.DataFrame
    episodes_before: list[Episode]
    episodes_after: list[Episode]
    existing: ExistingFields
    as_of: date
    is_current: bool

    def iter_objects(self) -> Iterator[DesiredObject]:
        """Yield every desired object, accounts first."""
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
    episode_config: EpisodesConfig,
) -> DeliveryPlan:
    """Plan the delivery of a list to a target; nothing is written.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Connection to the application's database.
    target : str
        Name of the CRM.
    scored, as_of
        The list and its as-of.
    entitlements : mapping of str to Entitlements
        Account → its contract at the as-of; see
        :func:`serving.delivery.desired.entitlements.resolve_entitlements`.
    episode_config : data.config.delivery.EpisodesConfig
        When an episode closes.
    """
    newest = writers.select_latest_as_of(connection)
    before = repository.load_episodes(connection)
    after = advance_episodes(
        before,
        _find_pressure(scored.accounts, repository.load_open_alerts(connection)),
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
    """Return the limit of each account where a tier rule fires or an alert is open."""
    is_tiered = pl.col("tier").is_not_null() & pl.col("limit").ne("none")
    alert_limit = pl.col("account_id").replace_strict(
        dict(alerts), default=None, return_dtype=pl.String
    )
    limits_under_pressure = listed.select(
        "account_id",
        "outreach_allowed",
        limit=pl.when(is_tiered).then("limit").otherwise(alert_limit),
    ).drop_nulls("limit")
    rows = limits_under_pressure.select("account_id", "limit", "outreach_allowed").iter_rows()
    return {account: LimitPressure(limit, bool(allowed)) for account, limit, allowed in rows}
