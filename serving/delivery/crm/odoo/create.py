"""Create partners, opportunities and activities in Odoo.

Records are created by ``load`` under an external id, which is unique in Odoo's database. That
makes the call idempotent, and safe when several run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from serving.delivery.crm.base import (
    AccessDeniedError,
    Applied,
    FieldChange,
    Kind,
    ObjectRef,
    Rejected,
    WriteResult,
)
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import (
    ACCOUNT_ID_FIELD,
    KEY_FIELD,
    MODELS,
    OdooFieldMapping,
    build_external_id,
)
from serving.delivery.crm.odoo.read import OdooReader, parse_id

__all__ = ["OdooRecordFactory", "build_key_fields"]

# Send no e-mail to assignees, and do not subscribe our user to the records.
_NO_NOTIFICATIONS: Final = {"mail_create_nosubscribe": True, "mail_activity_quick_update": True}
# External ids of Odoo's model records.
_MODEL_EXTERNAL_IDS: Final = {
    "crm.lead": "crm.model_crm_lead",
    "res.partner": "base.model_res_partner",
}
_NO_PARTNER: Final = Rejected("the account has no partner in Odoo yet")
LoadRow = dict[str, str]  # column → text, like cells of a spreadsheet


@dataclass(frozen=True)
class OdooRecordFactory:
    """Creates records; ``activity_type`` is the name of our activity type."""

    client: OdooClient
    field_mapping: OdooFieldMapping
    reader: OdooReader
    activity_type: str
    create_partners: bool

    def create_records(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Create an object for each change of one kind; existing ones are updated."""
        creators: dict[Kind, Callable[[Sequence[FieldChange]], list[WriteResult]]] = {
            "account": self._create_accounts,
            "opportunity": self._create_opportunities,
            "task": self._create_tasks,
        }
        return creators[changes[0].ref.kind](changes)

    def _create_accounts(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        match_field = self.reader.match_field
        matches = self.reader.match_partners([change.ref.account_id for change in changes])
        rows = {
            ref.key: {"is_company": "1", "name": ref.account_id, match_field: ref.account_id}
            for ref in (change.ref for change in changes)
            if self.create_partners and ref.account_id not in matches
        }
        return self._load_rows(
            changes, rows, lambda ref: Rejected(_explain_no_match(match_field, ref, matches))
        )

    def _create_opportunities(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        partner_ids = _collect_parent_ids(changes, lambda ref: ref.account_crm_id)
        owners = self._read_owners("res.partner", list(partner_ids.values()))
        rows = {
            key: {
                "type": "opportunity",
                "partner_id/.id": str(partner),
                "team_id/.id": str(self._team_id),
                "user_id/.id": owners.get(partner, ""),
            }
            for key, partner in partner_ids.items()
        }
        return self._load_rows(changes, rows, lambda _: _NO_PARTNER)

    def _create_tasks(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        lead_ids = _collect_parent_ids(changes, lambda ref: ref.opportunity_crm_id)
        partner_ids = _collect_parent_ids(changes, lambda ref: ref.account_crm_id)
        lead_owners = self._read_owners("crm.lead", list(lead_ids.values()))
        partner_owners = self._read_owners("res.partner", list(partner_ids.values()))
        rows = {}
        for key in {**partner_ids, **lead_ids}:
            lead, partner = lead_ids.get(key), partner_ids.get(key)
            rows[key] = {
                "res_model_id/id": _MODEL_EXTERNAL_IDS["crm.lead" if lead else "res.partner"],
                "res_id": str(lead or partner),
                "user_id/.id": lead_owners.get(lead) or partner_owners.get(partner, ""),
                "activity_type_id/.id": str(self._activity_type_id),
            }
        return self._load_rows(changes, rows, lambda _: _NO_PARTNER)

    def _load_rows(
        self,
        changes: Sequence[FieldChange],
        rows: Mapping[str, LoadRow],
        reject: Callable[[ObjectRef], Rejected],
    ) -> list[WriteResult]:
        """Create the records that have a row, and reject the other changes."""
        creatable = [change for change in changes if change.ref.key in rows]
        ids = dict[str, str]()
        if creatable:
            data = [self._build_row(change, rows[change.ref.key]) for change in creatable]
            record_ids = self.client.load_records(
                MODELS[creatable[0].ref.kind], data, dict(_NO_NOTIFICATIONS)
            )
            ids = {
                change.ref.key: str(new) for change, new in zip(creatable, record_ids, strict=True)
            }
        return [
            Applied(ids[ref.key]) if ref.key in ids else reject(ref)
            for ref in (change.ref for change in changes)
        ]

    def _build_row(self, change: FieldChange, initial: LoadRow) -> LoadRow:
        ref = change.ref
        cells = self.field_mapping.serialize_cells(ref.kind, change.fields)
        return {
            "id": build_external_id(ref.kind, ref.key),
            **initial,
            **build_key_fields(ref),
            **cells,
        }

    def _read_owners(self, model: str, ids: Sequence[int]) -> dict[int | None, str]:
        """Read the user id of each record's owner; records without an owner are left out."""
        if not ids:
            return {}
        records = self.client.call(model, "read", ids=sorted(set(ids)), fields=["user_id"])
        return {item["id"]: str(item["user_id"][0]) for item in records if item["user_id"]}

    @cached_property
    def _team_id(self) -> int:
        return self._find_by_name("crm.team", self.reader.team)

    @cached_property
    def _activity_type_id(self) -> int:
        return self._find_by_name("mail.activity.type", self.activity_type)

    def _find_by_name(self, model: str, name: str) -> int:
        matches = self.client.call(model, "search", domain=[["name", "=", name]], limit=1)
        if not matches:
            raise AccessDeniedError(f"Odoo has no {model} named {name!r}: run expansion crm setup")
        return int(matches[0])


def build_key_fields(ref: ObjectRef) -> LoadRow:
    """Return the key fields of an object; accounts have none, because they use the partner id."""
    return {} if ref.kind == "account" else {KEY_FIELD: ref.key, ACCOUNT_ID_FIELD: ref.account_id}


def _collect_parent_ids(
    changes: Sequence[FieldChange], get_parent_id: Callable[[ObjectRef], str | None]
) -> dict[str, int]:
    """Return the parent record id of each change, by key."""
    pairs = ((change.ref.key, parse_id(get_parent_id(change.ref))) for change in changes)
    return {key: parent for key, parent in pairs if parent is not None}


def _explain_no_match(match_field: str, ref: ObjectRef, matches: dict[str, list[int]]) -> str:
    if ambiguous := matches.get(ref.account_id):
        ids = ", ".join(map(str, ambiguous[:3]))
        return (
            f"several partners have {match_field} = {ref.account_id} (ids {ids}); clear all but one"
        )
    return (
        f"no partner has {match_field} = {ref.account_id}; set it, set the partner id in"
        " accounts.crm_id, or enable crm.odoo.create_partners"
    )
