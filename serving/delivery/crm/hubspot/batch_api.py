"""Batch read, update and upsert of HubSpot records, 100 per call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from serving.delivery.crm.base import AccessDeniedError, Rejected, RetryableError
from serving.delivery.crm.hubspot.client import HubSpotClient
from serving.delivery.crm.hubspot.errors import format_error

__all__ = ["BATCH_SIZE", "Record", "RecordUpdate", "read_records", "write_records"]

BATCH_SIZE: Final = 100
Record: TypeAlias = Mapping[str, Any]
_NOT_FOUND: Final = "OBJECT_NOT_FOUND"
# Errors of one row that are not caused by its content.
_RETRYABLE_CATEGORIES: Final = {
    "RATE_LIMITS",
    "LOCKED",
    "INTERNAL_ERROR",
    "SERVICE_UNAVAILABLE",
    "TIMEOUT",
}
_MERGED_IDS_PROPERTY: Final = "hs_merged_object_ids"


@dataclass(frozen=True)
class RecordUpdate:
    """Properties to set on one record, identified by record id or unique property value."""

    id: str
    properties: Mapping[str, str]


def read_records(
    client: HubSpotClient,
    object_type: str,
    ids: Iterable[str],
    properties: Sequence[str],
    *,
    id_property: str | None = None,
) -> dict[str, Record]:
    """Read records by id; missing ones are left out.

    Parameters
    ----------
    client : HubSpotClient
        API client.
    object_type : str
        ``companies``, ``deals`` or ``tasks``.
    ids : iterable of str
        Record ids, or values of the unique property ``id_property``.
    properties : sequence of str
        Properties to read.
    id_property : str, optional
        Unique property that identifies the records.
    """
    requested = [*properties, id_property or _MERGED_IDS_PROPERTY]
    records: dict[str, Record] = {}
    for batch in _split_batches(dict.fromkeys(ids)):
        body = {
            "inputs": [{"id": record_id} for record_id in batch],
            "properties": requested,
            "propertiesWithHistory": [],
        }
        response = client.request(
            client.objects.read,
            object_type,
            body | ({"idProperty": id_property} if id_property else {}),
        )
        _raise_for_errors(client, response)
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
            "id": update.id,
            "properties": dict(update.properties),
            "objectWriteTraceId": str(index),
            **({"idProperty": id_property} if id_property else {}),
        }
        for index, update in enumerate(updates)
    ]
    endpoint = client.objects.upsert if id_property else client.objects.update
    response = client.request(endpoint, object_type, {"inputs": inputs})
    results: dict[int, str | Rejected] = dict(_iter_rejections(client, response))
    index_by_id = {update.id: index for index, update in enumerate(updates)}
    for record in response.get("results") or []:
        index = _find_input_index(record, id_property, index_by_id)
        if index is not None:
            results[index] = str(record["id"])
    if len(results) < len(updates):
        client.discard_replay()
        raise RetryableError(
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
    return next(
        (
            index_by_id[name]
            for name in _list_record_ids(record, id_property)
            if name in index_by_id
        ),
        None,
    )


def _list_record_ids(record: Record, id_property: str | None) -> list[str]:
    """Return the identifiers of a record: its unique value, or its id and those merged into it."""
    properties = record.get("properties") or {}
    if id_property:
        return [str(properties[id_property])] if properties.get(id_property) else []
    merged = str(properties.get(_MERGED_IDS_PROPERTY) or "").split(";")
    return [*(name for name in merged if name), str(record["id"])]


def _iter_rejections(
    client: HubSpotClient, response: Mapping[str, Any]
) -> Iterator[tuple[int, Rejected]]:
    """Yield the index and reason of each rejected input."""
    for error in response.get("errors") or []:
        trace_ids = (error.get("context") or {}).get("objectWriteTraceId") or []
        reason = format_error(error)
        if error.get("category") in _RETRYABLE_CATEGORIES:
            client.discard_replay()
            raise RetryableError(reason)
        if "PROPERTY_DOESNT_EXIST" in str(error):
            raise AccessDeniedError(
                f"HubSpot property is missing: {reason} Run: expansion crm setup."
            )
        for trace_id in trace_ids:
            yield int(trace_id), Rejected(reason)


def _raise_for_errors(client: HubSpotClient, response: Mapping[str, Any]) -> None:
    """Raise on any error other than a missing record."""
    for error in response.get("errors") or []:
        if error.get("category") != _NOT_FOUND:
            client.discard_replay()
            raise RetryableError(f"HubSpot could not read all records: {format_error(error)}")


def _split_batches(ids: Iterable[str]) -> Iterator[list[str]]:
    remaining = list(ids)
    for start in range(0, len(remaining), BATCH_SIZE):
        yield remaining[start : start + BATCH_SIZE]
