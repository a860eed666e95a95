"""What humans have done about our tasks and opportunities, found by HubSpot's search.

The search is a little behind the writes, which does no harm here: what it does not tell today, it
tells the next time, for a day is asked about again until it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final
from urllib.parse import unquote

from serving.crm.hubspot import records
from serving.crm.hubspot.door import Door
from serving.crm.hubspot.names import ENDED, KEY, PROPERTIES, STATE
from serving.crm.hubspot.pipeline import Board
from serving.crm.target import Worked
from serving.outbox.objects import OPEN

__all__ = ["done", "moved"]

_PAGE: Final = 200
_MOST: Final = 10_000  # HubSpot gives no more of one search
_EPISODE: Final = PROPERTIES["opportunity"]["episode"].name
_DONE: Final = "hs_task_completion_date"
_HISTORY_AT_ONCE: Final = 50


def done(door: Door, since: date) -> list[Worked]:
    """Give the tasks of ours that humans did, from a day on."""
    filters = [
        {"propertyName": KEY, "operator": "HAS_PROPERTY"},
        {"propertyName": STATE, "operator": "EQ", "value": OPEN},
        {"propertyName": "hs_task_status", "operator": "EQ", "value": ENDED},
        {"propertyName": _DONE, "operator": "GTE", "value": _moment(since)},
    ]
    return [
        Worked(_account(task["properties"][KEY]), _day(task["properties"][_DONE]), "task done")
        for task in _searched(door, "tasks", filters, [KEY, _DONE])
        if task["properties"].get(_DONE)
    ]


def moved(door: Door, since: date, board: Board) -> list[Worked]:
    """Give the opportunities of ours whose stage humans changed, from a day on."""
    filters = [
        {"propertyName": _EPISODE, "operator": "HAS_PROPERTY"},
        {"propertyName": "dealstage", "operator": "NEQ", "value": board.of_state[OPEN]},
        {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": _moment(since)},
    ]
    found = _searched(door, "deals", filters, [_EPISODE, STATE, "dealstage"])
    by_human = [deal for deal in found if not _stands(deal["properties"], board)]
    return [
        Worked(_account(deal["properties"][_EPISODE]), on, "opportunity moved")
        for deal, on in _changed(door, by_human)
        if on >= since
    ]


def _stands(properties: dict[str, Any], board: Board) -> bool:
    told = properties.get(STATE)
    return bool(told and board.state(told, properties.get("dealstage")) == told)


def _changed(door: Door, deals: Sequence[records.Record]) -> Iterator[tuple[records.Record, date]]:
    """Each deal with the day on which it came to its stage."""
    by_id = {str(deal["id"]): deal for deal in deals}
    names = list(by_id)
    for start in range(0, len(names), _HISTORY_AT_ONCE):
        body = {
            "inputs": [{"id": name} for name in names[start : start + _HISTORY_AT_ONCE]],
            "properties": ["dealstage"],
            "propertiesWithHistory": ["dealstage"],
        }
        for told in door(door.objects.read, "deals", body).get("results") or []:
            history = (told.get("propertiesWithHistory") or {}).get("dealstage")
            if history:  # the newest stands first
                yield by_id[str(told["id"])], _day(history[0]["timestamp"])


def _searched(
    door: Door, objects: str, filters: Sequence[dict[str, str]], properties: Sequence[str]
) -> Iterator[records.Record]:
    after: str | None = None
    while after is None or int(after) < _MOST:
        body = {
            "filterGroups": [{"filters": list(filters)}],
            "properties": list(properties),
            "limit": _PAGE,
            **({"after": after} if after else {}),
        }
        told = door(door.search.do_search, objects, body)
        yield from told["results"]
        after = ((told.get("paging") or {}).get("next") or {}).get("after")
        if not after:
            return


def _account(key: str) -> str:
    """The account that one of our keys begins with."""
    return unquote(key.partition(":")[0])


def _moment(day: date) -> str:
    """Its first moment, UTC, in milliseconds, as the search takes it."""
    return str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000))


def _day(moment: str) -> date:
    return date.fromisoformat(moment[:10])
