"""Write partners, opportunities and activities in Odoo.

Records are created by ``load`` under an external id, which is unique in Odoo's database. That
makes the call idempotent, and safe when several run at once. Existing records are set by
``web_save_multi``, all rows of a call in one transaction. That is ten times as fast as ``load``,
and uses JSON types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from data.config.delivery import OdooConfig
from serving.delivery.crm.base import (
    AccessDeniedError,
    Applied,
    BatchRejectedError,
    FieldChange,
    ObjectRef,
    Rejected,
    WriteResult,
    write_accepted,
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

__all__ = ["OdooWriter"]

# Send no e-mail to assignees, and do not subscribe our user to the records.
_NO_NOTIFICATIONS: Final = {"mail_create_nosubscribe": True, "mail_activity_quick_update": True}
# External ids of Odoo's model records.
_MODEL_EXTERNAL_IDS: Final = {
    "crm.lead": "crm.model_crm_lead",
    "res.partner": "base.model_res_partner",
}
LoadRow = dict[str, str]  # column → text, like cells of a spreadsheet


@dataclass(frozen=True)
class OdooWriter:
    """Creates and updates records of one kind."""

    client: OdooClient
    field_mapping: OdooFieldMapping
    reader: OdooReader
    config: OdooConfig

    def write_changes(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Create new records, then update existing ones, one call each.

        Created records cannot be rolled back, so updates are then rejected row by row.
        """
        new = [change for change in changes if change.ref.crm_id is None]
        existing = [change for change in changes if change.ref.crm_id is not None]
        created = iter(self._create_records(new) if new else [])
        update = self._update_with_fallback if new else self._update_records
        updated = iter(update(existing))
        return [next(created if change.ref.crm_id is None else updated) for change in changes]

    def _update_records(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        return write_accepted(changes, _reject_invalid_id, self._save_records)

    def _update_with_fallback(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        try:
            return self._update_records(changes)
        except BatchRejectedError:
            return [self._update_one(change) for change in changes]

    def _update_one(self, change: FieldChange) -> WriteResult:
        try:
            return self._update_records([change])[0]
        except BatchRejectedError as error:
            return Rejected(str(error))

    def _save_records(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        ids = [int(change.ref.crm_id or 0) for change in changes]
        rows: list[dict[str, Any]] = [
            {
                **_build_key_fields(change.ref),
                **self.field_mapping.serialize_fields(change.ref.kind, change.fields),
            }
            for change in changes
        ]
        self.client.save_records(MODELS[changes[0].ref.kind], ids, rows)
        return [Applied(str(change.ref.crm_id)) for change in changes]

    def _create_records(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Create an object for each change; ones that exist already are updated."""
        refs = [change.ref for change in changes]
        if refs[0].kind == "account":
            matches = self.reader.match_partners([ref.account_id for ref in refs])
            rows = self._build_partners(refs, matches)
        else:
            matches = {}
            is_task = refs[0].kind == "task"
            rows = self._build_activities(refs) if is_task else self._build_opportunities(refs)

        def find_rejection(change: FieldChange) -> Rejected | None:
            if change.ref.key in rows:
                return None
            if change.ref.kind == "account":
                return Rejected(_explain_no_match(self.config.match, change.ref, matches))
            return Rejected("the account has no partner in Odoo yet")

        def load(accepted: Sequence[FieldChange]) -> list[WriteResult]:
            data = [self._build_row(change, rows[change.ref.key]) for change in accepted]
            model, context = MODELS[accepted[0].ref.kind], dict(_NO_NOTIFICATIONS)
            return [Applied(str(new)) for new in self.client.load_records(model, data, context)]

        return write_accepted(changes, find_rejection, load)

    def _build_row(self, change: FieldChange, initial: LoadRow) -> LoadRow:
        ref = change.ref
        return {
            "id": build_external_id(ref.kind, ref.key),
            **initial,
            **_build_key_fields(ref),
            **self.field_mapping.serialize_cells(ref.kind, change.fields),
        }

    def _build_partners(
        self, refs: Sequence[ObjectRef], matches: Mapping[str, list[int]]
    ) -> dict[str, LoadRow]:
        return {
            ref.key: {"is_company": "1", "name": ref.account_id, self.config.match: ref.account_id}
            for ref in refs
            if self.config.create_partners and ref.account_id not in matches
        }

    def _build_opportunities(self, refs: Sequence[ObjectRef]) -> dict[str, LoadRow]:
        partner_ids = _collect_parent_ids(refs, lambda ref: ref.account_crm_id)
        owners = self._read_owners("res.partner", list(partner_ids.values()))
        return {
            key: {
                "type": "opportunity",
                "partner_id/.id": str(partner),
                "team_id/.id": str(self._team_id),
                "user_id/.id": owners.get(partner, ""),
            }
            for key, partner in partner_ids.items()
        }

    def _build_activities(self, refs: Sequence[ObjectRef]) -> dict[str, LoadRow]:
        lead_ids = _collect_parent_ids(refs, lambda ref: ref.opportunity_crm_id)
        partner_ids = _collect_parent_ids(refs, lambda ref: ref.account_crm_id)
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
        return rows

    def _read_owners(self, model: str, ids: Sequence[int]) -> dict[int | None, str]:
        """Read the user id of each record's owner; records without an owner are left out."""
        if not ids:
            return {}
        records = self.client.call(model, "read", ids=sorted(set(ids)), fields=["user_id"])
        return {item["id"]: str(item["user_id"][0]) for item in records if item["user_id"]}

    @cached_property
    def _team_id(self) -> int:
        return self._find_by_name("crm.team", self.config.team)

    @cached_property
    def _activity_type_id(self) -> int:
        return self._find_by_name("mail.activity.type", self.config.activity)

    def _find_by_name(self, model: str, name: str) -> int:
        matches = self.client.call(model, "search", domain=[["name", "=", name]], limit=1)
        if not matches:
            raise AccessDeniedError(f"Odoo has no {model} named {name!r}: run expansion crm setup")
        return int(matches[0])


def _build_key_fields(ref: ObjectRef) -> LoadRow:
    """Return the key fields of an object; accounts have none, because they use the partner id."""
    return {} if ref.kind == "account" else {KEY_FIELD: ref.key, ACCOUNT_ID_FIELD: ref.account_id}


def _collect_parent_ids(
    refs: Sequence[ObjectRef], get_parent_id: Callable[[ObjectRef], str | None]
) -> dict[str, int]:
    """Return the parent record id of each object, by key."""
    pairs = ((ref.key, parse_id(get_parent_id(ref))) for ref in refs)
    return {key: parent for key, parent in pairs if parent is not None}


def _reject_invalid_id(change: FieldChange) -> Rejected | None:
    crm_id = change.ref.crm_id
    if parse_id(crm_id) is not None:
        return None
    return Rejected(f"expected an integer Odoo id, found {crm_id!r}; fix accounts.crm_id")


def _explain_no_match(
    match_field: str, ref: ObjectRef, matches: Mapping[str, Sequence[int]]
) -> str:
    if ambiguous := matches.get(ref.account_id):
        ids = ", ".join(map(str, ambiguous[:3]))
        return (
            f"several partners have {match_field} = {ref.account_id} (ids {ids}); clear all but one"
        )
    return (
        f"no partner has {match_field} = {ref.account_id}; set it, set the partner id in"
        " accounts.crm_id, or enable crm.odoo.create_partners"
    )
