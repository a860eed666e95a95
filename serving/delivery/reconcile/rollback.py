"""Take back what a run has changed at a CRM: fields as they were, and nothing deleted.

The taking back is itself put into the outbox, under the run's number with a minus sign, and sent
like everything else: so it can be killed and goes on, and what a human has set since stays.
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

_KEY_COLUMNS: Final = ("kind", "key")
_ObjectKey: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class RollbackResult:
    """What is to be put back.

    Attributes
    ----------
    objects : int
        Of which fields are put back, or which are withdrawn.
    unsent : int
        Objects that the run had still to send, and never will.
    later : int
        Fields left alone since a later run has changed them.
    """

    run_id: int
    objects: int
    unsent: int
    later: int


def roll_back_run(engine: sa.Engine, target: str, run_id: int) -> RollbackResult:
    """Put into the outbox what stood at the target before a run.

    Raises
    ------
    data.errors.DeliveryError
        If that run never had anything to do with the target, or the database refuses.
    """
    with store.write_transaction(engine) as connection:
        rows = {
            (row["kind"], row["key"]): dict(row)
            for row in connection.execute(
                sa.select(DESIRED_OBJECTS).where(DESIRED_OBJECTS.c.target == target)
            ).mappings()
        }
        changed, later = _load_changes(connection, target, run_id)
        in_flight = _load_in_flight(connection, target, run_id)
        restored = {**in_flight, **changed}
        unsent = _load_unsent(connection, target, run_id) - restored.keys()
        if not restored and not unsent:
            raise DeliveryError(
                f"run {run_id} has changed nothing at {target!r} that still stands;"
                " `expansion crm status` names the runs."
            )
        for name in unsent:
            connection.execute(sa.delete(DESIRED_OBJECTS).where(_match_object(target, name)))
        names = [name for name in restored if name in rows]
        for name in names:
            fields = {**rows[name]["fields"], **restored[name]}
            values = {"fields": fields, "digest": hash_fields(fields), "run_id": -run_id}
            connection.execute(
                sa.update(DESIRED_OBJECTS).where(_match_object(target, name)).values(**values)
            )
    return RollbackResult(run_id, len(names), len(unsent), later)


def _load_changes(
    connection: sa.Connection, target: str, run_id: int
) -> tuple[dict[_ObjectKey, Fields], int]:
    """What the fields that the run changed held before, and how many a later run has changed.

    Of an opportunity or a task that the run made, only that it is withdrawn.
    """
    created: set[_ObjectKey] = set()
    before: dict[_ObjectKey, dict[str, Value]] = {}
    later = 0
    for entry in _load_change_log(connection, target, run_id):
        name = (entry["kind"], entry["key"])
        fields = before.setdefault(name, {})
        if entry["run_id"] != run_id:
            later += sum(fields.pop(field, _MISSING) is not _MISSING for field in entry["after"])
            continue
        if entry["made"] and name[0] != "account":
            created.add(name)
        before[name] = {**entry["before"], **fields}
    restored = {
        name: _withdraw_fields(fields) if name in created else fields
        for name, fields in before.items()
    }
    return {name: fields for name, fields in restored.items() if fields}, later


def _withdraw_fields(before: Fields) -> Fields:
    """What becomes of an object that was made; nothing, where a later run has ended it."""
    return {"state": WITHDRAWN} if "state" in before else {}


_MISSING: Final = object()


def _load_change_log(
    connection: sa.Connection, target: str, run_id: int
) -> Iterator[Mapping[Any, Any]]:
    """Everything since the run's first change of the objects that it changed, in order."""
    is_of_run = (CHANGE_LOG.c.target == target) & (CHANGE_LOG.c.run_id == run_id)
    touched = sa.select(CHANGE_LOG.c.kind, CHANGE_LOG.c.key).where(is_of_run)
    first = sa.select(sa.func.min(CHANGE_LOG.c.id)).where(is_of_run).scalar_subquery()
    query = (
        sa.select(CHANGE_LOG)
        .where(CHANGE_LOG.c.target == target, CHANGE_LOG.c.id >= first)
        .where(sa.tuple_(CHANGE_LOG.c.kind, CHANGE_LOG.c.key).in_(touched))
        .order_by(CHANGE_LOG.c.id)
    )
    yield from connection.execute(query).mappings()


def _load_in_flight(
    connection: sa.Connection, target: str, run_id: int
) -> dict[_ObjectKey, Fields]:
    """What was acknowledged before of fields that the run has sent without an answer."""
    query = _select_run_objects(target, run_id).where(APPLIED_OBJECTS.c.digest.is_(None))
    restored: dict[_ObjectKey, Fields] = {}
    for row in connection.execute(query).mappings():
        if row["attempted"]:
            last_applied = row["fields"]
            previous: Fields = {field: last_applied.get(field) for field in row["attempted"]}
            is_new = row["crm_id"] is None and row["kind"] != "account"
            restored[row["kind"], row["key"]] = {"state": WITHDRAWN} if is_new else previous
    return restored


def _load_unsent(connection: sa.Connection, target: str, run_id: int) -> set[_ObjectKey]:
    is_pending = APPLIED_OBJECTS.c.digest.is_(None) | (
        APPLIED_OBJECTS.c.digest != DESIRED_OBJECTS.c.digest
    )
    rows = connection.execute(_select_run_objects(target, run_id).where(is_pending)).mappings()
    return {(row["kind"], row["key"]) for row in rows}


def _select_run_objects(target: str, run_id: int) -> sa.Select[Any]:
    same = [
        DESIRED_OBJECTS.c[name] == APPLIED_OBJECTS.c[name] for name in ("target", *_KEY_COLUMNS)
    ]
    return (
        sa.select(
            DESIRED_OBJECTS.c.kind,
            DESIRED_OBJECTS.c.key,
            APPLIED_OBJECTS.c.crm_id,
            APPLIED_OBJECTS.c.fields,
            APPLIED_OBJECTS.c.attempted,
        )
        .select_from(DESIRED_OBJECTS.outerjoin(APPLIED_OBJECTS, sa.and_(*same)))
        .where(DESIRED_OBJECTS.c.target == target, DESIRED_OBJECTS.c.run_id == run_id)
    )


def _match_object(target: str, name: _ObjectKey) -> sa.ColumnElement[bool]:
    return (
        (DESIRED_OBJECTS.c.target == target)
        & (DESIRED_OBJECTS.c.kind == name[0])
        & (DESIRED_OBJECTS.c.key == name[1])
    )
