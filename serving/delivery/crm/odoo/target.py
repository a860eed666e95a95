"""Odoo target: partners hold the list row; opportunities and activities hold the work.

Existing records are set by ``web_save_multi``, all rows of a call in one transaction. That is ten
times as fast as ``load``, and uses JSON types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from serving.delivery.crm.base import (
    Applied,
    BatchRejectedError,
    FieldChange,
    Fields,
    HumanTouch,
    Kind,
    ObjectRef,
    PreflightCheck,
    RateLimit,
    Rejected,
    RemoteObject,
    Value,
    WriteResult,
)
from serving.delivery.crm.odoo import activity, preflight, provision
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.create import OdooRecordFactory, build_key_fields
from serving.delivery.crm.odoo.field_mapping import MODELS, OdooFieldMapping
from serving.delivery.crm.odoo.read import OdooReader, parse_id

__all__ = ["OdooTarget"]


class OdooTarget:
    """Implementation of the CRM target for Odoo 19 or later, over its JSON-2 API.

    ``create_partners`` allows a new partner for an account that matches none.
    """

    name = "odoo"

    def __init__(
        self,
        client: OdooClient,
        field_mapping: OdooFieldMapping,
        *,
        match_field: str = "ref",
        team: str = "Expansion",
        tag: str = "Expansion",
        activity_type: str = "Expansion",
        create_partners: bool = False,
        rate_limit: RateLimit = RateLimit(),  # noqa: B008 - frozen
    ) -> None:
        self._client, self._field_mapping, self._rate_limit = client, field_mapping, rate_limit
        self._reader = OdooReader(client, field_mapping, match_field, team, tag)
        self._factory = OdooRecordFactory(
            client, field_mapping, self._reader, activity_type, create_partners
        )
        self._team, self._tag, self._activity_type = team, tag, activity_type

    def __repr__(self) -> str:
        return f"OdooTarget({self._client!r})"

    @property
    def rate_limit(self) -> RateLimit:
        """Rate limit from the settings."""
        return self._rate_limit

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Return values as Odoo returns them; 0 and false mean empty."""
        return self._field_mapping.normalize(kind, fields)

    def read(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Read records, including archived ones; see :mod:`serving.delivery.crm.odoo.read`."""
        if not refs:
            return []
        if refs[0].kind == "account":
            return self._reader.read_accounts(refs)
        return self._reader.read_by_key(refs[0].kind, refs)

    def write(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Create new records, then update existing ones, one call each."""
        new = [change for change in changes if change.ref.crm_id is None]
        existing = [change for change in changes if change.ref.crm_id is not None]
        created = iter(self._factory.create_records(new) if new else [])
        # Created records cannot be rolled back, so updates are then rejected row by row.
        updated = iter(
            self._update_with_fallback(existing)
            if new and existing
            else self._update_records(existing)
        )
        return [next(created if change.ref.crm_id is None else updated) for change in changes]

    def preflight(self, accounts: Sequence[ObjectRef]) -> list[PreflightCheck]:
        """Check key, permissions, modules, fields, required records and partners."""
        return preflight.run_preflight(
            self._client, self._reader, accounts, activity_type=self._activity_type
        )

    def provision(self) -> list[str]:
        """Create fields, views, team, tag and activity type; needs an administrator's key."""
        return provision.provision_database(
            self._client,
            self._field_mapping,
            team=self._team,
            tag=self._tag,
            activity_type=self._activity_type,
        )

    def fetch_human_touches(self, since: date) -> list[HumanTouch]:
        """Return completed activities and moved, won or lost opportunities, since a UTC day."""
        return activity.find_human_touches(self._client, since)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _update_records(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Update fields of existing records."""
        valid = [change for change in changes if parse_id(change.ref.crm_id) is not None]
        if valid:
            ids = [int(change.ref.crm_id or 0) for change in valid]
            rows = [self._build_values(change) for change in valid]
            self._client.save_records(MODELS[valid[0].ref.kind], ids, rows)
        return [_to_result(change.ref) for change in changes]

    def _update_with_fallback(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        try:
            return self._update_records(changes)
        except BatchRejectedError:
            return [_update_one(self._update_records, change) for change in changes]

    def _build_values(self, change: FieldChange) -> dict[str, Any]:
        return {
            **build_key_fields(change.ref),
            **self._field_mapping.serialize_fields(change.ref.kind, change.fields),
        }


def _to_result(ref: ObjectRef) -> WriteResult:
    if parse_id(ref.crm_id) is None:
        return Rejected(f"expected an integer Odoo id, found {ref.crm_id!r}; fix accounts.crm_id")
    return Applied(str(ref.crm_id))


def _update_one(
    update: Callable[[Sequence[FieldChange]], list[WriteResult]], change: FieldChange
) -> WriteResult:
    try:
        return update([change])[0]
    except BatchRejectedError as error:
        return Rejected(str(error))
