"""Provision HubSpot: create missing property groups, properties, unique keys and the pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from data.config.delivery import HubSpotConfig
from serving.delivery.crm.base import AccessDeniedError, Kind
from serving.delivery.crm.hubspot.client import HubSpotClient, format_error
from serving.delivery.crm.hubspot.field_mapping import (
    DEFAULT_STAGES,
    KEY_PROPERTY,
    MANAGED_STAGES,
    OBJECT_TYPES,
    PROPERTIES,
    PROPERTY_GROUP,
    PROPERTY_PREFIX,
    HubSpotProperty,
    find_pipeline,
    map_stages,
    resolve_pipeline,
)
from serving.store.upsert import iter_chunks

__all__ = ["build_property_definitions", "diff_properties", "fetch_properties", "provision_portal"]

_ACCOUNT_ID_PROPERTY: Final = f"{PROPERTY_PREFIX}account_id"
_BATCH_SIZE: Final = 100
_BOOLEAN_OPTIONS: Final = (("true", "Yes"), ("false", "No"))
# Our field type → HubSpot's property type and form field type.
_PROPERTY_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "text": ("string", "text"),
    "multiline": ("string", "textarea"),
    "number": ("number", "number"),
    "integer": ("number", "number"),
    "date": ("date", "date"),
    "boolean": ("bool", "booleancheckbox"),
    "choice": ("enumeration", "select"),
}


def provision_portal(client: HubSpotClient, config: HubSpotConfig) -> list[str]:
    """Create what is missing, and return one line per created item.

    Raises
    ------
    serving.delivery.crm.base.AccessDeniedError
        If an existing property conflicts with ours; raised after everything else was created.
    """
    created, conflicts = [], []
    for kind, object_type in OBJECT_TYPES.items():
        created += _create_group(client, object_type)
        desired = build_property_definitions(kind, config.account_property)
        missing, mismatched = diff_properties(desired, fetch_properties(client, object_type))
        created += _create_properties(client, object_type, missing)
        conflicts += [f"{object_type}.{conflict}" for conflict in mismatched]
    created += _create_pipeline(client, config)
    if conflicts:
        raise AccessDeniedError(
            f"HubSpot has properties that conflict with ours: {'; '.join(conflicts)}. Rename or"
            " remove them in HubSpot, and run again; they were not changed."
        )
    return created


def build_property_definitions(kind: Kind, account_property: str) -> list[dict[str, Any]]:
    """Build the custom properties in the format of HubSpot's API, the unique key first."""
    definitions = [_build_definition(prop) for prop in PROPERTIES[kind].values() if prop.is_custom]
    key = _ACCOUNT_ID_PROPERTY if kind == "account" else KEY_PROPERTY
    if kind == "account" and account_property != key:
        return definitions
    description = "unique key of the expansion list; permanent, do not edit"
    key_definition = _build_definition(HubSpotProperty(key, "text", description))
    return [key_definition | {"hasUniqueValue": True}, *definitions]


def diff_properties(
    desired: Sequence[Mapping[str, Any]], existing: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Split the desired properties into missing ones and conflicts with existing ones.

    An existing property with an incompatible definition is reported and never changed.
    """
    missing = [definition for definition in desired if definition["name"] not in existing]
    return missing, [
        f"{definition['name']} {problem}"
        for definition in desired
        if definition["name"] in existing
        for problem in _find_conflicts(definition, existing[definition["name"]])
    ]


def fetch_properties(client: HubSpotClient, object_type: str) -> dict[str, Mapping[str, Any]]:
    """Fetch the existing properties of an object type, by name."""
    response = client.request(client.properties.get_all, object_type, archived=False)
    return {str(definition["name"]): definition for definition in response["results"]}


def _find_conflicts(desired: Mapping[str, Any], existing: Mapping[str, Any]) -> Iterator[str]:
    if existing.get("type") != desired["type"]:
        yield f"is of type {existing.get('type')}, expected {desired['type']}"
    if desired.get("hasUniqueValue") and not existing.get("hasUniqueValue"):
        yield "does not have unique values, which cannot be changed after creation"
    options = {str(option["value"]) for option in existing.get("options") or []}
    missing = [option["value"] for option in desired["options"] if option["value"] not in options]
    if missing:
        yield f"lacks the option(s) {', '.join(missing)}"


def _build_definition(prop: HubSpotProperty) -> dict[str, Any]:
    property_type, field_type = _PROPERTY_TYPES[prop.type]
    options = (
        _BOOLEAN_OPTIONS if prop.type == "boolean" else [(name, name) for name in prop.choices]
    )
    return {
        "name": prop.name,
        "label": prop.name.replace("_", " ").capitalize(),
        "description": prop.description,
        "groupName": PROPERTY_GROUP,
        "type": property_type,
        "fieldType": field_type,
        "options": [
            {"value": value, "label": label, "displayOrder": index, "hidden": False}
            for index, (value, label) in enumerate(options)
        ],
    }


def _create_group(client: HubSpotClient, object_type: str) -> list[str]:
    groups = client.request(client.property_groups.get_all, object_type)["results"]
    if any(group["name"] == PROPERTY_GROUP for group in groups):
        return []
    body = {"name": PROPERTY_GROUP, "label": "Expansion", "displayOrder": -1}
    client.request(client.property_groups.create, object_type, body)
    return [f"property group {PROPERTY_GROUP} of {object_type}"]


def _create_properties(
    client: HubSpotClient, object_type: str, missing: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    for batch in iter_chunks(missing, _BATCH_SIZE):
        body = {"inputs": [dict(definition) for definition in batch]}
        response = client.request(client.property_batch.create, object_type, body)
        if response.get("errors"):
            details = " ".join(format_error(error) for error in response["errors"])
            raise AccessDeniedError(
                f"HubSpot did not create all properties of {object_type}: {details}"
            )
        for definition in batch:
            uniqueness = " (unique, permanent)" if definition.get("hasUniqueValue") else ""
            yield f"property {object_type}.{definition['name']}{uniqueness}"


def _create_pipeline(client: HubSpotClient, config: HubSpotConfig) -> list[str]:
    pipelines = client.request(client.pipelines.get_all, "deals")["results"]
    if find_pipeline(pipelines, config.pipeline) is not None:
        resolve_pipeline(pipelines, config)  # raises if a stage is missing
        return []
    stages = [
        {"label": label, "displayOrder": index, "metadata": {"probability": probability}}
        for index, (label, probability) in enumerate(_build_stages(config).items())
    ]
    body = {"label": config.pipeline, "displayOrder": len(pipelines), "stages": stages}
    client.request(client.pipelines.create, "deals", body)
    return [f"deal pipeline {config.pipeline!r} with {len(stages)} stages"]


def _build_stages(config: HubSpotConfig) -> dict[str, str]:
    """Build the default stages and those named in the settings, with their win probabilities."""
    probabilities = {"open": "0.2", "expanded": "1.0"}
    configured = {
        label: probabilities.get(state, "0.0") for state, label in map_stages(config).items()
    }
    defaults = {
        label: probability
        for label, probability in DEFAULT_STAGES.items()
        if label in configured or label not in MANAGED_STAGES
    }
    added = {label: configured[label] for label in configured if label not in defaults}
    return {**defaults, **added}
