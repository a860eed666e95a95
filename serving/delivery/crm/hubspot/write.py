"""Write companies, deals and tasks: update known records by id, upsert new ones by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from data.config.delivery import HubSpotConfig
from serving.delivery.crm.base import Applied, FieldChange, Rejected, WriteResult, write_accepted
from serving.delivery.crm.fields import OPEN
from serving.delivery.crm.hubspot import records
from serving.delivery.crm.hubspot.client import HubSpotClient, find_owner
from serving.delivery.crm.hubspot.field_mapping import (
    COMPLETED,
    FIELD_MAPPING,
    KEY_PROPERTY,
    OBJECT_TYPES,
    PROPERTIES,
    PipelineState,
)

__all__ = ["write_accounts", "write_opportunities", "write_tasks"]

_CSM_PROPERTY: Final = PROPERTIES["account"]["csm"].name
ExtraProperties: TypeAlias = Callable[[FieldChange], Mapping[str, str]]


def write_accounts(
    client: HubSpotClient, changes: Sequence[FieldChange], config: HubSpotConfig
) -> list[WriteResult]:
    """Update companies; create unmatched ones only if the settings allow it."""
    id_property = config.account_property
    rejection = Rejected(
        f"no company has this account_id in {id_property}. Set it there, set the HubSpot record id"
        " in accounts.crm_id, or enable crm.hubspot.create_companies."
    )
    return write_accepted(
        changes,
        lambda change: (
            rejection if change.ref.crm_id is None and not config.create_companies else None
        ),
        lambda accepted: _write_records(client, accepted, id_property, lambda _: {}),
    )


def write_opportunities(
    client: HubSpotClient, changes: Sequence[FieldChange], pipeline: PipelineState
) -> list[WriteResult]:
    """Update deals; new ones are associated with their company and owned by its CSM."""

    def build_stage(change: FieldChange) -> dict[str, str]:
        state = change.fields.get("state")
        stage = {"dealstage": pipeline.stage_by_state[str(state)]} if state else {}
        return stage | {"pipeline": pipeline.id} if change.ref.crm_id is None else stage

    return _write_and_associate(client, changes, build_stage)


def write_tasks(client: HubSpotClient, changes: Sequence[FieldChange]) -> list[WriteResult]:
    """Update tasks; new ones are associated with company and deal, and owned by the CSM.

    A task is completed with its episode; our state property tells this from a human's completion.
    """

    def build_status(change: FieldChange) -> dict[str, str]:
        state = change.fields.get("state")
        return {"hs_task_status": "NOT_STARTED" if state == OPEN else COMPLETED} if state else {}

    return _write_and_associate(client, changes, build_status)


def _write_and_associate(
    client: HubSpotClient, changes: Sequence[FieldChange], build_extra: ExtraProperties
) -> list[WriteResult]:
    """Write and associate records; reject new ones whose company no longer exists."""
    csm_by_company = _read_company_csms(client, changes)

    def find_rejection(change: FieldChange) -> Rejected | None:
        company = change.ref.account_crm_id
        if change.ref.crm_id or company in csm_by_company:
            return None
        return Rejected(f"its company {company} no longer exists in HubSpot.")

    def add_owner(change: FieldChange) -> Mapping[str, str]:
        extra = build_extra(change)
        csm = None if change.ref.crm_id else csm_by_company.get(change.ref.account_crm_id or "")
        owner = find_owner(client.owner_ids, csm) if csm else None
        return {**extra, "hubspot_owner_id": owner} if owner else extra

    def write(accepted: Sequence[FieldChange]) -> list[WriteResult]:
        results = _write_records(client, accepted, KEY_PROPERTY, add_owner)
        return _associate_parents(client, accepted, results)

    return write_accepted(changes, find_rejection, write)


def _read_company_csms(client: HubSpotClient, changes: Sequence[FieldChange]) -> dict[str, str]:
    """Read the existing companies of new records: company id → CSM."""
    refs = [change.ref for change in changes if change.ref.crm_id is None]
    companies = records.read_records(
        client,
        OBJECT_TYPES["account"],
        [ref.account_crm_id for ref in refs if ref.account_crm_id],
        [_CSM_PROPERTY],
    )
    return {
        company_id: str(record["properties"].get(_CSM_PROPERTY) or "")
        for company_id, record in companies.items()
    }


def _write_records(
    client: HubSpotClient,
    changes: Sequence[FieldChange],
    id_property: str,
    build_extra: ExtraProperties,
) -> list[WriteResult]:
    """Update known records and upsert the others, in at most two calls."""
    results: dict[str, WriteResult] = {}
    for is_known in (True, False):
        batch = [change for change in changes if (change.ref.crm_id is not None) is is_known]
        if not batch:
            continue
        outcomes = records.write_records(
            client,
            OBJECT_TYPES[batch[0].ref.kind],
            [_build_update(change, id_property, build_extra(change)) for change in batch],
            id_property=None if is_known else id_property,
        )
        results |= {
            change.ref.key: outcome if isinstance(outcome, Rejected) else Applied(outcome)
            for change, outcome in zip(batch, outcomes, strict=True)
        }
    return [results[change.ref.key] for change in changes]


def _build_update(
    change: FieldChange, id_property: str, extra: Mapping[str, str]
) -> records.RecordUpdate:
    ref = change.ref
    properties = {**FIELD_MAPPING.serialize_fields(ref.kind, change.fields), **extra}
    if ref.crm_id is not None:
        return ref.crm_id, properties
    non_empty = {name: text for name, text in properties.items() if text}
    return ref.key, {**non_empty, id_property: ref.key}


def _associate_parents(
    client: HubSpotClient, changes: Sequence[FieldChange], results: Sequence[WriteResult]
) -> list[WriteResult]:
    """Associate records whose episode was just set: new ones, and ones left incomplete."""
    results_by_key = dict(zip((change.ref.key for change in changes), results, strict=True))
    for to_type in ("companies", "deals"):
        keys, parent_ids = {}, {}
        for ref in (change.ref for change in changes if "episode" in change.fields):
            parent_id, result = records.find_parent_ids(ref).get(to_type), results_by_key[ref.key]
            if parent_id is not None and isinstance(result, Applied):
                keys[result.crm_id], parent_ids[result.crm_id] = ref.key, parent_id
        if parent_ids:
            from_type = OBJECT_TYPES[changes[0].ref.kind]
            rejected = records.create_associations(client, from_type, to_type, parent_ids)
            results_by_key |= {
                keys[crm_id]: rejection for crm_id, rejection in rejected.items() if crm_id in keys
            }
    return [results_by_key[change.ref.key] for change in changes]
