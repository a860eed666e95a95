"""Find what stands at HubSpot: by its own name, by ours, or as a human made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from serving.crm.hubspot import links, records
from serving.crm.hubspot.door import Door
from serving.crm.hubspot.names import ENDED, KEY, OBJECTS, PROPERTIES, STATE, decoded
from serving.crm.hubspot.pipeline import Board
from serving.crm.hubspot.records import Record
from serving.crm.target import Found, Kind, Ref, Value
from serving.outbox.objects import OPEN

__all__ = ["accounts", "opportunities", "tasks"]

_EPISODE: Final = PROPERTIES["opportunity"]["episode"].name
_LIMIT: Final = PROPERTIES["opportunity"]["limit"].name
_BESIDE: Final = {
    "account": [],
    "opportunity": [KEY, STATE, "dealstage", "pipeline"],
    "task": [KEY, STATE, "hs_task_status"],
}


def accounts(door: Door, refs: Sequence[Ref], by: str) -> list[Found | None]:
    """Read companies: by HubSpot's name of it, else by the unique property ``by``."""
    found = _standing(door, refs, by)
    return [
        None if record is None else Found(str(record["id"]), _fields("account", record))
        for record in found
    ]


def opportunities(door: Door, refs: Sequence[Ref], board: Board) -> list[Found | None]:
    """Read deals; for one that is not there, an open deal of a human's at the company."""
    found = _standing(door, refs, KEY)
    _adopt(door, refs, found, board)
    bare = _untied(door, refs, found)
    told: list[Found | None] = []
    for ref, record in zip(refs, found, strict=True):
        if record is None:
            told.append(None)
            continue
        properties = record["properties"]
        fields = _fields("opportunity", record)
        fields["state"] = board.state(properties.get(STATE), properties.get("dealstage"))
        if ref.key in bare:
            fields["episode"] = None
        told.append(Found(str(record["id"]), fields, ours=bool(properties.get(KEY))))
    return told


def tasks(door: Door, refs: Sequence[Ref]) -> list[Found | None]:
    """Read tasks. One that a human has done, begun or put off says so in its state."""
    found = _standing(door, refs, KEY)
    bare = _untied(door, refs, found)
    told: list[Found | None] = []
    for ref, record in zip(refs, found, strict=True):
        if record is None:
            told.append(None)
            continue
        fields = _fields("task", record)
        fields["state"] = _state(record)
        if ref.key in bare:
            fields["episode"] = None
        told.append(Found(str(record["id"]), fields))
    return told


def _standing(door: Door, refs: Sequence[Ref], by: str) -> list[Record | None]:
    """The record of each ref, by HubSpot's name where it is known, else by the unique one."""
    kind = refs[0].kind
    objects, wanted = OBJECTS[kind], _wanted(kind)
    ids = [ref.crm_id for ref in refs if ref.crm_id and ref.crm_id.isdecimal()]
    keys = [ref.key for ref in refs if ref.crm_id is None]
    by_id = records.read(door, objects, ids, wanted)
    by_key = records.read(door, objects, keys, wanted, by=by)
    return [by_key.get(ref.key) if ref.crm_id is None else by_id.get(ref.crm_id) for ref in refs]


def _wanted(kind: Kind) -> list[str]:
    return sorted({*(held.name for held in PROPERTIES[kind].values()), *_BESIDE[kind]})


def _fields(kind: Kind, record: Record) -> dict[str, Value]:
    return decoded(kind, record["properties"])


def _state(record: Record) -> str | None:
    """The state that was written, if the task still stands where that put it."""
    properties = record["properties"]
    told, status = properties.get(STATE), properties.get("hs_task_status")
    expected = "NOT_STARTED" if told == OPEN else ENDED
    return told if told and status == expected else f"status {status}"


def _adopt(door: Door, refs: Sequence[Ref], found: list[Record | None], board: Board) -> None:
    """Fill in deals that humans made, each for one ref: the same limit first, then the oldest."""
    without = [
        place
        for place, ref in enumerate(refs)
        if found[place] is None and ref.crm_id is None and ref.account_crm_id
    ]
    companies = {refs[place].account_crm_id or "" for place in without}
    deals = links.linked(door, "companies", "deals", sorted(companies)) if companies else {}
    ids = sorted(set().union(*deals.values())) if deals else []
    theirs = records.read(door, OBJECTS["opportunity"], ids, _wanted("opportunity"))
    taken: set[str] = set()
    for place in without:
        at_company = [
            theirs[name] for name in deals[refs[place].account_crm_id or ""] if name in theirs
        ]
        for record in sorted(at_company, key=lambda deal: _fit(deal, refs[place])):
            if record["id"] not in taken and _may_be(record, refs[place], board):
                found[place] = record
                taken.add(record["id"])
                break


def _fit(deal: Record, ref: Ref) -> tuple[bool, bool, int]:
    properties = deal["properties"]
    return properties.get(_EPISODE) != ref.key, not properties.get(_LIMIT), int(deal["id"])


def _may_be(deal: Record, ref: Ref, board: Board) -> bool:
    """Whether a human made it for what the ref is about."""
    properties = deal["properties"]
    if properties.get(KEY):
        return False
    if properties.get(_EPISODE):  # it was adopted, by us, before anyone remembered
        return bool(properties[_EPISODE] == ref.key)
    is_open = properties.get("dealstage") not in board.closed
    fits = (properties.get(_LIMIT) or ref.limit) == ref.limit
    return properties.get("pipeline") == board.id and is_open and fits


def _untied(door: Door, refs: Sequence[Ref], found: Sequence[Record | None]) -> set[str]:
    """Keys of what was made, but not tied to all it hangs on, when a sender was stopped between.

    Once a write was acknowledged it was tied, and a tie that is missing then a human has cut.
    """
    doubtful = [
        (ref, str(record["id"]))
        for ref, record in zip(refs, found, strict=True)
        if record is not None and ref.crm_id is None and record["properties"].get(KEY)
    ]
    return set(_cut(door, doubtful)) if doubtful else set()


def _cut(door: Door, made: Sequence[tuple[Ref, str]]) -> Iterator[str]:
    for to in ("companies", "deals"):
        hanging = [(ref, name) for ref, name in made if to in links.above(ref)]
        if not hanging:
            continue
        of = OBJECTS[hanging[0][0].kind]
        tied = links.linked(door, of, to, [name for _, name in hanging])
        yield from (ref.key for ref, name in hanging if links.above(ref)[to] not in tied[name])
