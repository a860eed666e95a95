"""Set what should be true at HubSpot: known records by its name, new ones by our key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from serving.crm.hubspot import links, owners, records
from serving.crm.hubspot.door import Door
from serving.crm.hubspot.names import ENDED, KEY, OBJECTS, PROPERTIES, encoded
from serving.crm.hubspot.pipeline import Board
from serving.crm.hubspot.records import Setting
from serving.crm.target import Accepted, Answer, Change, Fields, Ref, Refused
from serving.outbox.objects import OPEN

__all__ = ["accounts", "opportunities", "tasks"]

_CSM: Final = PROPERTIES["account"]["csm"].name
Extra = Callable[[Change], Mapping[str, str]]


def accounts(door: Door, changes: Sequence[Change], by: str, *, make: bool) -> list[Answer]:
    """Set fields of companies; one that matches none is made only where that is asked for."""
    words = Refused(
        f"no company carries this account_id in {by}. Enter it there, or give HubSpot's record id"
        " as crm_id in the accounts table; crm.hubspot.make_companies makes one."
    )
    known = [change for change in changes if change.ref.crm_id is not None or make]
    told = iter(_written(door, known, by, lambda _: {}) if known else [])
    return [next(told) if change.ref.crm_id is not None or make else words for change in changes]


def opportunities(
    door: Door, changes: Sequence[Change], board: Board, people: Callable[[], Mapping[str, str]]
) -> list[Answer]:
    """Set fields of deals; new ones hang on their company, and belong to its CSM."""
    above = _companies(door, changes)

    def beside(change: Change) -> dict[str, str]:
        stage = _stage(change.fields, board)
        if change.ref.crm_id is not None:
            return stage
        return {**stage, "pipeline": board.id, **_owned(change.ref, above, people)}

    return _made(door, changes, above, beside)


def tasks(
    door: Door, changes: Sequence[Change], people: Callable[[], Mapping[str, str]]
) -> list[Answer]:
    """Set fields of tasks; new ones hang on their company and deal, and belong to its CSM."""
    above = _companies(door, changes)

    def beside(change: Change) -> dict[str, str]:
        status = _status(change.fields)
        is_new = change.ref.crm_id is None
        return status | _owned(change.ref, above, people) if is_new else status

    return _made(door, changes, above, beside)


def _companies(door: Door, changes: Sequence[Change]) -> dict[str, str]:
    """HubSpot's names of the companies of what is new → their CSMs; those that are there."""
    refs = [change.ref for change in changes if change.ref.crm_id is None]
    names = [ref.account_crm_id for ref in refs if ref.account_crm_id]
    found = records.read(door, OBJECTS["account"], names, [_CSM])
    return {name: str(record["properties"].get(_CSM) or "") for name, record in found.items()}


def _owned(
    ref: Ref, above: Mapping[str, str], people: Callable[[], Mapping[str, str]]
) -> dict[str, str]:
    csm = above.get(ref.account_crm_id or "")
    owner = owners.of(people(), csm) if csm else None
    return {"hubspot_owner_id": owner} if owner else {}


def _made(
    door: Door, changes: Sequence[Change], above: Mapping[str, str], beside: Extra
) -> list[Answer]:
    """Write and tie, but nothing new for a company that is gone."""
    ready = [change for change in changes if change.ref.crm_id or _hangs(change.ref, above)]
    told = iter(_tied(door, ready, _written(door, ready, KEY, beside)))
    return [
        next(told)
        if change.ref.crm_id or _hangs(change.ref, above)
        else Refused(f"its company {change.ref.account_crm_id} is no longer at HubSpot.")
        for change in changes
    ]


def _hangs(ref: Ref, above: Mapping[str, str]) -> bool:
    return (ref.account_crm_id or "") in above


def _written(door: Door, changes: Sequence[Change], by: str, beside: Extra) -> list[Answer]:
    """Update the records that are known and upsert the others: two calls at most."""
    answers: dict[str, str | Refused] = {}
    for is_known in (True, False):
        some = [change for change in changes if (change.ref.crm_id is not None) is is_known]
        if some:
            settings = [_setting(change, by, beside(change)) for change in some]
            objects = OBJECTS[some[0].ref.kind]
            told = records.write(door, objects, settings, by=None if is_known else by)
            answers |= {change.ref.key: one for change, one in zip(some, told, strict=True)}
    return [
        Accepted(answer) if isinstance(answer := answers[change.ref.key], str) else answer
        for change in changes
    ]


def _setting(change: Change, by: str, beside: Mapping[str, str]) -> Setting:
    ref = change.ref
    properties = {**encoded(ref.kind, change.fields), **beside}
    if ref.crm_id is not None:
        return Setting(ref.crm_id, properties)
    filled = {name: text for name, text in properties.items() if text}
    return Setting(ref.key, {**filled, by: ref.key})


def _stage(fields: Fields, board: Board) -> dict[str, str]:
    state = fields.get("state")
    return {"dealstage": board.of_state[str(state)]} if state else {}


def _status(fields: Fields) -> dict[str, str]:
    """A task whose episode has ended is off the list; its state says that nobody did it."""
    state = fields.get("state")
    return {"hs_task_status": "NOT_STARTED" if state == OPEN else ENDED} if state else {}


def _tied(door: Door, changes: Sequence[Change], answers: Sequence[Answer]) -> list[Answer]:
    """Tie what was given its episode just now: what is new, and what was stopped half made."""
    told = dict(zip((change.ref.key for change in changes), answers, strict=True))
    for to in ("companies", "deals"):
        names = {
            answer.crm_id: change.ref
            for change in changes
            if "episode" in change.fields
            and to in links.above(change.ref)
            and isinstance(answer := told[change.ref.key], Accepted)
        }
        if not names:
            continue
        of = OBJECTS[changes[0].ref.kind]
        pairs = [(name, links.above(ref)[to]) for name, ref in names.items()]
        refused = links.tie(door, of, to, pairs)
        told |= {names[name].key: words for name, words in refused.items() if name in names}
    return [told[change.ref.key] for change in changes]
