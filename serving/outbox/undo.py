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
from serving import state
from serving.crm.target import Fields, Value
from serving.outbox.objects import WITHDRAWN
from serving.outbox.wanted import digest
from serving.state.schema import DELIVERED, DELIVERIES, OUTBOX

__all__ = ["TakenBack", "take_back"]

_OBJECT: Final = ("kind", "key")
_Name: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class TakenBack:
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


def take_back(engine: sa.Engine, target: str, run_id: int) -> TakenBack:
    """Put into the outbox what stood at the target before a run.

    Raises
    ------
    data.errors.DeliveryError
        If that run never had anything to do with the target, or the database refuses.
    """
    with state.writing(engine) as connection:
        rows = {
            (row["kind"], row["key"]): dict(row)
            for row in connection.execute(
                sa.select(OUTBOX).where(OUTBOX.c.target == target)
            ).mappings()
        }
        changes, later = _changes(connection, target, run_id)
        underway = _underway(connection, target, run_id)
        wanted = {**underway, **changes}
        unsent = _unsent(connection, target, run_id) - wanted.keys()
        if not wanted and not unsent:
            raise DeliveryError(
                f"run {run_id} has changed nothing at {target!r} that still stands;"
                " `expansion crm status` names the runs."
            )
        for name in unsent:
            connection.execute(sa.delete(OUTBOX).where(_is(target, name)))
        back = [name for name in wanted if name in rows]
        for name in back:
            fields = {**rows[name]["fields"], **wanted[name]}
            values = {"fields": fields, "digest": digest(fields), "run_id": -run_id}
            connection.execute(sa.update(OUTBOX).where(_is(target, name)).values(**values))
    return TakenBack(run_id, len(back), len(unsent), later)


def _changes(
    connection: sa.Connection, target: str, run_id: int
) -> tuple[dict[_Name, Fields], int]:
    """What the fields that the run changed held before, and how many a later run has changed.

    Of an opportunity or a task that the run made, only that it is withdrawn.
    """
    made: set[_Name] = set()
    before: dict[_Name, dict[str, Value]] = {}
    later = 0
    for entry in _ledger(connection, target, run_id):
        name = (entry["kind"], entry["key"])
        fields = before.setdefault(name, {})
        if entry["run_id"] != run_id:
            later += sum(fields.pop(field, _ABSENT) is not _ABSENT for field in entry["after"])
            continue
        if entry["made"] and name[0] != "account":
            made.add(name)
        before[name] = {**entry["before"], **fields}
    back = {name: _withdrawn(fields) if name in made else fields for name, fields in before.items()}
    return {name: fields for name, fields in back.items() if fields}, later


def _withdrawn(before: Fields) -> Fields:
    """What becomes of an object that was made; nothing, where a later run has ended it."""
    return {"state": WITHDRAWN} if "state" in before else {}


_ABSENT: Final = object()


def _ledger(connection: sa.Connection, target: str, run_id: int) -> Iterator[Mapping[Any, Any]]:
    """Everything since the run's first change of the objects that it changed, in order."""
    of_run = (DELIVERIES.c.target == target) & (DELIVERIES.c.run_id == run_id)
    touched = sa.select(DELIVERIES.c.kind, DELIVERIES.c.key).where(of_run)
    first = sa.select(sa.func.min(DELIVERIES.c.id)).where(of_run).scalar_subquery()
    query = (
        sa.select(DELIVERIES)
        .where(DELIVERIES.c.target == target, DELIVERIES.c.id >= first)
        .where(sa.tuple_(DELIVERIES.c.kind, DELIVERIES.c.key).in_(touched))
        .order_by(DELIVERIES.c.id)
    )
    yield from connection.execute(query).mappings()


def _underway(connection: sa.Connection, target: str, run_id: int) -> dict[_Name, Fields]:
    """What was acknowledged before of fields that the run has sent without an answer."""
    query = _beside(target, run_id).where(DELIVERED.c.digest.is_(None))
    found: dict[_Name, Fields] = {}
    for row in connection.execute(query).mappings():
        if row["attempted"]:
            last = row["fields"]
            back: Fields = {field: last.get(field) for field in row["attempted"]}
            is_new = row["crm_id"] is None and row["kind"] != "account"
            found[row["kind"], row["key"]] = {"state": WITHDRAWN} if is_new else back
    return found


def _unsent(connection: sa.Connection, target: str, run_id: int) -> set[_Name]:
    differs = DELIVERED.c.digest.is_(None) | (DELIVERED.c.digest != OUTBOX.c.digest)
    rows = connection.execute(_beside(target, run_id).where(differs)).mappings()
    return {(row["kind"], row["key"]) for row in rows}


def _beside(target: str, run_id: int) -> sa.Select[Any]:
    same = [OUTBOX.c[name] == DELIVERED.c[name] for name in ("target", *_OBJECT)]
    return (
        sa.select(
            OUTBOX.c.kind,
            OUTBOX.c.key,
            DELIVERED.c.crm_id,
            DELIVERED.c.fields,
            DELIVERED.c.attempted,
        )
        .select_from(OUTBOX.outerjoin(DELIVERED, sa.and_(*same)))
        .where(OUTBOX.c.target == target, OUTBOX.c.run_id == run_id)
    )


def _is(target: str, name: _Name) -> sa.ColumnElement[bool]:
    return (OUTBOX.c.target == target) & (OUTBOX.c.kind == name[0]) & (OUTBOX.c.key == name[1])
