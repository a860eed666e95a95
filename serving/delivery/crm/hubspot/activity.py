"""Human activity on our tasks and deals, found with HubSpot's search API.

Search results lag behind writes. That is harmless here: each day is queried again until it is
over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Final

from serving.delivery.crm.base import HumanTouch
from serving.delivery.crm.fields import OPEN, parse_account_id
from serving.delivery.crm.hubspot.client import HubSpotClient, find_next_page
from serving.delivery.crm.hubspot.field_mapping import (
    COMPLETED,
    KEY_PROPERTY,
    PROPERTIES,
    STATE_PROPERTY,
    PipelineState,
)
from serving.delivery.crm.hubspot.records import Record
from serving.store.upsert import iter_chunks

__all__ = ["find_completed_tasks", "find_moved_deals"]

_PAGE_SIZE: Final = 200
_MAX_SEARCH_RESULTS: Final = 10_000  # limit of HubSpot's search API
_EPISODE_PROPERTY: Final = PROPERTIES["opportunity"]["episode"].name
_COMPLETION_DATE: Final = "hs_task_completion_date"
_HISTORY_BATCH_SIZE: Final = 50


def find_completed_tasks(client: HubSpotClient, since: date) -> Iterator[HumanTouch]:
    """Find our tasks that humans completed since a day."""
    filters = [
        {"propertyName": KEY_PROPERTY, "operator": "HAS_PROPERTY"},
        {"propertyName": STATE_PROPERTY, "operator": "EQ", "value": OPEN},
        {"propertyName": "hs_task_status", "operator": "EQ", "value": COMPLETED},
        {"propertyName": _COMPLETION_DATE, "operator": "GTE", "value": _to_epoch_millis(since)},
    ]
    for task in _search_records(client, "tasks", filters, [KEY_PROPERTY, _COMPLETION_DATE]):
        properties = task["properties"]
        if completed_at := properties.get(_COMPLETION_DATE):
            account_id = parse_account_id(properties[KEY_PROPERTY])
            yield HumanTouch(account_id, _parse_day(completed_at), "task done")


def find_moved_deals(
    client: HubSpotClient, since: date, pipeline: PipelineState
) -> Iterator[HumanTouch]:
    """Find our deals whose stage humans changed since a day."""
    modified, start = "hs_lastmodifieddate", _to_epoch_millis(since)
    filters = [
        {"propertyName": _EPISODE_PROPERTY, "operator": "HAS_PROPERTY"},
        {"propertyName": "dealstage", "operator": "NEQ", "value": pipeline.stage_by_state[OPEN]},
        {"propertyName": modified, "operator": "GTE", "value": start},
    ]
    properties = [_EPISODE_PROPERTY, STATE_PROPERTY, "dealstage"]
    moved_by_human = [
        deal
        for deal in _search_records(client, "deals", filters, properties)
        if not (written_state := deal["properties"].get(STATE_PROPERTY))
        or pipeline.resolve_state(deal["properties"]) != written_state
    ]
    for deal, day in _find_stage_changes(client, moved_by_human):
        if day >= since:
            account_id = parse_account_id(deal["properties"][_EPISODE_PROPERTY])
            yield HumanTouch(account_id, day, "opportunity moved")


def _find_stage_changes(
    client: HubSpotClient, deals: Sequence[Record]
) -> Iterator[tuple[Record, date]]:
    """Yield each deal with the day of its last stage change."""
    by_id = {str(deal["id"]): deal for deal in deals}
    for batch in iter_chunks(by_id, _HISTORY_BATCH_SIZE):
        body = {
            "inputs": [{"id": deal_id} for deal_id in batch],
            "properties": ["dealstage"],
            "propertiesWithHistory": ["dealstage"],
        }
        for record in client.request(client.objects.read, "deals", body).get("results") or []:
            history = (record.get("propertiesWithHistory") or {}).get("dealstage")
            if history:  # newest first
                yield by_id[str(record["id"])], _parse_day(history[0]["timestamp"])


def _search_records(
    client: HubSpotClient,
    object_type: str,
    filters: Sequence[dict[str, str]],
    properties: Sequence[str],
) -> Iterator[Record]:
    after: str | None = None
    while after is None or int(after) < _MAX_SEARCH_RESULTS:
        body = {
            "filterGroups": [{"filters": list(filters)}],
            "properties": list(properties),
            "limit": _PAGE_SIZE,
            **({"after": after} if after else {}),
        }
        response = client.request(client.search.do_search, object_type, body)
        yield from response["results"]
        after = find_next_page(response)
        if not after:
            return


def _to_epoch_millis(day: date) -> str:
    """Return the start of a UTC day in epoch milliseconds, as the search API expects."""
    return str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000))


def _parse_day(moment: str) -> date:
    return date.fromisoformat(moment[:10])
