"""Odoo as a target: partners carry the line, opportunities and activities what is to be done.

Values of what exists are set by ``web_save_multi``, all rows of a call in one transaction, as
Odoo's own pages do it: ten times as fast as ``load``, and in JSON's types.
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
    """Odoo 19 or later behind its JSON-2 API.

    ``make_partners`` lets an account that no partner matches get one.
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
        return f"Odoo({self._client!r})"

    @property
    def rate_limit(self) -> RateLimit:
        """As the settings say."""
        return self._rate_limit

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as Odoo gives them back: 0 and false are what it has for nothing."""
        return self._field_mapping.normalize(kind, fields)

    def read(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Give what stands in Odoo, archived or not; see :mod:`serving.delivery.crm.odoo.read`."""
        if not refs:
            return []
        if refs[0].kind == "account":
            return self._reader.read_accounts(refs)
        return self._reader.read_by_key(refs[0].kind, refs)

    def write(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Make what is not there, then set the fields of the others, each in one call."""
        new = [change for change in changes if change.ref.crm_id is None]
        existing = [change for change in changes if change.ref.crm_id is not None]
        created = iter(self._factory.create_records(new) if new else [])
        # What was made cannot be taken back, so that a refusal is then each row's own.
        updated = iter(
            self._update_with_fallback(existing)
            if new and existing
            else self._update_records(existing)
        )
        return [next(created if change.ref.crm_id is None else updated) for change in changes]

    def preflight(self, accounts: Sequence[ObjectRef]) -> list[PreflightCheck]:
        """Look at the key, permissions, modules, fields, the team, and the accounts' partners."""
        return preflight.run_preflight(
            self._client, self._reader, accounts, activity_type=self._activity_type
        )

    def provision(self) -> list[str]:
        """Make fields, views, the team, the tag and the type of activity; needs an admin's key."""
        return provision.provision_database(
            self._client,
            self._field_mapping,
            team=self._team,
            tag=self._tag,
            activity_type=self._activity_type,
        )

    def fetch_human_touches(self, since: date) -> list[HumanTouch]:
        """Tell of activities done, and of opportunities moved, won or lost, from a day on, UTC."""
        return activity.find_human_touches(self._client, since)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _update_records(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Set fields of records that exist."""
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
        return Rejected(f"Odoo's ids are whole numbers, found {ref.crm_id!r}; mend accounts.crm_id")
    return Applied(str(ref.crm_id))


def _update_one(
    update: Callable[[Sequence[FieldChange]], list[WriteResult]], change: FieldChange
) -> WriteResult:
    try:
        return update([change])[0]
    except BatchRejectedError as error:
        return Rejected(str(error))
