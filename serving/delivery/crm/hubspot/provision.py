"""Make what is missing at HubSpot: the group, the properties, the unique keys, the pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serving.delivery.crm.base import AccessDeniedError, Kind
from serving.delivery.crm.hubspot import pipeline
from serving.delivery.crm.hubspot.client import HubSpotClient
from serving.delivery.crm.hubspot.errors import format_error
from serving.delivery.crm.hubspot.field_mapping import (
    KEY_PROPERTY,
    OBJECT_TYPES,
    PROPERTIES,
    PROPERTY_GROUP,
    PROPERTY_PREFIX,
    HubSpotProperty,
)
from serving.delivery.crm.hubspot.pipeline import DEFAULT_STAGES, StageMapping

__all__ = [
    "ACCOUNT_ID_PROPERTY",
    "PropertyConflict",
    "build_property_definitions",
    "diff_properties",
    "fetch_properties",
    "provision_portal",
]

ACCOUNT_ID_PROPERTY: Final = f"{PROPERTY_PREFIX}account_id"
_BATCH_SIZE: Final = 100
_BOOLEAN_OPTIONS: Final = (("true", "Yes"), ("false", "No"))
# How we write a value → HubSpot's type of the property, and of the field that shows it.
_PROPERTY_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "text": ("string", "text"),
    "lines": ("string", "textarea"),
    "number": ("number", "number"),
    "whole": ("number", "number"),
    "day": ("date", "date"),
    "flag": ("bool", "booleancheckbox"),
    "choice": ("enumeration", "select"),
}


@dataclass(frozen=True)
class PropertyConflict:
    """A property that is there, but not as we need it; it is told, and never changed."""

    object_type: str
    name: str
    problem: str

    def __str__(self) -> str:
        return f"{self.object_type}.{self.name} {self.problem}"


def provision_portal(
    client: HubSpotClient, stages: StageMapping, account_property: str
) -> list[str]:
    """Make what is missing, and give a line for each thing made.

    Raises
    ------
    serving.delivery.crm.base.AccessDeniedError
        If something is there under one of our names and cannot be used: said after all else was
        made.
    """
    created, conflicts = [], []
    for kind, object_type in OBJECT_TYPES.items():
        created += _create_group(client, object_type)
        desired = build_property_definitions(kind, account_property)
        missing, mismatched = diff_properties(
            object_type, desired, fetch_properties(client, object_type)
        )
        created += _create_properties(client, object_type, missing)
        conflicts += mismatched
    created += _create_pipeline(client, stages)
    if conflicts:
        details = "; ".join(map(str, conflicts))
        raise AccessDeniedError(
            f"HubSpot has properties of our names that are not as we need them: {details}. Rename or"
            " remove them at HubSpot, and run again; nothing of them was changed."
        )
    return created


def build_property_definitions(kind: Kind, account_property: str) -> list[dict[str, Any]]:
    """Give the properties of ours as HubSpot's API takes them; the unique key is the first."""
    custom_properties = [held for held in PROPERTIES[kind].values() if held.is_custom]
    key = ACCOUNT_ID_PROPERTY if kind == "account" else KEY_PROPERTY
    if kind == "account" and account_property != ACCOUNT_ID_PROPERTY:
        return [_build_definition(one) for one in custom_properties]
    description = "unique key of the expansion list; permanent, and not to be edited"
    return [
        _build_definition(HubSpotProperty(key, "text", description)) | {"hasUniqueValue": True}
    ] + [_build_definition(one) for one in custom_properties]


