"""HubSpot's batch APIs: read, update and upsert records, read and create their associations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from serving.delivery.crm.base import (
    AccessDeniedError,
    BatchRejectedError,
    ObjectRef,
    Rejected,
)
from serving.delivery.crm.hubspot.client import (
    HubSpotClient,
    IncompleteResponseError,
    find_next_page,
    format_error,
)
from serving.store.upsert import iter_chunks

__all__ = [
    "BATCH_SIZE",
    "Record",
    "RecordUpdate",
    "create_associations",
    "find_parent_ids",
    "read_associations",
    "read_records",
    "write_records",
]

BATCH_SIZE: Final = 100
_ASSOCIATION_BATCH_SIZE: Final = 1_000
Record: TypeAlias = Mapping[str, Any]
# Record id or unique property value, and the properties to set.
RecordUpdate: TypeAlias = tuple[str, Mapping[str, str]]
_NOT_FOUND: Final = "OBJECT_NOT_FOUND"
_NO_ASSOCIATION_ERRORS: Final = (_NOT_FOUND, "NO_ASSOCIATIONS_FOUND")
# Errors of one row that are not caused by its content.
_RETRYABLE_CATEGORIES: Final = {
    "RATE_LIMITS",
    "LOCKED",
    "INTERNAL_ERROR",
    "SERVICE_UNAVAILABLE",
    "TIMEOUT",
}
_MERGED_IDS_PROPERTY: Final = "hs_merged_object_ids"
# Ids of HubSpot-defined association types.
_ASSOCIATION_TYPE_IDS: Final[Mapping[tuple[str, str], int]] = {
    ("deals", "companies"): 341,
    ("tasks", "companies"): 192,
    ("tasks", "deals"): 216,
}


def read_records(
    client: HubSpotClient,
    object_type: str,
    ids: Iterable[str],
    properties: Sequence[str],
    *,
    id_property: str | None = None,
) -> dict[str, Record]:
    """Read records by record id, or by values of a unique property; missing ones are left out."""
    requested = [*properties, id_property or _MERGED_IDS_PROPERTY]
    records: dict[str, Record] = {}
    for batch in iter_chunks(dict.fromkeys(ids), BATCH_SIZE):
        body = {
            "inputs": [{"id": record_id} for record_id in batch],
            "properties": requested,
            "propertiesWithHistory": [],
            **({"idProperty": id_property} if id_property else {}),
        }
        response = client.request(client.objects.read, object_type, body)
        for error in response.get("errors") or []:
            if error.get("category") != _NOT_FOUND:
                raise IncompleteResponseError(
                    f"HubSpot could not read all records: {format_error(error)}"
                )
        for record in response.get("results") or []:
            records |= dict.fromkeys(_list_record_ids(record, id_property), record)
    return records


def write_records(
    client: HubSpotClient,
    object_type: str,
    updates: Sequence[RecordUpdate],
    *,
    id_property: str | None = None,
) -> list[str | Rejected]:
    """Update at most 100 records, and return the record id or rejection of each.

    With ``id_property``, missing records are created (upsert), so the call is idempotent.
    """
    inputs = [
        {
            "id": record_id,
            "properties": dict(properties),
            "objectWriteTraceId": str(index),
            **({"idProperty": id_property} if id_property else {}),
        }
        for index, (record_id, properties) in enumerate(updates)
    ]
    endpoint = client.objects.upsert if id_property else client.objects.update
    response = client.request(endpoint, object_type, {"inputs": inputs})
    results: dict[int, str | Rejected] = dict(_iter_rejections(response))
    index_by_id = {record_id: index for index, (record_id, _) in enumerate(updates)}
    for record in response.get("results") or []:
        index = _find_input_index(record, id_property, index_by_id)
        if index is not None:
            results[index] = str(record["id"])
    if len(results) < len(updates):
        raise IncompleteResponseError(
            f"HubSpot returned no result for {len(updates) - len(results)} {object_type}"
        )
    return [results[index] for index in range(len(updates))]


def _find_input_index(
    record: Record, id_property: str | None, index_by_id: Mapping[str, int]
) -> int | None:
    """Return the index of the input that a result belongs to."""
    trace_id = record.get("objectWriteTraceId")
    if trace_id is not None and str(trace_id).isdigit():
        return int(trace_id)
    ids = _list_record_ids(record, id_property)
    return next((index_by_id[name] for name in ids if name in index_by_id), None)


def _list_record_ids(record: Record, id_property: str | None) -> list[str]:
    """Return the identifiers of a record: its unique value, or its id and those merged into it."""
    properties = record.get("properties") or {}
    if id_property:
        return [str(properties[id_property])] if properties.get(id_property) else []
    merged = str(properties.get(_MERGED_IDS_PROPERTY) or "").split(";")
    return [*(name for name in merged if name), str(record["id"])]


def _iter_rejections(response: Mapping[str, Any]) -> Iterator[tuple[int, Rejected]]:
    """Yield the index and reason of each rejected input."""
    for error in response.get("errors") or []:
        reason = format_error(error)
        if error.get("category") in _RETRYABLE_CATEGORIES:
            raise IncompleteResponseError(reason)
        if "PROPERTY_DOESNT_EXIST" in str(error):
            raise AccessDeniedError(
                f"HubSpot property is missing: {reason} Run: expansion crm setup."
            )
        for trace_id in (error.get("context") or {}).get("objectWriteTraceId") or []:
            yield int(trace_id), Rejected(reason)


def find_parent_ids(ref: ObjectRef) -> dict[str, str]:
    """Return the parent records of a deal or task: object type → HubSpot record id."""
    parents = {"companies": ref.account_crm_id}
    if ref.kind != "opportunity":
        parents["deals"] = ref.opportunity_crm_id
    return {object_type: crm_id for object_type, crm_id in parents.items() if crm_id}


def read_associations(
    client: HubSpotClient, from_type: str, to_type: str, ids: Iterable[str]
) -> dict[str, set[str]]:
    """Read the associated record ids of each record id."""
    associated: dict[str, set[str]] = {from_id: set() for from_id in ids}
    inputs: list[dict[str, str]] = [{"id": from_id} for from_id in associated]
    while inputs:
        batch, inputs = inputs[:_ASSOCIATION_BATCH_SIZE], inputs[_ASSOCIATION_BATCH_SIZE:]
        response = client.request(
            client.associations.get_page, from_type, to_type, {"inputs": batch}
        )
        for error in response.get("errors") or []:
            codes = f"{error.get('category')} {error.get('subCategory')}"
            if not any(code in codes for code in _NO_ASSOCIATION_ERRORS):
                raise IncompleteResponseError(
                    f"HubSpot could not read all associations: {format_error(error)}"
                )
        for result in response.get("results") or []:
            from_id = str(result["from"]["id"])
            associated[from_id] |= {str(other["toObjectId"]) for other in result["to"]}
            if after := find_next_page(result):
                inputs.append({"id": from_id, "after": after})
    return associated


def create_associations(
    client: HubSpotClient, from_type: str, to_type: str, parent_ids: Mapping[str, str]
) -> dict[str, Rejected]:
    """Associate each record id with its parent's, and return the rejections by record id.

    Raises
    ------
    serving.delivery.crm.base.BatchRejectedError
        If HubSpot does not name the rejected records.
    """
    association_type = {
        "associationCategory": "HUBSPOT_DEFINED",
        "associationTypeId": _ASSOCIATION_TYPE_IDS[from_type, to_type],
    }
    inputs = [
        {"from": {"id": record_id}, "to": {"id": parent_id}, "types": [association_type]}
        for record_id, parent_id in parent_ids.items()
    ]
    response = client.request(client.associations.create, from_type, to_type, {"inputs": inputs})
    rejected: dict[str, Rejected] = {}
    for error in response.get("errors") or []:
        reason = format_error(error)
        from_ids = (error.get("context") or {}).get("fromObjectId") or []
        if not from_ids:
            raise BatchRejectedError(reason)
        rejected |= {str(from_id): Rejected(reason) for from_id in from_ids}
    return rejected
