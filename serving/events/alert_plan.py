"""Desired CRM state that follows from rows rescored between two lists: plan, then commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from serving.delivery.desired import account_fields, repository
from serving.delivery.desired.account_fields import DesiredObject
from serving.delivery.desired.entitlements import Entitlements
from serving.delivery.desired.episodes import Episode, apply_alert
from serving.delivery.desired.opportunities_tasks import build_episode_objects
from serving.store.schema import RUNS

__all__ = ["AlertPlan", "commit_alert", "plan_alert"]

_RANK_COLUMNS: Final = ("rank", "portfolio_rank", "in_weekly_capacity")
_TOP_PRIORITY: Final = 0  # sent before every list object


@dataclass(frozen=True)
class AlertPlan:
    """Episodes before and after, and desired objects, based on the active list ``run_id``."""

    run_id: int
    before: list[Episode]
    after: list[Episode]
    objects: list[DesiredObject]


def plan_alert(
    connection: sa.Connection,
    rows: pl.DataFrame,
    entitlements: Mapping[str, Entitlements],
    *,
    target: str,
    day: date,
) -> AlertPlan:
    """Plan the accounts, their episodes, and the episodes' opportunities and tasks; writes nothing.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        To the application database.
    rows : polars.DataFrame
        From :func:`serving.scoring.score.build_rows`, with ``name``, ``csm`` and ``changes``.
    entitlements : mapping of str to Entitlements
        Account → its entitlements.
    target : str
        Name of the CRM.
    day : datetime.date
        Day of the rows.
    """
    run_id = _find_last_run(connection)
    accounts = rows["account_id"].to_list()
    if not accounts:
        return AlertPlan(run_id, [], [], [])
    existing = repository.load_existing_objects(connection, target, accounts)
    ranked = _join_last_ranks(rows, {key: fields for (_, key), fields in existing.items()})
    objects = list(account_fields.build_account_objects(ranked, ranked.clear(), day))
    fields_by_key = {crm_object.key: crm_object.fields for crm_object in objects}
    before = repository.load_episodes(connection, accounts)
    after = _advance_episodes(before, rows, entitlements, day)
    open_episodes = [episode for episode in after if episode.close_reason is None]
    objects += build_episode_objects(open_episodes, fields_by_key, existing, day)
    return AlertPlan(
        run_id,
        before,
        after,
        [replace(crm_object, priority=_TOP_PRIORITY) for crm_object in objects],
    )


def commit_alert(connection: sa.Connection, plan: AlertPlan, *, target: str, day: date) -> bool:
    """Commit a plan; return False if a newer list exists."""
    if _find_last_run(connection) != plan.run_id:
        return False
    repository.save_episodes(connection, plan.before, plan.after)
    repository.update_objects(connection, target, plan.objects, day, plan.run_id)
    return True


def _find_last_run(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.max(RUNS.c.id))) or 0


def _join_last_ranks(rows: pl.DataFrame, existing: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """Add the ranks of the last list to each row; null where the account was not on it."""
    ranks = [
        {name: existing.get(account, {}).get(name) for name in _RANK_COLUMNS}
        for account in rows["account_id"]
    ]
    schema = {"rank": pl.Int64, "portfolio_rank": pl.Int64, "in_weekly_capacity": pl.Boolean}
    return pl.concat([rows, pl.DataFrame(ranks, schema=schema)], how="horizontal")


def _advance_episodes(
    before: Sequence[Episode],
    rows: pl.DataFrame,
    entitlements: Mapping[str, Entitlements],
    day: date,
) -> list[Episode]:
    after = list(before)
    limits_under_pressure = rows.filter(pl.col("tier").is_not_null(), pl.col("limit") != "none")
    for account, limit, outreach_allowed in limits_under_pressure.select(
        "account_id", "limit", "outreach_allowed"
    ).iter_rows():
        key = (account, limit)
        own_episodes = [episode for episode in after if (episode.account_id, episode.limit) == key]
        after = [episode for episode in after if (episode.account_id, episode.limit) != key]
        after += apply_alert(
            own_episodes,
            key,
            entitlements.get(account, Entitlements()),
            day,
            outreach_allowed=bool(outreach_allowed),
        )
    return after