def diff_properties(
    object_type: str,
    desired: Sequence[Mapping[str, Any]],
    existing: Mapping[str, Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[PropertyConflict]]:
    """Part what is wanted into what is missing and what is there but differs."""
    missing = [one for one in desired if one["name"] not in existing]
    return missing, [
        PropertyConflict(object_type, one["name"], said)
        for one in desired
        if one["name"] in existing
        for said in _find_conflicts(one, existing[one["name"]])
    ]


def fetch_properties(client: HubSpotClient, object_type: str) -> dict[str, Mapping[str, Any]]:
    """Give the properties that stand at HubSpot, by name."""
    response = client(client.properties.get_all, object_type, archived=False)
    return {str(held["name"]): held for held in response["results"]}


def _find_conflicts(desired: Mapping[str, Any], existing: Mapping[str, Any]) -> Iterator[str]:
    if existing.get("type") != desired["type"]:
        yield f"is of type {existing.get('type')}, expected {desired['type']}"
    if desired.get("hasUniqueValue") and not existing.get("hasUniqueValue"):
        yield "does not hold unique values, which is settled when a property is made"
    options = {str(option["value"]) for option in existing.get("options") or []}
    missing = [option["value"] for option in desired["options"] if option["value"] not in options]
    if missing:
        yield f"lacks the option(s) {', '.join(missing)}"


def _build_definition(prop: HubSpotProperty) -> dict[str, Any]:
    property_type, field_type = _PROPERTY_TYPES[prop.type]
    options = _BOOLEAN_OPTIONS if prop.type == "flag" else [(name, name) for name in prop.choices]
    return {
        "name": prop.name,
        "label": prop.name.replace("_", " ").capitalize(),
        "description": prop.description,
        "groupName": PROPERTY_GROUP,
        "type": property_type,
        "fieldType": field_type,
        "options": [
            {"value": value, "label": label, "displayOrder": place, "hidden": False}
            for place, (value, label) in enumerate(options)
        ],
    }


def _create_group(client: HubSpotClient, object_type: str) -> list[str]:
    groups = {
        group["name"] for group in client(client.property_groups.get_all, object_type)["results"]
    }
    if PROPERTY_GROUP in groups:
        return []
    body = {"name": PROPERTY_GROUP, "label": "Expansion", "displayOrder": -1}
    client(client.property_groups.create, object_type, body)
    return [f"property group {PROPERTY_GROUP} of {object_type}"]


def _create_properties(
    client: HubSpotClient, object_type: str, missing: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    for start in range(0, len(missing), _BATCH_SIZE):
        batch = missing[start : start + _BATCH_SIZE]
        response = client(
            client.property_batch.create, object_type, {"inputs": [dict(one) for one in batch]}
        )
        if response.get("errors"):
            details = " ".join(format_error(error) for error in response["errors"])
            raise AccessDeniedError(
                f"HubSpot did not make every property of {object_type}: {details}"
            )
        yield from (
            f"property {object_type}.{one['name']}{_format_uniqueness(one)}" for one in batch
        )


def _format_uniqueness(definition: Mapping[str, Any]) -> str:
    return " (unique, for good)" if definition.get("hasUniqueValue") else ""


def _create_pipeline(client: HubSpotClient, stages: StageMapping) -> list[str]:
    pipelines = client(client.pipelines.get_all, "deals")["results"]
    if pipeline.find_pipeline(pipelines, stages.pipeline) is not None:
        pipeline.resolve_pipeline(pipelines, stages)  # says what it lacks
        return []
    stage_definitions = [
        {"label": label, "displayOrder": place, "metadata": {"probability": chance}}
        for place, (label, chance) in enumerate(_build_stages(stages))
    ]
    body = {"label": stages.pipeline, "displayOrder": len(pipelines), "stages": stage_definitions}
    client(client.pipelines.create, "deals", body)
    return [f"deal pipeline {stages.pipeline!r} with {len(stage_definitions)} stages"]


def _build_stages(stages: StageMapping) -> list[tuple[str, str]]:
    """Our board, and what the settings name beside it: won where it stands for an expansion."""
    probabilities = {"open": "0.2", "expanded": "1.0"}
    configured = {
        label: probabilities.get(state, "0.0") for state, label in stages.stage_by_state.items()
    }
    defaults = {
        label: chance
        for label, chance in DEFAULT_STAGES.items()
        if label in configured or label not in pipeline.MANAGED_STAGES
    }
    return list(
        (
            defaults | {label: configured[label] for label in configured if label not in defaults}
        ).items()
    )
