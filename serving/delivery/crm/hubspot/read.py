"""Read companies, deals and tasks, and adopt open deals that humans created."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from serving.delivery.crm.base import Kind, ObjectRef, RemoteObject, Value
from serving.delivery.crm.fields import OPEN
from serving.delivery.crm.hubspot import associations, batch_api
from serving.delivery.crm.hubspot.batch_api import Record
from serving.delivery.crm.hubspot.client import HubSpotClient
from serving.delivery.crm.hubspot.field_mapping import (
    COMPLETED,
    KEY_PROPERTY,
    OBJECT_TYPES,
    PROPERTIES,
    STATE_PROPERTY,
    deserialize_fields,
)
from serving.delivery.crm.hubspot.pipeline import PipelineState

__all__ = ["read_accounts", "read_opportunities", "read_tasks"]

_EPISODE_PROPERTY: Final = PROPERTIES["opportunity"]["episode"].name
_LIMIT_PROPERTY: Final = PROPERTIES["opportunity"]["limit"].name
_EXTRA_PROPERTIES: Final = {
    "account": [],
    "opportunity": [KEY_PROPERTY, STATE_PROPERTY, "dealstage", "pipeline"],
    "task": [KEY_PROPERTY, STATE_PROPERTY, "hs_task_status"],
}


def read_accounts(
    client: HubSpotClient, refs: Sequence[ObjectRef], id_property: str
) -> list[RemoteObject | None]:
    """Read companies by record id, otherwise by the unique property ``id_property``."""
    matches = _read_records(client, refs, id_property)
    return [
        None
        if record is None
        else RemoteObject(str(record["id"]), _deserialize_record("account", record))
        for record in matches
    ]


def read_opportunities(
    client: HubSpotClient, refs: Sequence[ObjectRef], pipeline: PipelineState
) -> list[RemoteObject | None]:
    """Read deals; a missing one is matched to an open deal that a human created for the company."""
    matches = _read_records(client, refs, KEY_PROPERTY)
    _adopt_deals(client, refs, matches, pipeline)
    unassociated = _find_unassociated(client, refs, matches)
    results: list[RemoteObject | None] = []
    for ref, record in zip(refs, matches, strict=True):
        if record is None:
            results.append(None)
            continue
        properties = record["properties"]
        fields = _deserialize_record("opportunity", record)
        fields["state"] = pipeline.resolve_state(
            properties.get(STATE_PROPERTY), properties.get("dealstage")
        )
        if ref.key in unassociated:
            fields["episode"] = None
        results.append(
            RemoteObject(
                str(record["id"]), fields, created_by_us=bool(properties.get(KEY_PROPERTY))
            )
        )
    return results


def read_tasks(client: HubSpotClient, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
    """Read tasks; the state shows whether a human completed, started or deferred one."""
    matches = _read_records(client, refs, KEY_PROPERTY)
    unassociated = _find_unassociated(client, refs, matches)
    results: list[RemoteObject | None] = []
    for ref, record in zip(refs, matches, strict=True):
        if record is None:
            results.append(None)
            continue
        fields = _deserialize_record("task", record)
        fields["state"] = _resolve_task_state(record)
        if ref.key in unassociated:
            fields["episode"] = None
        results.append(RemoteObject(str(record["id"]), fields))
    return results


def _read_records(
    client: HubSpotClient, refs: Sequence[ObjectRef], id_property: str
) -> list[Record | None]:
    """Read the record of each ref by record id if known, otherwise by the unique property."""
    kind = refs[0].kind
    object_type, properties = OBJECT_TYPES[kind], _list_properties(kind)
    ids = [ref.crm_id for ref in refs if ref.crm_id and ref.crm_id.isdecimal()]
    keys = [ref.key for ref in refs if ref.crm_id is None]
    by_id = batch_api.read_records(client, object_type, ids, properties)
    by_key = batch_api.read_records(client, object_type, keys, properties, id_property=id_property)
    return [by_key.get(ref.key) if ref.crm_id is None else by_id.get(ref.crm_id) for ref in refs]


def _list_properties(kind: Kind) -> list[str]:
    return sorted({*(prop.name for prop in PROPERTIES[kind].values()), *_EXTRA_PROPERTIES[kind]})


def _deserialize_record(kind: Kind, record: Record) -> dict[str, Value]:
    return deserialize_fields(kind, record["properties"])


def _resolve_task_state(record: Record) -> str | None:
    """Return the written state if the task still has the matching status."""
    properties = record["properties"]
    written_state, status = properties.get(STATE_PROPERTY), properties.get("hs_task_status")
    expected = "NOT_STARTED" if written_state == OPEN else COMPLETED
    return written_state if written_state and status == expected else f"status {status}"


def _adopt_deals(
    client: HubSpotClient,
    refs: Sequence[ObjectRef],
    matches: list[Record | None],
    pipeline: PipelineState,
) -> None:
    """Match humans' deals to unmatched refs, each once: by episode, then limit, then age."""
    unmatched = [
        index
        for index, ref in enumerate(refs)
        if matches[index] is None and ref.crm_id is None and ref.account_crm_id
    ]
    companies = {refs[index].account_crm_id or "" for index in unmatched}
    deals = (
        associations.read_associations(client, "companies", "deals", sorted(companies))
        if companies
        else {}
    )
    ids = sorted(set().union(*deals.values())) if deals else []
    candidates = batch_api.read_records(
        client, OBJECT_TYPES["opportunity"], ids, _list_properties("opportunity")
    )
    adopted: set[str] = set()
    for index in unmatched:
        company_deals = [
            candidates[deal_id]
            for deal_id in deals[refs[index].account_crm_id or ""]
            if deal_id in candidates
        ]
        for record in sorted(company_deals, key=lambda deal: _rank_candidate(deal, refs[index])):
            if record["id"] not in adopted and _is_adoptable(record, refs[index], pipeline):
                matches[index] = record
                adopted.add(record["id"])
                break


