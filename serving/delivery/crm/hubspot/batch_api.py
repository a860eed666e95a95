"""Records of HubSpot's: read by its own name or by a unique one, and set, 100 at a time."""

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
# Of one row among others: not for what is in it.
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
    """Properties to set on one record, which is named by HubSpot's id or by a unique value."""

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
    """Give the records of these names, by name; those that are not there are left out.

    Parameters
    ----------
    client : Door
        To HubSpot.
    object_type : str
        ``companies``, ``deals`` or ``tasks``.
    ids : iterable of str
        HubSpot's own names, or values of the unique property ``id_property``.
    properties : sequence of str
        What to read of each.
    id_property : str, optional
        The unique property.
    """
    requested = [*properties, id_property or _MERGED_IDS_PROPERTY]
    records: dict[str, Record] = {}
    for batch in _split_batches(dict.fromkeys(ids)):
        body = {
            "inputs": [{"id": name} for name in batch],
            "properties": requested,
            "propertiesWithHistory": [],
        }
        response = client(
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
    """Set properties of at most 100 records, and give HubSpot's name of each, or why it refused.

    Named by a unique property, a record that is not there is made; repeating it does no harm.
    """
    inputs = [
        {
            "id": setting.id,
            "properties": dict(setting.properties),
            "objectWriteTraceId": str(index),
            **({"idProperty": id_property} if id_property else {}),
        }
        for index, setting in enumerate(updates)
    ]
    endpoint = client.objects.upsert if id_property else client.objects.update
    response = client(endpoint, object_type, {"inputs": inputs})
    results: dict[int, str | Rejected] = dict(_iter_rejections(client, response))
    index_by_id = {setting.id: place for place, setting in enumerate(updates)}
    for record in response.get("results") or []:
        place = _find_input_index(record, id_property, index_by_id)
        if place is not None:
            results[place] = str(record["id"])
    if len(results) < len(updates):
        client.discard_replay()
        raise RetryableError(f"HubSpot said nothing of {len(updates) - len(results)} {object_type}")
    return [results[place] for place in range(len(updates))]


def _find_input_index(
    record: Record, id_property: str | None, index_by_id: Mapping[str, int]
) -> int | None:
    """Which of the inputs a result answers."""
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
    """What a record is called: by its unique value, or by its id and those merged into it."""
    properties = record.get("properties") or {}
    if id_property:
        return [str(properties[id_property])] if properties.get(id_property) else []
    merged = str(properties.get(_MERGED_IDS_PROPERTY) or "").split(";")
    return [*(name for name in merged if name), str(record["id"])]


def _iter_rejections(
    client: HubSpotClient, response: Mapping[str, Any]
) -> Iterator[tuple[int, Rejected]]:
    """The rows that HubSpot names as wrong, by their places."""
    for error in response.get("errors") or []:
        trace_ids = (error.get("context") or {}).get("objectWriteTraceId") or []
        reason = format_error(error)
        if error.get("category") in _RETRYABLE_CATEGORIES:
            client.discard_replay()
            raise RetryableError(reason)
        if "PROPERTY_DOESNT_EXIST" in str(error):
            raise AccessDeniedError(f"HubSpot lacks a property: {reason} Run: expansion crm setup.")
        for trace_id in trace_ids:
            yield int(trace_id), Rejected(reason)


def _raise_for_errors(client: HubSpotClient, response: Mapping[str, Any]) -> None:
    """Stop at an error that says anything else than that a record is not there."""
    for error in response.get("errors") or []:
        if error.get("category") != _NOT_FOUND:
            client.discard_replay()
            raise RetryableError(f"HubSpot could not read everything: {format_error(error)}")


def _split_batches(ids: Iterable[str]) -> Iterator[list[str]]:
    remaining = list(ids)
    for start in range(0, len(remaining), BATCH_SIZE):
        yield remaining[start : start + BATCH_SIZE]
