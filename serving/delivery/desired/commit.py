"""Plan and atomic commit of a list: its scores, its episodes and the desired CRM state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa

from serving.delivery.desired import account_fields, repository
from serving.delivery.desired.account_fields import DesiredObject
from serving.delivery.desired.entitlements import Entitlements
from serving.delivery.desired.episodes import AccountLimit, Episode, advance_episodes
from serving.delivery.desired.opportunities_tasks import ExistingFields, build_episode_objects
from serving.store import queries, writers
from serving.store.engine import acquire_advisory_lock, write_transaction

if TYPE_CHECKING:
    from data.config.settings import EpisodesConfig
    from serving.scoring.score import ScoredList

__all__ = ["CommittedRun", "DeliveryPlan", "commit_run", "plan_delivery"]


@dataclass(frozen=True)
class DeliveryPlan:
    """Everything that follows from a list.

    Attributes
    ----------
    unlisted : polars.DataFrame
        The accounts that are not on the list, with the reason in ``note``.
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

    ``entitlements`` are the contracts at the as-of, by account.
    """
    newest = queries.select_latest_as_of(connection)
    before = repository.load_episodes(connection)
    pressure = _find_pressure(scored.accounts, repository.load_open_alerts(connection))
    after = advance_episodes(before, pressure, entitlements, as_of, episode_config)
    return DeliveryPlan(
        scored.accounts,
        writers.find_unlisted_accounts(connection, scored.accounts, scored.not_listed, as_of),
        before,
        after,
        repository.load_existing_objects(connection, target, kinds=("opportunity", "task")),
        as_of,
        is_current=newest is None or newest <= as_of,
    )


@dataclass(frozen=True)
class CommittedRun:
    """Counts of what was written.

    Attributes
    ----------
    listed, unlisted : int
        Accounts on the list, and accounts that are not, with a reason; 0 if a newer list exists.
    superseded : int
        Accounts skipped because a newer list exists.
    opened, closed : int
        Episodes.
    """

    run_id: int
    listed: int
    unlisted: int
    superseded: int
    opened: int = 0
    closed: int = 0


def commit_run(
    engine: sa.Engine,
    target: str,
    scored: ScoredList,
    as_of: date,
    *,
    entitlements: Mapping[str, Entitlements],
    episode_config: EpisodesConfig,
    record: Mapping[str, Any],
    finished_at: datetime,
) -> CommittedRun:
    """Write a list, its run record, the episodes, and the desired state of a target.

    Idempotent: a second run for one as-of replaces the first. If a newer list exists, the list is
    stored among the scores only. ``record`` holds JSON values: data window, counts, quarantine.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses; nothing is written then.
    """
    advice = "nothing of this run was written. Fix the cause and run again."
    with write_transaction(engine, advice=advice) as connection:
        acquire_advisory_lock(connection, "expansion list")
        plan = plan_delivery(
            connection,
            target,
            scored,
            as_of,
            entitlements=entitlements,
            episode_config=episode_config,
        )
        model = scored.accounts["model"][0]
        run_id = writers.insert_run(
            connection, as_of, model=model, record=record, finished_at=finished_at
        )
        writers.replace_scores(connection, scored.accounts, plan.unlisted, as_of)
        if not plan.is_current:
            return CommittedRun(run_id, 0, 0, scored.accounts.height)
        writers.replace_account_details(connection, scored.account_details, as_of)
        writers.replace_list_index(connection, scored.accounts, scored.account_details, as_of)
        repository.save_episodes(connection, plan.episodes_before, plan.episodes_after)
        repository.replace_objects(connection, target, plan.iter_objects(), as_of, run_id)
    return CommittedRun(
        run_id,
        scored.accounts.height,
        plan.unlisted.height,
        0,
        opened=sum(episode.opened_on == as_of for episode in plan.episodes_after),
        closed=sum(episode.closed_on == as_of for episode in plan.episodes_after),
    )


def _find_pressure(listed: pl.DataFrame, alerts: Mapping[str, str]) -> dict[AccountLimit, bool]:
    """Return each account and limit where a tier rule fires or an alert is open.

    The value tells whether outreach is allowed.
    """
    is_tiered = pl.col("tier").is_not_null() & pl.col("limit").ne("none")
    alert_limit = pl.col("account_id").replace_strict(
        dict(alerts), default=None, return_dtype=pl.String
    )
    limit = pl.when(is_tiered).then("limit").otherwise(alert_limit)
    rows = listed.select("account_id", limit, "outreach_allowed").drop_nulls("limit").iter_rows()
    return {(account, limit): bool(allowed) for account, limit, allowed in rows}
