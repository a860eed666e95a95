"""Which record of the CRM an account is, where the accounts table says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from serving import state
from serving.outbox.upsert import insert_missing
from serving.state.schema import DELIVERED

__all__ = ["keep"]


def keep(engine: sa.Engine, target: str, names: Mapping[str, str]) -> None:
    """Remember the target's names of accounts, until the target itself has told one.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database.
    target : str
        Which CRM.
    names : mapping of str to str
        Account → its ``crm_id``.
    """
    there = (DELIVERED.c.target == target) & (DELIVERED.c.kind == "account")
    with state.writing(engine) as connection:
        query = sa.select(DELIVERED.c.key, DELIVERED.c.crm_id).where(there)
        known = {row.key: row.crm_id for row in connection.execute(query)}
        new = [_row(target, key, names[key]) for key in names if key not in known]
        insert_missing(connection, DELIVERED, new)
        for key, crm_id in names.items():
            if key in known and known[key] is None:
                mine = there & (DELIVERED.c.key == key)
                connection.execute(sa.update(DELIVERED).where(mine).values(crm_id=crm_id))


def _row(target: str, key: str, crm_id: str) -> dict[str, Any]:
    return {
        "target": target,
        "kind": "account",
        "key": key,
        "crm_id": crm_id,
        "fields": {},
        "attempted": {},
        "theirs": [],
        "adopted": False,
    }
