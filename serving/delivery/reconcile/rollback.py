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
from serving.delivery.crm.base import Fields, Value
from serving.delivery.crm.fields import WITHDRAWN
from serving.delivery.desired.account_fields import hash_fields
from serving.store.schema import APPLIED_OBJECTS, CHANGE_LOG, DESIRED_OBJECTS

__all__ = ["RollbackResult", "roll_back_run"]

_KEY_COLUMNS: Final = ("target", "kind", "key")
_ObjectKey: TypeAlias = tuple[str, str]


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
        rows = {
            (row["kind"], row["key"]): dict(row)
            for row in connection.execute(
                sa.select(DESIRED_OBJECTS).where(DESIRED_OBJECTS.c.target == target)
            ).mappings()
        }
        changed, superseded_fields = _load_changes(connection, target, run_id)
        in_flight = _load_in_flight(connection, target, run_id)
        restored = {**in_flight, **changed}
        unsent = _load_unsent(connection, target, run_id) - restored.keys()
        if not restored and not unsent:
            raise DeliveryError(
                f"run {run_id} changed nothing at {target!r} that can be restored;"
                " `expansion crm status` lists the runs."
            )
        for key in unsent:
            connection.execute(sa.delete(DESIRED_OBJECTS).where(_match_object(target, key)))
        keys = [key for key in restored if key in rows]
        for key in keys:
            fields = {**rows[key]["fields"], **restored[key]}
            values = {"fields": fields, "content_hash": hash_fields(fields), "run_id": -run_id}
            connection.execute(
                sa.update(DESIRED_OBJECTS).where(_match_object(target, key)).values(**values)
            )
    return RollbackResult(run_id, len(keys), len(unsent), superseded_fields)


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


_MISSING: Final = object()


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


def _load_in_flight(
    connection: sa.Connection, target: str, run_id: int
) -> dict[_ObjectKey, Fields]:
    """Return the last-applied values of fields that the run sent without a response."""
    query = _select_run_objects(target, run_id).where(APPLIED_OBJECTS.c.content_hash.is_(None))
    restored: dict[_ObjectKey, Fields] = {}
    for row in connection.execute(query).mappings():
        if row["in_flight"]:
            last_applied = row["fields"]
            previous: Fields = {field: last_applied.get(field) for field in row["in_flight"]}
            is_new = row["crm_id"] is None and row["kind"] != "account"
            restored[row["kind"], row["key"]] = {"state": WITHDRAWN} if is_new else previous
    return restored


def _load_unsent(connection: sa.Connection, target: str, run_id: int) -> set[_ObjectKey]:
    is_pending = APPLIED_OBJECTS.c.content_hash.is_(None) | (
        APPLIED_OBJECTS.c.content_hash != DESIRED_OBJECTS.c.content_hash
    )
    rows = connection.execute(_select_run_objects(target, run_id).where(is_pending)).mappings()
    return {(row["kind"], row["key"]) for row in rows}


def _select_run_objects(target: str, run_id: int) -> sa.Select[Any]:
    same_object = [DESIRED_OBJECTS.c[name] == APPLIED_OBJECTS.c[name] for name in _KEY_COLUMNS]
    return (
        sa.select(
            DESIRED_OBJECTS.c.kind,
            DESIRED_OBJECTS.c.key,
            APPLIED_OBJECTS.c.crm_id,
            APPLIED_OBJECTS.c.fields,
            APPLIED_OBJECTS.c.in_flight,
        )
        .select_from(DESIRED_OBJECTS.outerjoin(APPLIED_OBJECTS, sa.and_(*same_object)))
        .where(DESIRED_OBJECTS.c.target == target, DESIRED_OBJECTS.c.run_id == run_id)
    )


def _match_object(target: str, object_key: _ObjectKey) -> sa.ColumnElement[bool]:
    kind, key = object_key
    table = DESIRED_OBJECTS.c
    return (table.target == target) & (table.kind == kind) & (table.key == key)
