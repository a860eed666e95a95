"""Make what is missing at HubSpot: the group, the properties, the unique keys, the pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serving.crm.hubspot import pipeline
from serving.crm.hubspot.door import Door
from serving.crm.hubspot.faults import words
from serving.crm.hubspot.names import GROUP, KEY, OBJECTS, PREFIX, PROPERTIES, Property
from serving.crm.hubspot.pipeline import STAGES, Stages
from serving.crm.target import Denied, Kind

__all__ = ["ACCOUNT_KEY", "Differing", "compared", "definitions", "set_up", "standing"]

ACCOUNT_KEY: Final = f"{PREFIX}account_id"
_AT_ONCE: Final = 100
_YES_NO: Final = (("true", "Yes"), ("false", "No"))
# How we write a value → HubSpot's type of the property, and of the field that shows it.
_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "text": ("string", "text"),
    "lines": ("string", "textarea"),
    "number": ("number", "number"),
    "whole": ("number", "number"),
    "day": ("date", "date"),
    "flag": ("bool", "booleancheckbox"),
    "choice": ("enumeration", "select"),
}


@dataclass(frozen=True)
class Differing:
    """A property that is there, but not as we need it; it is told, and never changed."""

    objects: str
    name: str
    words: str

    def __str__(self) -> str:
        return f"{self.objects}.{self.name} {self.words}"


def set_up(door: Door, stages: Stages, account_property: str) -> list[str]:
    """Make what is missing, and give a line for each thing made.

    Raises
    ------
    serving.crm.target.Denied
        If something is there under one of our names and cannot be used: said after all else was
        made.
    """
    made, differing = [], []
    for kind, objects in OBJECTS.items():
        made += _make_group(door, objects)
        wanted = definitions(kind, account_property)
        missing, wrong = compared(objects, wanted, standing(door, objects))
        made += _make_properties(door, objects, missing)
        differing += wrong
    made += _make_pipeline(door, stages)
    if differing:
        said = "; ".join(map(str, differing))
        raise Denied(
            f"HubSpot has properties of our names that are not as we need them: {said}. Rename or"
            " remove them at HubSpot, and run again; nothing of them was changed."
        )
    return made


def definitions(kind: Kind, account_property: str) -> list[dict[str, Any]]:
    """Give the properties of ours as HubSpot's API takes them; the unique key is the first."""
    held = [held for held in PROPERTIES[kind].values() if held.is_ours]
    key = ACCOUNT_KEY if kind == "account" else KEY
    if kind == "account" and account_property != ACCOUNT_KEY:
        return [_definition(one) for one in held]
    means = "unique key of the expansion list; permanent, and not to be edited"
    return [_definition(Property(key, "text", means)) | {"hasUniqueValue": True}] + [
        _definition(one) for one in held
    ]


def compared(
    objects: str, wanted: Sequence[Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[Differing]]:
    """Part what is wanted into what is missing and what is there but differs."""
    missing = [one for one in wanted if one["name"] not in there]
    return missing, [
        Differing(objects, one["name"], said)
        for one in wanted
        if one["name"] in there
        for said in _differences(one, there[one["name"]])
    ]


def standing(door: Door, objects: str) -> dict[str, Mapping[str, Any]]:
    """Give the properties that stand at HubSpot, by name."""
    told = door(door.properties.get_all, objects, archived=False)
    return {str(held["name"]): held for held in told["results"]}


def _differences(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    if there.get("type") != wanted["type"]:
        yield f"is of type {there.get('type')}, expected {wanted['type']}"
    if wanted.get("hasUniqueValue") and not there.get("hasUniqueValue"):
        yield "does not hold unique values, which is settled when a property is made"
    options = {str(option["value"]) for option in there.get("options") or []}
    lacking = [option["value"] for option in wanted["options"] if option["value"] not in options]
    if lacking:
        yield f"lacks the option(s) {', '.join(lacking)}"


def _definition(held: Property) -> dict[str, Any]:
    kind, field = _TYPES[held.type]
    options = _YES_NO if held.type == "flag" else [(name, name) for name in held.choices]
    return {
        "name": held.name,
        "label": held.name.replace("_", " ").capitalize(),
        "description": held.means,
        "groupName": GROUP,
        "type": kind,
        "fieldType": field,
        "options": [
            {"value": value, "label": label, "displayOrder": place, "hidden": False}
            for place, (value, label) in enumerate(options)
        ],
    }


def _make_group(door: Door, objects: str) -> list[str]:
    groups = {group["name"] for group in door(door.groups.get_all, objects)["results"]}
    if GROUP in groups:
        return []
    body = {"name": GROUP, "label": "Expansion", "displayOrder": -1}
    door(door.groups.create, objects, body)
    return [f"property group {GROUP} of {objects}"]


def _make_properties(
    door: Door, objects: str, missing: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    for start in range(0, len(missing), _AT_ONCE):
        some = missing[start : start + _AT_ONCE]
        told = door(door.property_batch.create, objects, {"inputs": [dict(one) for one in some]})
        if told.get("errors"):
            said = " ".join(words(error) for error in told["errors"])
            raise Denied(f"HubSpot did not make every property of {objects}: {said}")
        yield from (f"property {objects}.{one['name']}{_unique(one)}" for one in some)


def _unique(one: Mapping[str, Any]) -> str:
    return " (unique, for good)" if one.get("hasUniqueValue") else ""


def _make_pipeline(door: Door, stages: Stages) -> list[str]:
    told = door(door.pipelines.get_all, "deals")["results"]
    if pipeline.made(told, stages.pipeline) is not None:
        pipeline.board(told, stages)  # says what it lacks
        return []
    columns = [
        {"label": label, "displayOrder": place, "metadata": {"probability": chance}}
        for place, (label, chance) in enumerate(_stages(stages))
    ]
    body = {"label": stages.pipeline, "displayOrder": len(told), "stages": columns}
    door(door.pipelines.create, "deals", body)
    return [f"deal pipeline {stages.pipeline!r} with {len(columns)} stages"]


def _stages(stages: Stages) -> list[tuple[str, str]]:
    """Our board, and what the settings name beside it: won where it stands for an expansion."""
    chances = {"open": "0.2", "expanded": "1.0"}
    named = {label: chances.get(state, "0.0") for state, label in stages.of_state.items()}
    own = {
        label: chance
        for label, chance in STAGES.items()
        if label in named or label not in pipeline.STANDING
    }
    return list((own | {label: named[label] for label in named if label not in own}).items())
