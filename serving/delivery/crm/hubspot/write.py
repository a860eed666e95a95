"""Write companies, deals and tasks: update known records by id, upsert new ones by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from serving.delivery.crm.base import Applied, FieldChange, Fields, ObjectRef, Rejected, WriteResult
from serving.delivery.crm.fields import OPEN
from serving.delivery.crm.hubspot import associations, batch_api, owners
from serving.delivery.crm.hubspot.batch_api import RecordUpdate
from serving.delivery.crm.hubspot.client import HubSpotClient
from serving.delivery.crm.hubspot.field_mapping import (
    COMPLETED,
    KEY_PROPERTY,
    OBJECT_TYPES,
    PROPERTIES,
    serialize_fields,
)
from serving.delivery.crm.hubspot.pipeline import PipelineState

__all__ = ["write_accounts", "write_opportunities", "write_tasks"]

_CSM_PROPERTY: Final = PROPERTIES["account"]["csm"].name
ExtraProperties = Callable[[FieldChange], Mapping[str, str]]


def write_accounts(
    client: HubSpotClient, changes: Sequence[FieldChange], id_property: str, *, create_missing: bool
) -> list[WriteResult]:
    """Update companies; create unmatched ones only if ``create_missing`` is set."""
    rejection = Rejected(
        f"no company has this account_id in {id_property}. Set it there, set the HubSpot record id"
        " in accounts.crm_id, or enable crm.hubspot.create_companies."
    )
    writable = [change for change in changes if change.ref.crm_id is not None or create_missing]
    results = iter(_write_records(client, writable, id_property, lambda _: {}) if writable else [])
    return [
        next(results) if change.ref.crm_id is not None or create_missing else rejection
        for change in changes
    ]


def write_opportunities(
    client: HubSpotClient,
    changes: Sequence[FieldChange],
    pipeline: PipelineState,
    get_owner_ids: Callable[[], Mapping[str, str]],
) -> list[WriteResult]:
    """Update deals; new ones are associated with their company and owned by its CSM."""
    csm_by_company = _read_company_csms(client, changes)

    def build_extra(change: FieldChange) -> dict[str, str]:
        stage_properties = _serialize_stage(change.fields, pipeline)
        if change.ref.crm_id is not None:
            return stage_properties
        return {
            **stage_properties,
            "pipeline": pipeline.id,
            **_resolve_owner(change.ref, csm_by_company, get_owner_ids),
        }

    return _write_and_associate(client, changes, csm_by_company, build_extra)


def write_tasks(
    client: HubSpotClient,
    changes: Sequence[FieldChange],
    get_owner_ids: Callable[[], Mapping[str, str]],
) -> list[WriteResult]:
    """Update tasks; new ones are associated with company and deal, and owned by the CSM."""
    csm_by_company = _read_company_csms(client, changes)

    def build_extra(change: FieldChange) -> dict[str, str]:
        status_properties = _serialize_task_status(change.fields)
        is_new = change.ref.crm_id is None
        return (
            status_properties | _resolve_owner(change.ref, csm_by_company, get_owner_ids)
            if is_new
            else status_properties
        )

    return _write_and_associate(client, changes, csm_by_company, build_extra)


def _read_company_csms(client: HubSpotClient, changes: Sequence[FieldChange]) -> dict[str, str]:
    """Read the existing companies of new records: company id → CSM."""
    refs = [change.ref for change in changes if change.ref.crm_id is None]
    company_ids = [ref.account_crm_id for ref in refs if ref.account_crm_id]
    companies = batch_api.read_records(
        client, OBJECT_TYPES["account"], company_ids, [_CSM_PROPERTY]
    )
    return {
        company_id: str(record["properties"].get(_CSM_PROPERTY) or "")
        for company_id, record in companies.items()
    }


def _resolve_owner(
    ref: ObjectRef,
    csm_by_company: Mapping[str, str],
    get_owner_ids: Callable[[], Mapping[str, str]],
) -> dict[str, str]:
    csm = csm_by_company.get(ref.account_crm_id or "")
    owner = owners.find_owner(get_owner_ids(), csm) if csm else None
    return {"hubspot_owner_id": owner} if owner else {}


def _write_and_associate(
    client: HubSpotClient,
    changes: Sequence[FieldChange],
    csm_by_company: Mapping[str, str],
    build_extra: ExtraProperties,
) -> list[WriteResult]:
    """Write and associate records; reject new ones whose company no longer exists."""
    ready = [
        change
        for change in changes
        if change.ref.crm_id or _has_company(change.ref, csm_by_company)
    ]
    results = iter(
        _associate_parents(client, ready, _write_records(client, ready, KEY_PROPERTY, build_extra))
    )
    return [
        next(results)
        if change.ref.crm_id or _has_company(change.ref, csm_by_company)
        else Rejected(f"its company {change.ref.account_crm_id} no longer exists in HubSpot.")
        for change in changes
    ]


def _has_company(ref: ObjectRef, csm_by_company: Mapping[str, str]) -> bool:
    return (ref.account_crm_id or "") in csm_by_company


def _write_records(
    client: HubSpotClient,
    changes: Sequence[FieldChange],
    id_property: str,
    build_extra: ExtraProperties,
) -> list[WriteResult]:
    """Update known records and upsert the others, in at most two calls."""
    results: dict[str, str | Rejected] = {}
    for is_known in (True, False):
        batch = [change for change in changes if (change.ref.crm_id is not None) is is_known]
        if batch:
            updates = [_build_update(change, id_property, build_extra(change)) for change in batch]
            object_type = OBJECT_TYPES[batch[0].ref.kind]
            batch_results = batch_api.write_records(
                client, object_type, updates, id_property=None if is_known else id_property
            )
            results |= {
                change.ref.key: result for change, result in zip(batch, batch_results, strict=True)
            }
    return [
        Applied(result) if isinstance(result := results[change.ref.key], str) else result
        for change in changes
    ]


def _build_update(change: FieldChange, id_property: str, extra: Mapping[str, str]) -> RecordUpdate:
    ref = change.ref
    properties = {**serialize_fields(ref.kind, change.fields), **extra}
    if ref.crm_id is not None:
        return RecordUpdate(ref.crm_id, properties)
    non_empty = {name: text for name, text in properties.items() if text}
    return RecordUpdate(ref.key, {**non_empty, id_property: ref.key})


def _serialize_stage(fields: Fields, pipeline: PipelineState) -> dict[str, str]:
    state = fields.get("state")
    return {"dealstage": pipeline.stage_by_state[str(state)]} if state else {}


def _serialize_task_status(fields: Fields) -> dict[str, str]:
    """Return the task status; the state property shows that an ended episode closed it."""
    state = fields.get("state")
    return {"hs_task_status": "NOT_STARTED" if state == OPEN else COMPLETED} if state else {}


def _associate_parents(
    client: HubSpotClient, changes: Sequence[FieldChange], results: Sequence[WriteResult]
) -> list[WriteResult]:
    """Associate records whose episode was just set: new ones, and ones left incomplete."""
    results_by_key = dict(zip((change.ref.key for change in changes), results, strict=True))
    for to_type in ("companies", "deals"):
        refs_by_id = {
            result.crm_id: change.ref
            for change in changes
            if "episode" in change.fields
            and to_type in associations.find_parent_ids(change.ref)
            and isinstance(result := results_by_key[change.ref.key], Applied)
        }
        if not refs_by_id:
            continue
        from_type = OBJECT_TYPES[changes[0].ref.kind]
        pairs = [
            (crm_id, associations.find_parent_ids(ref)[to_type])
            for crm_id, ref in refs_by_id.items()
        ]
        rejected = associations.create_associations(client, from_type, to_type, pairs)
        results_by_key |= {
            refs_by_id[crm_id].key: rejection
            for crm_id, rejection in rejected.items()
            if crm_id in refs_by_id
        }
    return [results_by_key[change.ref.key] for change in changes]