def _rank_candidate(deal: Record, ref: ObjectRef) -> tuple[bool, bool, int]:
    properties = deal["properties"]
    return (
        properties.get(_EPISODE_PROPERTY) != ref.key,
        not properties.get(_LIMIT_PROPERTY),
        int(deal["id"]),
    )


def _is_adoptable(deal: Record, ref: ObjectRef, pipeline: PipelineState) -> bool:
    """Return whether a human's deal fits the limit of the ref."""
    properties = deal["properties"]
    if properties.get(KEY_PROPERTY):
        return False
    if properties.get(_EPISODE_PROPERTY):  # adopted in an earlier run that was interrupted
        return bool(properties[_EPISODE_PROPERTY] == ref.key)
    is_open = properties.get("dealstage") not in pipeline.closed_stages
    same_limit = (properties.get(_LIMIT_PROPERTY) or ref.limit) == ref.limit
    return properties.get("pipeline") == pipeline.id and is_open and same_limit


def _find_unassociated(
    client: HubSpotClient, refs: Sequence[ObjectRef], matches: Sequence[Record | None]
) -> set[str]:
    """Return keys of created records that lack an association, because a run was interrupted.

    Associations are complete once a write was acknowledged; one missing after that was removed by a
    human.
    """
    unconfirmed = [
        (ref, str(record["id"]))
        for ref, record in zip(refs, matches, strict=True)
        if record is not None and ref.crm_id is None and record["properties"].get(KEY_PROPERTY)
    ]
    return set(_find_missing_associations(client, unconfirmed)) if unconfirmed else set()


def _find_missing_associations(
    client: HubSpotClient, created: Sequence[tuple[ObjectRef, str]]
) -> Iterator[str]:
    for to_type in ("companies", "deals"):
        with_parent = [
            (ref, record_id)
            for ref, record_id in created
            if to_type in associations.find_parent_ids(ref)
        ]
        if not with_parent:
            continue
        from_type = OBJECT_TYPES[with_parent[0][0].kind]
        associated = associations.read_associations(
            client, from_type, to_type, [record_id for _, record_id in with_parent]
        )
        yield from (
            ref.key
            for ref, record_id in with_parent
            if associations.find_parent_ids(ref)[to_type] not in associated[record_id]
        )
