"""Metadata package with fields and a permission set, for the org's administrator to deploy.

The Tooling API could create fields one by one. But our user would then need a permanent right to
customize the org, and each field would need a second call to become visible. A package is deployed
with the administrator's rights, first to a sandbox; deploying it again changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import jinja2

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
        **_render_package(field_mapping, create_accounts=config.create_accounts),
    }
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


def _render_package(
    field_mapping: SalesforceFieldMapping, *, create_accounts: bool
) -> dict[str, str]:
    """Render the metadata; the permission set lets us read, create and edit, but not delete."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("serving.delivery.crm.salesforce"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    fields = {kind: _describe_fields(field_mapping, kind) for kind in SOBJECTS}
    variables = {
        "names": {kind: [field["fullName"] for field in fields[kind]] for kind in SOBJECTS},
        "metadata_objects": _METADATA_OBJECTS,
        "sobjects": SOBJECTS,
        "permission_set": PERMISSION_SET,
        "label": format_label(PERMISSION_SET),
        "creatable": {"Account": create_accounts, "Opportunity": True},
        "version": API_VERSION,
    }
    permission_set = environment.get_template("permission_set.xml").render(variables)
    objects = {
        f"package/objects/{_METADATA_OBJECTS[kind]}.object": environment.get_template(
            "object.xml"
        ).render(fields=fields[kind])
        for kind in SOBJECTS
    }
    return {
        "package/package.xml": environment.get_template("package.xml").render(variables),
        f"package/permissionsets/{PERMISSION_SET}.permissionset": permission_set,
        **objects,
    }


def _describe_fields(field_mapping: SalesforceFieldMapping, kind: Kind) -> list[dict[str, object]]:
    """Return the metadata of our key and custom fields: tag → value."""
    key: dict[str, object] = {
        "fullName": KEY_FIELDS[kind],
        "label": format_label(KEY_FIELDS[kind]),
        "description": _KEY_DESCRIPTIONS[kind],
        "type": "Text",
        "length": TEXT_LENGTH,
        **dict.fromkeys(("externalId", "unique", "caseSensitive"), "true"),
    }
    custom = [
        {
            "fullName": mapped.name,
            "label": format_label(mapped.name),
            "description": f"{mapped.field.description}. Written by the expansion list.",
            "inlineHelpText": mapped.field.description,
            **build_field_type(mapped),
        }
        for mapped in field_mapping.list_custom_fields(kind)
    ]
    return [key, *custom]


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
            return {"type": "Checkbox", "defaultValue": "false"}
        case kind:
            decimals = 0 if kind == "integer" else mapped.field.decimals
            scale = max(decimals - 2, 0) if mapped.field.is_share else decimals
            number_type = "Percent" if mapped.field.is_share else "Number"
            return {"type": number_type, "precision": _NUMBER_PRECISION, "scale": scale}
