"""Account matching: CRM record ids that the accounts table gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from serving import store
from serving.store.schema import APPLIED_OBJECTS
from serving.store.upsert import insert_missing

__all__ = ["save_account_matches"]


def save_account_matches(engine: sa.Engine, target: str, crm_ids: Mapping[str, str]) -> None:
    """Save the record ids of accounts, unless the target itself has returned one.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The application's database.
    target : str
        Name of the CRM.
    crm_ids : mapping of str to str
        Account → its ``crm_id``.
    """
    is_account = (APPLIED_OBJECTS.c.target == target) & (APPLIED_OBJECTS.c.kind == "account")
    with store.write_transaction(engine) as connection:
        query = sa.select(APPLIED_OBJECTS.c.key, APPLIED_OBJECTS.c.crm_id).where(is_account)
        existing = {row.key: row.crm_id for row in connection.execute(query)}
        new = [_build_row(target, key, crm_ids[key]) for key in crm_ids if key not in existing]
        insert_missing(connection, APPLIED_OBJECTS, new)
        for key, crm_id in crm_ids.items():
            if key in existing and existing[key] is None:
                is_row = is_account & (APPLIED_OBJECTS.c.key == key)
                connection.execute(sa.update(APPLIED_OBJECTS).where(is_row).values(crm_id=crm_id))


def _build_row(target: str, key: str, crm_id: str) -> dict[str, Any]:
    return {
        "target": target,
        "kind": "account",
        "key": key,
        "crm_id": crm_id,
        "fields": {},
        "in_flight": {},
        "human_fields": [],
        "adopted": False,
    }
