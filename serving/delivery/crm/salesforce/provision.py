"""Metadata package with fields and a permission set, for the org's administrator to deploy.

The Tooling API could create fields one by one. But our user would then need a permanent right to
customize the org, and each field would need a second call to become visible. A package is deployed
with the administrator's rights, first to a sandbox; deploying it again changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from data.config.delivery import SalesforceConfig
from serving.delivery.crm.base import AccessDeniedError, Kind
from serving.delivery.crm.salesforce.client import API_VERSION
from serving.delivery.crm.salesforce.field_mapping import (
    KEY_FIELDS,
    SOBJECTS,
    TEXT_LENGTH,
    SalesforceField,
    SalesforceFieldMapping,
)

__all__ = ["PERMISSION_SET", "build_field_type", "format_label", "write_package"]

PERMISSION_SET: Final = "Expansion_Delivery"
_NAMESPACE: Final = "http://soap.sforce.com/2006/04/metadata"
# Metadata object that defines the fields; tasks and events share Activity.
_METADATA_OBJECTS: Final = {"account": "Account", "opportunity": "Opportunity", "task": "Activity"}
_NUMBER_PRECISION: Final = 18
_KEY_DESCRIPTIONS: Final = {
    "account": "account id in the source tables",
    "opportunity": "unique key: account, limit, episode",
    "task": "unique key: account, limit, episode, action",
}


def write_package(
    folder: Path, field_mapping: SalesforceFieldMapping, config: SalesforceConfig
) -> list[str]:
    """Write the package, and return the command that deploys it.

    Raises
    ------
    serving.delivery.crm.base.AccessDeniedError
        If the folder is not writable.
    """
    project = {
        "packageDirectories": [{"path": "package", "default": True}],
        "sourceApiVersion": API_VERSION,
    }
    files = {
        "sfdx-project.json": json.dumps(project, indent=2) + "\n",
        "package/package.xml": _build_manifest(field_mapping),
        f"package/permissionsets/{PERMISSION_SET}.permissionset": _build_permission_set(
            field_mapping, create_accounts=config.create_accounts
        ),
    }
    for kind in SOBJECTS:
        files[f"package/objects/{_METADATA_OBJECTS[kind]}.object"] = _build_object(
            field_mapping, kind
        )
    try:
        for name, text in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AccessDeniedError(
            f"the package cannot be written to {folder}: {error.strerror}; grant write permission,"
            " or set another state folder"
        ) from error
    return [
        f"metadata package for the org's administrator to deploy: cd {folder} && sf project"
        " deploy start --metadata-dir package --target-org YOUR_ORG && sf org assign permset --name"
        f" {PERMISSION_SET} --on-behalf-of USER --target-org YOUR_ORG"
    ]


def format_label(name: str) -> str:
    """Return the label of a field from its API name.

    Examples
    --------
    >>> format_label("Expansion_Readiness_Date__c")
    'Expansion Readiness Date'
    """
    return name.removesuffix("__c").replace("_", " ")


def _build_object(field_mapping: SalesforceFieldMapping, kind: Kind) -> str:
    root = _create_root("CustomObject")
    _add_children(
        ET.SubElement(root, "fields"),
        fullName=KEY_FIELDS[kind],
        label=format_label(KEY_FIELDS[kind]),
        description=_KEY_DESCRIPTIONS[kind],
        type="Text",
        length=TEXT_LENGTH,
        externalId=True,
        unique=True,
        caseSensitive=True,
    )
    for mapped in field_mapping.list_custom_fields(kind):
        _add_children(
            ET.SubElement(root, "fields"),
            fullName=mapped.name,
            label=format_label(mapped.name),
            description=f"{mapped.field.description}. Written by the expansion list.",
            inlineHelpText=mapped.field.description,
            **build_field_type(mapped),
        )
    return _serialize_xml(root)


def build_field_type(mapped: SalesforceField) -> dict[str, object]:
    """Build the metadata type attributes of a field."""
    match mapped.field.type:
        case "text":
            return {"type": "Text", "length": TEXT_LENGTH}
        case "multiline":
            return {"type": "LongTextArea", "length": 32_768, "visibleLines": 4}
        case "date":
            return {"type": "Date"}
        case "boolean":
            return {"type": "Checkbox", "defaultValue": False}
        case kind:
            decimals = 0 if kind == "integer" else mapped.field.decimals
            scale = max(decimals - 2, 0) if mapped.field.is_share else decimals
            number_type = "Percent" if mapped.field.is_share else "Number"
            return {"type": number_type, "precision": _NUMBER_PRECISION, "scale": scale}


def _list_field_names(field_mapping: SalesforceFieldMapping, kind: Kind) -> list[str]:
    custom_names = (mapped.name for mapped in field_mapping.list_custom_fields(kind))
    return [KEY_FIELDS[kind], *custom_names]


def _build_manifest(field_mapping: SalesforceFieldMapping) -> str:
    root = _create_root("Package")
    fields = ET.SubElement(root, "types")
    for kind in SOBJECTS:
        for name in _list_field_names(field_mapping, kind):
            _add_children(fields, members=f"{_METADATA_OBJECTS[kind]}.{name}")
    _add_children(fields, name="CustomField")
    _add_children(ET.SubElement(root, "types"), members=PERMISSION_SET, name="PermissionSet")
    _add_children(root, version=API_VERSION)
    return _serialize_xml(root)


def _build_permission_set(field_mapping: SalesforceFieldMapping, *, create_accounts: bool) -> str:
    """Build the permission set: read, create and edit what we write; no delete."""
    root = _create_root("PermissionSet")
    _add_children(root, description="For the integration user of the expansion list.")
    for kind, sobject in SOBJECTS.items():
        standard = ["Amount", "Type"] if kind == "opportunity" else []
        for name in [*_list_field_names(field_mapping, kind), *standard]:
            field = ET.SubElement(root, "fieldPermissions")
            _add_children(field, editable=True, field=f"{sobject}.{name}", readable=True)
    _add_children(root, hasActivationRequired=False, label=format_label(PERMISSION_SET))
    for sobject, is_creatable in {"Account": create_accounts, "Opportunity": True}.items():
        _add_children(
            ET.SubElement(root, "objectPermissions"),
            allowCreate=is_creatable,
            allowDelete=False,
            allowEdit=True,
            allowRead=True,
            modifyAllRecords=False,
            object=sobject,
            viewAllRecords=False,
        )
    for name in ("ApiEnabled", "EditTask"):
        _add_children(ET.SubElement(root, "userPermissions"), enabled=True, name=name)
    return _serialize_xml(root)


def _create_root(tag: str) -> ET.Element:
    return ET.Element(tag, {"xmlns": _NAMESPACE})


def _add_children(parent: ET.Element, **values: object) -> None:
    for tag, value in values.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        ET.SubElement(parent, tag).text = text


def _serialize_xml(root: ET.Element) -> str:
    ET.indent(root, space="    ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
