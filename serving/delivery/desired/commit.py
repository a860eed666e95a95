"""Atomic commit of a run: the list, its episodes and the desired CRM state, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from serving.delivery.desired import plan, repository
from serving.delivery.desired.entitlements import Entitlements
from serving.store import writers
from serving.store.engine import acquire_advisory_lock, write_transaction

if TYPE_CHECKING:
    from data.config.settings import EpisodesConfig
    from serving.scoring.score import ScoredList

__all__ = ["CommittedRun", "commit_run"]


@dataclass(frozen=True)
class CommittedRun:
    """Counts of what was written.

    Attributes
    ----------
    run_id : int
        Id of the run, in ``runs``.
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
    stored among the scores only.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The application's database, its schema up to date.
    target : str
        Name of the CRM.
    scored : serving.scoring.score.ScoredList
        The list.
    as_of : datetime.date
        Its as-of.
    entitlements : mapping of str to Entitlements
        Account → its contract at the as-of; see
        :func:`serving.delivery.desired.entitlements.resolve_entitlements`.
    episode_config : data.config.delivery.EpisodesConfig
        When an episode closes.
    record : mapping
        JSON values: data window, counts, quarantine.
    finished_at : datetime.datetime
        The clock, UTC.

    Returns
    -------
    CommittedRun
        Counts.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses; nothing is written then.
    """
    advice = "nothing of this run was written. Fix the cause and run again."
    with write_transaction(engine, advice=advice) as connection:
        acquire_advisory_lock(connection, "expansion list")
        delivery_plan = plan.plan_delivery(
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
        writers.replace_scores(connection, scored.accounts, delivery_plan.unlisted, as_of)
        if not delivery_plan.is_current:
            return CommittedRun(run_id, 0, 0, scored.accounts.height)
        writers.replace_account_details(connection, scored.account_details, as_of)
        writers.replace_list_index(connection, scored.accounts, scored.account_details, as_of)
        repository.save_episodes(
            connection, delivery_plan.episodes_before, delivery_plan.episodes_after
        )
        repository.replace_objects(connection, target, delivery_plan.iter_objects(), as_of, run_id)
    return CommittedRun(
        run_id,
        scored.accounts.height,
        delivery_plan.unlisted.height,
        0,
        opened=sum(episode.opened_on == as_of for episode in delivery_plan.episodes_after),
        closed=sum(episode.closed_on == as_of for episode in delivery_plan.episodes_after),
    )
