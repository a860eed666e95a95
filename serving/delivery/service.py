"""Delivery of a list: commit the desired state, then send it to the CRM."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from data.errors import ExpansionError
from serving import store
from serving.delivery.crm import registry
from serving.delivery.crm.base import AccessDeniedError
from serving.delivery.desired.commit import CommittedRun, commit_run, plan_delivery
from serving.delivery.desired.entitlements import resolve_entitlements
from serving.delivery.reconcile import crm_activity, dry_run, queue, sender
from serving.delivery.reconcile.retry import (
    DeadlineExceededError,
    RetriesExhaustedError,
    RetryingCaller,
)
from serving.delivery.reconcile.summary import SyncSummary
from serving.store.schema import APPLIED_OBJECTS
from serving.store.upsert import insert_missing

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
    "save_account_matches",
    "send_limited",
]

_EMBEDDED_TARGETS: Final = ("sql", "files")  # need no review before the first run
_PULL_TIMEOUT_SECONDS: Final = 120.0  # a slow CRM must not delay the list for longer


@dataclass(frozen=True)
class DeliveryResult:
    """Result of delivering a list.

    Attributes
    ----------
    summary : serving.delivery.reconcile.summary.SyncSummary or None
        What was sent; None if nothing was: a newer list exists, or the first run is held.
    pending : int
        Objects still to be sent.
    """

    committed: CommittedRun
    target: str
    summary: SyncSummary | None
    pending: int

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        counts = asdict(self.committed)
        return {
            "run": counts["run_id"],
            "written": {name: counts[name] for name in ("listed", "unlisted", "superseded")},
            "episodes": {name: counts[name] for name in ("opened", "closed")},
            "crm": self.target,
            "sent": None if self.summary is None else self.summary.to_dict(),
            "pending": self.pending,
        }


def pull_crm_activity(
    engine: sa.Engine, settings: Settings, *, name: str, now: datetime
) -> tuple[int | None, str | None]:
    """Pull recent human activity from the CRM, so that the next list can use it.

    Returns
    -------
    human_touches : int or None
        New human touches, for :func:`deliver_list`; None if nothing was pulled.
    error : str or None
        Reason why it could not be pulled; the list then uses what is already stored.
    """
    if not _has_been_synced(engine, name):
        return None, None
    try:
        with closing(registry.open_target(settings, name)) as target:
            deadline = time.monotonic() + _PULL_TIMEOUT_SECONDS
            call = RetryingCaller(target.rate_limit, deadline, time.monotonic, time.sleep)
            return crm_activity.pull_human_touches(engine, target, call, now), None
    except (
        ExpansionError,
        AccessDeniedError,
        RetriesExhaustedError,
        DeadlineExceededError,
    ) as error:
        return None, f"could not read human activity since the last list from {name}: {error}"


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
    human_touches: int | None = None,
) -> DeliveryResult:
    """Commit a list with its desired state, and send it to the CRM.

    The first list for an external CRM is not sent: a human reviews it first
    (``crm.hold_first_run``). ``human_touches`` is the result of :func:`pull_crm_activity` at
    ``now``; without it, the sender pulls.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses, or the CRM denies access; the committed state is kept then.
    """
    committed = commit_run(
        engine,
        name,
        scored,
        as_of.date(),
        entitlements=resolve_entitlements(scored.contracts, as_of),
        episode_config=settings.episodes,
        record=record,
        finished_at=now,
    )
    if name not in _EMBEDDED_TARGETS:  # these use our account ids as record ids
        rows = tables.accounts.rows.select("account_id", "crm_id").drop_nulls()
        save_account_matches(engine, name, dict(rows.iter_rows()))
    summary = None
    if not committed.superseded:
        cap = settings.crm.max_writes
        summary = send_limited(
            engine, settings, name=name, max_objects=cap, now=now, human_touches=human_touches
        )
    with store.read_transaction(engine) as connection:
        pending_count = queue.count_pending(connection, queue.Selection(name))
    return DeliveryResult(committed, name, summary, pending_count)


def send_limited(
    engine: sa.Engine,
    settings: Settings,
    *,
    name: str,
    max_objects: int | None,
    now: datetime,
    human_touches: int | None = None,
) -> SyncSummary | None:
    """Send at most ``max_objects`` objects by priority; return None while the first run is held.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses, or the CRM denies access.
    """
    if _is_first_run_held(engine, settings, name):
        return None
    with closing(registry.open_target(settings, name)) as target:
        return sender.send_pending(
            engine,
            target,
            now=now,
            budget_seconds=60 * settings.crm.max_minutes,
            max_writes=max_objects,
            human_touches=human_touches,
        )


def preview_delivery(
    engine: sa.Engine,
    scored: ScoredList,
    as_of: datetime,
    settings: Settings,
    *,
    name: str,
) -> SyncSummary | None:
    """Return what :func:`deliver_list` would send: reads from the CRM, and writes nowhere.

    None if a newer list exists, since nothing would be sent.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses, or the CRM denies access.
    """
    with store.read_transaction(engine) as connection:
        plan = plan_delivery(
            connection,
            name,
            scored,
            as_of.date(),
            entitlements=resolve_entitlements(scored.contracts, as_of),
            episode_config=settings.episodes,
        )
        if not plan.is_current:
            return None
        rows = dry_run.build_pending_objects(connection, name, plan.iter_objects(), as_of.date())
    with closing(registry.open_target(settings, name)) as target:
        return dry_run.preview_changes(engine, target, rows=rows)


def save_account_matches(engine: sa.Engine, target: str, crm_ids: Mapping[str, str]) -> None:
    """Save the record ids that the accounts table gives, unless the target has returned others."""
    if not crm_ids:
        return
    empty = {"fields": {}, "in_flight": {}, "human_fields": [], "adopted": False}
    of_accounts = (APPLIED_OBJECTS.c.target == target) & (APPLIED_OBJECTS.c.kind == "account")
    stored = sa.select(APPLIED_OBJECTS.c.key, APPLIED_OBJECTS.c.crm_id).where(of_accounts)
    update = (
        sa.update(APPLIED_OBJECTS)
        .where(of_accounts, APPLIED_OBJECTS.c.key == sa.bindparam("account_id"))
        .where(APPLIED_OBJECTS.c.crm_id.is_(None))
        .values(crm_id=sa.bindparam("record_id"))
    )
    with store.write_transaction(engine) as connection:
        known = {row.key: row.crm_id for row in connection.execute(stored)}
        insert_missing(
            connection,
            APPLIED_OBJECTS,
            [
                {"target": target, "kind": "account", "key": key, "crm_id": crm_id, **empty}
                for key, crm_id in crm_ids.items()
                if key not in known
            ],
        )
        unmatched = [
            {"account_id": key, "record_id": crm_id}
            for key, crm_id in crm_ids.items()
            if key in known and known[key] is None
        ]
        if unmatched:
            connection.execute(update, unmatched)


def _is_first_run_held(engine: sa.Engine, settings: Settings, name: str) -> bool:
    """Return True if the first run to an external CRM is held for review."""
    return (
        name not in _EMBEDDED_TARGETS
        and settings.crm.hold_first_run
        and not _has_been_synced(engine, name)
    )


def _has_been_synced(engine: sa.Engine, name: str) -> bool:
    """Return True if anything was ever applied at the CRM."""
    is_applied = (APPLIED_OBJECTS.c.target == name) & APPLIED_OBJECTS.c.applied_at.is_not(None)
    query = sa.select(APPLIED_OBJECTS.c.key).where(is_applied).limit(1)
    with store.read_transaction(engine) as connection:
        return connection.scalar(query) is not None
