"""Read companies, deals and tasks, and adopt open deals that humans created."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from serving.delivery.crm.base import Kind, ObjectRef, RemoteObject
from serving.delivery.crm.fields import OPEN
from serving.delivery.crm.hubspot import records
from serving.delivery.crm.hubspot.client import HubSpotClient
from serving.delivery.crm.hubspot.field_mapping import (
    COMPLETED,
    FIELD_MAPPING,
    KEY_PROPERTY,
    OBJECT_TYPES,
    PROPERTIES,
    STATE_PROPERTY,
    PipelineState,
)
from serving.delivery.crm.hubspot.records import Record
from serving.delivery.crm.matching import adopt_opportunities, match_records

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
    return [
        None
        if record is None
        else RemoteObject(
            str(record["id"]), FIELD_MAPPING.deserialize_record("account", record["properties"])
        )
        for record in _read_records(client, refs, id_property)
    ]


def read_opportunities(
    client: HubSpotClient, refs: Sequence[ObjectRef], pipeline: PipelineState
) -> list[RemoteObject | None]:
    """Read deals; a missing one is matched to an open deal that a human created for the company."""

    def search_deals(companies: Sequence[str]) -> dict[str, list[Record]]:
        deal_ids = records.read_associations(client, "companies", "deals", companies)
        deals = records.read_records(
            client,
            OBJECT_TYPES["opportunity"],
            sorted(set().union(*deal_ids.values())),
            _list_properties("opportunity"),
        )
        return {
            company: [deals[deal_id] for deal_id in ids if deal_id in deals]
            for company, ids in deal_ids.items()
        }

    matches = adopt_opportunities(
        refs,
        _read_records(client, refs, KEY_PROPERTY),
        lambda crm_id: crm_id,
        search_deals,
        lambda deal, ref: _rank_deal(deal, ref, pipeline),
    )
    return _to_remote_objects(client, refs, matches, pipeline.resolve_state)


def read_tasks(client: HubSpotClient, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
    """Read tasks; the state shows whether a human completed, started or deferred one."""
    matches = _read_records(client, refs, KEY_PROPERTY)
    return _to_remote_objects(client, refs, matches, _resolve_task_state)


def _read_records(
    client: HubSpotClient, refs: Sequence[ObjectRef], id_property: str
) -> list[Record | None]:
    """Read the record of each ref by record id if known, otherwise by the unique property."""
    kind = refs[0].kind
    object_type, properties = OBJECT_TYPES[kind], _list_properties(kind)
    ids = [ref.crm_id for ref in refs if ref.crm_id and ref.crm_id.isdecimal()]
    keys = [ref.key for ref in refs if ref.crm_id is None]
    by_id = records.read_records(client, object_type, ids, properties)
    by_key = records.read_records(client, object_type, keys, properties, id_property=id_property)
    return match_records(refs, by_id, by_key, lambda crm_id: crm_id)


def _list_properties(kind: Kind) -> list[str]:
    return sorted({*(prop.name for prop in PROPERTIES[kind].values()), *_EXTRA_PROPERTIES[kind]})


def _to_remote_objects(
    client: HubSpotClient,
    refs: Sequence[ObjectRef],
    matches: Sequence[Record | None],
    resolve_state: Callable[[Mapping[str, Any]], str | None],
) -> list[RemoteObject | None]:
    """Convert deals or tasks; one that lacks an association has no episode, so it is completed."""
    unassociated = _find_unassociated(client, refs, matches)
    results: list[RemoteObject | None] = []
    for ref, record in zip(refs, matches, strict=True):
        if record is None:
            results.append(None)
            continue
        properties = record["properties"]
        fields = FIELD_MAPPING.deserialize_record(ref.kind, properties)
        fields["state"] = resolve_state(properties)
        if ref.key in unassociated:
            fields["episode"] = None
        created_by_us = ref.kind == "task" or bool(properties.get(KEY_PROPERTY))
        results.append(RemoteObject(str(record["id"]), fields, created_by_us))
    return results


def _resolve_task_state(properties: Mapping[str, Any]) -> str | None:
    """Return the written state if the task still has the matching status."""
    written_state, status = properties.get(STATE_PROPERTY), properties.get("hs_task_status")
    expected = "NOT_STARTED" if written_state == OPEN else COMPLETED
    return written_state if written_state and status == expected else f"status {status}"


def _rank_deal(
    deal: Record, ref: ObjectRef, pipeline: PipelineState
) -> tuple[bool, bool, int] | None:
    """Rank a human's deal that fits the limit of the ref: by episode, then limit, then age."""
    properties = deal["properties"]
    episode, limit = properties.get(_EPISODE_PROPERTY), properties.get(_LIMIT_PROPERTY)
    rank = (episode != ref.key, not limit, int(deal["id"]))
    if properties.get(KEY_PROPERTY):
        return None
    if episode:  # adopted in an earlier run that was interrupted
        return rank if episode == ref.key else None
    is_open = properties.get("dealstage") not in pipeline.closed_stages
    is_suitable = is_open and properties.get("pipeline") == pipeline.id
    return rank if is_suitable and (limit or ref.limit) == ref.limit else None


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
    unassociated = set()
    for to_type in ("companies", "deals"):
        with_parent = [
            (ref.key, record_id, parent_id)
            for ref, record_id in unconfirmed
            if (parent_id := records.find_parent_ids(ref).get(to_type)) is not None
        ]
        associated = records.read_associations(
            client, OBJECT_TYPES[refs[0].kind], to_type, [row[1] for row in with_parent]
        )
        unassociated |= {
            key
            for key, record_id, parent_id in with_parent
            if parent_id not in associated[record_id]
        }
    return unassociated
