"""What hangs on what at HubSpot: a deal on its company, a task on its company and deal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from serving.crm.hubspot.door import Door
from serving.crm.hubspot.faults import words
from serving.crm.target import BatchRefused, Ref, Refused, Transient

__all__ = ["above", "linked", "tie"]

_AT_ONCE: Final = 1_000
# HubSpot's numbers of its own kinds of association.
_TYPES: Final[Mapping[tuple[str, str], int]] = {
    ("deals", "companies"): 341,
    ("tasks", "companies"): 192,
    ("tasks", "deals"): 216,
}
_NONE: Final = ("OBJECT_NOT_FOUND", "NO_ASSOCIATIONS_FOUND")


def above(ref: Ref) -> dict[str, str]:
    """What a deal or a task hangs on: companies, deals → HubSpot's name of it."""
    both = {"companies": ref.account_crm_id, "deals": ref.opportunity_crm_id}
    if ref.kind == "opportunity":
        both.pop("deals")
    return {objects: name for objects, name in both.items() if name}


def linked(door: Door, of: str, to: str, ids: Iterable[str]) -> dict[str, set[str]]:
    """Give, by name, the names of what records are associated with."""
    found: dict[str, set[str]] = {name: set() for name in ids}
    inputs: list[dict[str, str]] = [{"id": name} for name in found]
    while inputs:
        told = door(door.links.get_page, of, to, {"inputs": inputs[:_AT_ONCE]})
        _complain(door, told)
        more = []
        for result in told.get("results") or []:
            name = str(result["from"]["id"])
            found[name] |= {str(other["toObjectId"]) for other in result["to"]}
            after = ((result.get("paging") or {}).get("next") or {}).get("after")
            if after:
                more.append({"id": name, "after": str(after)})
        inputs = inputs[_AT_ONCE:] + more
    return found


def tie(door: Door, of: str, to: str, pairs: Sequence[tuple[str, str]]) -> dict[str, Refused]:
    """Associate each first with its second, and give, by first name, what was refused.

    Raises
    ------
    serving.crm.target.BatchRefused
        If HubSpot does not say which.
    """
    kind = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": _TYPES[of, to]}
    inputs = [
        {"from": {"id": first}, "to": {"id": second}, "types": [kind]} for first, second in pairs
    ]
    told = door(door.links.create, of, to, {"inputs": inputs})
    refused: dict[str, Refused] = {}
    for error in told.get("errors") or []:
        said = words(error)
        names = (error.get("context") or {}).get("fromObjectId") or []
        if not names:
            raise BatchRefused(said)
        refused |= {str(name): Refused(said) for name in names}
    return refused


def _complain(door: Door, told: Mapping[str, Any]) -> None:
    """Stop at an error that says anything else than that nothing is associated."""
    for error in told.get("errors") or []:
        if not any(sign in f"{error.get('category')} {error.get('subCategory')}" for sign in _NONE):
            door.forget_steps()
            raise Transient(f"HubSpot could not read all associations: {words(error)}")
