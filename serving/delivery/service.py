"""From a list to the CRM: put down what should be true there, then send it."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from data.errors import ExpansionError
from serving import store
from serving.delivery import account_matching
from serving.delivery.crm import registry
from serving.delivery.crm.base import AccessDeniedError
from serving.delivery.desired import entitlements, plan
from serving.delivery.desired.commit import CommittedRun, commit_run
from serving.delivery.desired.entitlements import Entitlements
from serving.delivery.reconcile import crm_activity, dry_run, dry_run_queue, queue, sender
from serving.delivery.reconcile.retry import (
    DeadlineExceededError,
    RetriesExhaustedError,
    RetryingCaller,
)
from serving.delivery.reconcile.summary import SyncSummary
from serving.store.schema import APPLIED_OBJECTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.config.settings import Settings
    from data.ingest.table_loader import Tables
    from serving.scoring.score import ScoredList

__all__ = [
    "DeliveryResult",
    "deliver_list",
    "preview_delivery",
    "pull_crm_activity",
    "send_limited",
]

_EMBEDDED_TARGETS: Final = ("sql", "files")  # where no human is taken by surprise
_PULL_TIMEOUT_SECONDS: Final = 120.0  # a list is due, whether or not the CRM answers


@dataclass(frozen=True)
class DeliveryResult:
    """What became of a list.

    Attributes
    ----------
    committed : serving.delivery.desired.commit.CommittedRun
        What was written into our own database.
    target : str
        Name of the CRM.
    summary : serving.delivery.reconcile.summary.SyncSummary or None
        What was sent to it; None where nothing was: beside a newer list, or the first time.
    pending : int
        Objects that are to be sent still.
    """

    committed: CommittedRun
    target: str
    summary: SyncSummary | None
    pending: int

    def to_dict(self) -> dict[str, Any]:
        """Say it in JSON values."""
        told = asdict(self.committed)
        return {
            "run": told["run_id"],
            "written": {name: told[name] for name in ("listed", "unlisted", "newer")},
            "episodes": {name: told[name] for name in ("opened", "closed")},
            "crm": self.target,
            "sent": None if self.summary is None else self.summary.to_dict(),
            "to_send": self.pending,
        }


def pull_crm_activity(
    engine: sa.Engine, settings: Settings, *, name: str, now: datetime
) -> str | None:
    """Ask the CRM whom humans have dealt with, so that the list about to be made knows.

    Returns
    -------
    str or None
        Why it could not be asked: the list then goes by what it told before.
    """
    if not _has_been_synced(engine, name):
        return None
    try:
        with closing(registry.open_target(settings, name)) as target:
            deadline = time.monotonic() + _PULL_TIMEOUT_SECONDS
            call = RetryingCaller(target.rate_limit, deadline, time.monotonic, time.sleep)
            crm_activity.pull_human_touches(engine, target, call, now)
    except (
        ExpansionError,
        AccessDeniedError,
        RetriesExhaustedError,
        DeadlineExceededError,
    ) as error:
        return f"{name} did not tell whom humans have dealt with since the last list: {error}"
    return None


def deliver_list(
    engine: sa.Engine,
    scored: ScoredList,
    tables: Tables,
    as_of: datetime,
    settings: Settings,
    *,
    name: str,
    record: Mapping[str, Any],
    now: datetime,
) -> DeliveryResult:
    """Write a list with all that follows from it, and send it to the CRM.

    To a CRM that is not ours the first list is not sent: a human looks at it before
    (``crm.hold_first_run``).

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    scored, tables, as_of
        The list, what it was made from, and its as-of, 00:00 UTC.
    settings : data.config.settings.Settings
        CRM, episodes, order of plans.
    name : str
        Which CRM.
    record : mapping
        How the list came about.
    now : datetime.datetime
        The clock, UTC.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses, or the CRM denies us; what was put down is kept then.
    """
    committed = commit_run(
        engine,
        name,
        scored,
        as_of.date(),
        entitlements=_resolve_entitlements(tables, as_of, settings),
        episode_config=settings.episodes,
        record=record,
        finished_at=now,
    )
    if name not in _EMBEDDED_TARGETS:  # where an account goes by its own id
        rows = tables.accounts.rows.select("account_id", "crm_id").drop_nulls()
        account_matching.save_account_matches(engine, name, dict(rows.iter_rows()))
    summary = None
    if not committed.newer and not _is_first_run_held(engine, settings, name):
        with closing(registry.open_target(settings, name)) as target:
            summary = sender.send_pending(
                engine,
                target,
                now=now,
                budget_seconds=60 * settings.crm.max_minutes,
                max_writes=settings.crm.max_writes,
            )
    with store.read_transaction(engine) as connection:
        pending_count = queue.count_pending(connection, queue.Selection(name))
    return DeliveryResult(committed, name, summary, pending_count)


def send_limited(
    engine: sa.Engine, settings: Settings, *, name: str, max_objects: int, now: datetime
) -> SyncSummary | None:
    """Send so many objects, the first by their place; None while the CRM is in shadow.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses, or the CRM denies us.
    """
    if _is_first_run_held(engine, settings, name):
        return None
    seconds = 60 * settings.crm.max_minutes
    with closing(registry.open_target(settings, name)) as target:
        return sender.send_pending(
            engine, target, now=now, budget_seconds=seconds, max_writes=max_objects
        )


def preview_delivery(
    engine: sa.Engine,
    scored: ScoredList,
    tables: Tables,
    as_of: datetime,
    settings: Settings,
    *,
    name: str,
) -> SyncSummary | None:
    """Tell what :func:`deliver_list` would send: reads at the CRM, and writes nowhere.

    None beside a newer list, of which nothing would be sent.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses, or the CRM does not let us look.
    """
    entitlements = _resolve_entitlements(tables, as_of, settings)
    with store.read_transaction(engine) as connection:
        delivery_plan = plan.plan_delivery(
            connection,
            name,
            scored,
            as_of.date(),
            entitlements=entitlements,
            episode_config=settings.episodes,
        )
        if not delivery_plan.is_current:
            return None
        rows = dry_run_queue.build_pending_objects(
            connection, name, delivery_plan.iter_objects(), as_of.date()
        )
    with closing(registry.open_target(settings, name)) as target:
        return dry_run.preview_changes(engine, target, rows=rows)


def _resolve_entitlements(
    tables: Tables, as_of: datetime, settings: Settings
) -> Mapping[str, Entitlements]:
    return entitlements.resolve_entitlements(
        tables.subscriptions.rows,
        as_of,
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )


def _is_first_run_held(engine: sa.Engine, settings: Settings, name: str) -> bool:
    """Whether nothing was ever sent to a CRM that humans work in."""
    return (
        name not in _EMBEDDED_TARGETS
        and settings.crm.hold_first_run
        and not _has_been_synced(engine, name)
    )


def _has_been_synced(engine: sa.Engine, name: str) -> bool:
    """Whether a CRM was ever sent anything."""
    with store.read_transaction(engine) as connection:
        is_applied = (APPLIED_OBJECTS.c.target == name) & APPLIED_OBJECTS.c.acknowledged_at.is_not(
            None
        )
        return (
            connection.scalar(sa.select(APPLIED_OBJECTS.c.key).where(is_applied).limit(1))
            is not None
        )
