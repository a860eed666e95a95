"""Rollback of a run: restore the fields it changed at a CRM; nothing is deleted.

The restored values are queued as desired state under the negated run id, and sent like any other
change. A rollback can therefore be killed and resumed, and later human edits are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import Fields, Kind, Value
from serving.delivery.crm.fields import WITHDRAWN
from serving.delivery.desired.account_fields import hash_fields
from serving.delivery.reconcile import queue
from serving.store.schema import APPLIED_OBJECTS, CHANGE_LOG, DESIRED_OBJECTS

__all__ = ["RollbackResult", "roll_back_run"]

_ObjectKey: TypeAlias = tuple[Kind, str]
_MISSING: Final = object()


@dataclass(frozen=True)
class RollbackResult:
    """Counts of a rollback.

    Attributes
    ----------
    objects : int
        Objects to restore or withdraw.
    unsent : int
        Objects of the run that had not been sent, and will not be.
    superseded_fields : int
        Fields kept because a later run has changed them.
    """

    run_id: int
    objects: int
    unsent: int
    superseded_fields: int


def roll_back_run(engine: sa.Engine, target: str, run_id: int) -> RollbackResult:
    """Queue the values that the target had before a run.

    Raises
    ------
    data.errors.DeliveryError
        If that run changed nothing at the target, or the database refuses.
    """
    with store.write_transaction(engine) as connection:
        changed, superseded_fields = _load_changes(connection, target, run_id)
        in_flight, pending = _load_pending(connection, target, run_id)
        restored = {**in_flight, **changed}
        unsent = pending - restored.keys()
        if not restored and not unsent:
            raise DeliveryError(
                f"run {run_id} changed nothing at {target!r} that can be restored;"
                " `expansion crm status` lists the runs."
            )
        for key in unsent:
            is_object = queue.match_object(DESIRED_OBJECTS, target, *key)
            connection.execute(sa.delete(DESIRED_OBJECTS).where(is_object))
        count = sum(
            _queue_restored(connection, target, key, before, run_id)
            for key, before in restored.items()
        )
    return RollbackResult(run_id, count, len(unsent), superseded_fields)


def _queue_restored(
    connection: sa.Connection, target: str, key: _ObjectKey, before: Fields, run_id: int
) -> bool:
    """Queue the previous values of an object; return False if it is not desired any more."""
    is_object = queue.match_object(DESIRED_OBJECTS, target, *key)
    current = connection.scalar(sa.select(DESIRED_OBJECTS.c.fields).where(is_object))
    if current is None:
        return False
    fields = {**current, **before}
    values = {"fields": fields, "content_hash": hash_fields(fields), "run_id": -run_id}
    connection.execute(sa.update(DESIRED_OBJECTS).where(is_object).values(values))
    return True


def _load_changes(
    connection: sa.Connection, target: str, run_id: int
) -> tuple[dict[_ObjectKey, Fields], int]:
    """Return the previous values of the fields that the run changed, and how many changed later.

    For an opportunity or a task that the run created: only the withdrawn state.
    """
    created: set[_ObjectKey] = set()
    before: dict[_ObjectKey, dict[str, Value]] = {}
    superseded = 0
    for entry in _load_change_log(connection, target, run_id):
        key = (entry["kind"], entry["key"])
        fields = before.setdefault(key, {})
        if entry["run_id"] != run_id:
            removed = [fields.pop(field, _MISSING) for field in entry["after"]]
            superseded += sum(value is not _MISSING for value in removed)
            continue
        if entry["created"] and entry["kind"] != "account":
            created.add(key)
        before[key] = {**entry["before"], **fields}
    restored = {
        key: _withdraw_fields(fields) if key in created else fields
        for key, fields in before.items()
    }
    return {key: fields for key, fields in restored.items() if fields}, superseded


def _withdraw_fields(before: Fields) -> Fields:
    """Return the fields that withdraw a created object; none if a later run has closed it."""
    return {"state": WITHDRAWN} if "state" in before else {}


def _load_change_log(
    connection: sa.Connection, target: str, run_id: int
) -> Iterator[Mapping[Any, Any]]:
    """Yield the change log since the run's first change, for the objects it changed, in order."""
    is_of_run = (CHANGE_LOG.c.target == target) & (CHANGE_LOG.c.run_id == run_id)
    changed = sa.select(CHANGE_LOG.c.kind, CHANGE_LOG.c.key).where(is_of_run)
    first = sa.select(sa.func.min(CHANGE_LOG.c.id)).where(is_of_run).scalar_subquery()
    query = (
        sa.select(CHANGE_LOG)
        .where(CHANGE_LOG.c.target == target, CHANGE_LOG.c.id >= first)
        .where(sa.tuple_(CHANGE_LOG.c.kind, CHANGE_LOG.c.key).in_(changed))
        .order_by(CHANGE_LOG.c.id)
    )
    yield from connection.execute(query).mappings()


def _load_pending(
    connection: sa.Connection, target: str, run_id: int
) -> tuple[dict[_ObjectKey, Fields], set[_ObjectKey]]:
    """Return the objects of the run that are not confirmed, and all that are still pending.

    Of the first, the last-applied values of the fields that were sent without a response.
    """
    desired, applied = DESIRED_OBJECTS.c, APPLIED_OBJECTS.c
    query = queue.select_objects(
        target,
        desired.kind,
        desired.key,
        applied.crm_id,
        applied.fields,
        applied.in_flight,
        applied.content_hash,
    ).where(
        desired.run_id == run_id,
        applied.content_hash.is_(None) | (applied.content_hash != desired.content_hash),
    )
    in_flight: dict[_ObjectKey, Fields] = {}
    pending: set[_ObjectKey] = set()
    for row in connection.execute(query):
        pending.add((row.kind, row.key))
        if row.content_hash is None and row.in_flight:
            is_new = row.crm_id is None and row.kind != "account"
            in_flight[row.kind, row.key] = (
                {"state": WITHDRAWN}
                if is_new
                else {field: row.fields.get(field) for field in row.in_flight}
            )
    return in_flight, pending
