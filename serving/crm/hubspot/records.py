"""Records of HubSpot's: read by its own name or by a unique one, and set, 100 at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from serving.crm.hubspot.door import Door
from serving.crm.hubspot.faults import words
from serving.crm.target import Denied, Refused, Transient

__all__ = ["AT_ONCE", "Record", "Setting", "read", "write"]

AT_ONCE: Final = 100
Record: TypeAlias = Mapping[str, Any]
_NOT_THERE: Final = "OBJECT_NOT_FOUND"
# Of one row among others: not for what is in it.
_LATER: Final = {"RATE_LIMITS", "LOCKED", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT"}
_MERGED: Final = "hs_merged_object_ids"


@dataclass(frozen=True)
class Setting:
    """Properties to set on one record, which is named by HubSpot's id or by a unique value."""

    id: str
    properties: Mapping[str, str]


def read(
    door: Door,
    objects: str,
    ids: Iterable[str],
    properties: Sequence[str],
    *,
    by: str | None = None,
) -> dict[str, Record]:
    """Give the records of these names, by name; those that are not there are left out.

    Parameters
    ----------
    door : Door
        To HubSpot.
    objects : str
        ``companies``, ``deals`` or ``tasks``.
    ids : iterable of str
        HubSpot's own names, or values of the unique property ``by``.
    properties : sequence of str
        What to read of each.
    by : str, optional
        The unique property.
    """
    wanted = [*properties, by or _MERGED]
    found: dict[str, Record] = {}
    for some in _parts(dict.fromkeys(ids)):
        body = {
            "inputs": [{"id": name} for name in some],
            "properties": wanted,
            "propertiesWithHistory": [],
        }
        told = door(door.objects.read, objects, body | ({"idProperty": by} if by else {}))
        _complain(door, told)
        for record in told.get("results") or []:
            found |= dict.fromkeys(_names(record, by), record)
    return found


def write(
    door: Door, objects: str, settings: Sequence[Setting], *, by: str | None = None
) -> list[str | Refused]:
    """Set properties of at most 100 records, and give HubSpot's name of each, or why it refused.

    Named by a unique property, a record that is not there is made; repeating it does no harm.
    """
    inputs = [
        {
            "id": setting.id,
            "properties": dict(setting.properties),
            "objectWriteTraceId": str(place),
            **({"idProperty": by} if by else {}),
        }
        for place, setting in enumerate(settings)
    ]
    ask = door.objects.upsert if by else door.objects.update
    told = door(ask, objects, {"inputs": inputs})
    answers: dict[int, str | Refused] = dict(_refused(door, told))
    places = {setting.id: place for place, setting in enumerate(settings)}
    for record in told.get("results") or []:
        place = _place(record, by, places)
        if place is not None:
            answers[place] = str(record["id"])
    if len(answers) < len(settings):
        door.forget_steps()
        raise Transient(f"HubSpot said nothing of {len(settings) - len(answers)} {objects}")
    return [answers[place] for place in range(len(settings))]


def _place(record: Record, by: str | None, places: Mapping[str, int]) -> int | None:
    """Which of the inputs a result answers."""
    trace = record.get("objectWriteTraceId")
    if trace is not None and str(trace).isdigit():
        return int(trace)
    return next((places[name] for name in _names(record, by) if name in places), None)


def _names(record: Record, by: str | None) -> list[str]:
    """What a record is called: by its unique value, or by its id and those merged into it."""
    properties = record.get("properties") or {}
    if by:
        return [str(properties[by])] if properties.get(by) else []
    merged = str(properties.get(_MERGED) or "").split(";")
    return [*(name for name in merged if name), str(record["id"])]


def _refused(door: Door, told: Mapping[str, Any]) -> Iterator[tuple[int, Refused]]:
    """The rows that HubSpot names as wrong, by their places."""
    for error in told.get("errors") or []:
        traces = (error.get("context") or {}).get("objectWriteTraceId") or []
        said = words(error)
        if error.get("category") in _LATER:
            door.forget_steps()
            raise Transient(said)
        if "PROPERTY_DOESNT_EXIST" in str(error):
            raise Denied(f"HubSpot lacks a property: {said} Run: expansion crm setup.")
        for trace in traces:
            yield int(trace), Refused(said)


def _complain(door: Door, told: Mapping[str, Any]) -> None:
    """Stop at an error that says anything else than that a record is not there."""
    for error in told.get("errors") or []:
        if error.get("category") != _NOT_THERE:
            door.forget_steps()
            raise Transient(f"HubSpot could not read everything: {words(error)}")


def _parts(names: Iterable[str]) -> Iterator[list[str]]:
    left = list(names)
    for start in range(0, len(left), AT_ONCE):
        yield left[start : start + AT_ONCE]
