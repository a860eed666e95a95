"""The package of fields and rights that an org's admin deploys: plain files, to be read before.

Salesforce would also make fields one by one for our own user (Tooling API). But that user would
need the right to change the whole org for it, for good, and fields made so are hidden from everyone
until a second call grants each of them. A package is deployed once, with the admin's own rights,
first to a sandbox; deploying it again changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from serving.crm.salesforce.making import Making
from serving.crm.salesforce.names import KEYS, LENGTH, SOBJECTS, Column, Names
from serving.crm.target import Denied, Kind

__all__ = ["PERMISSIONS", "files", "label", "write"]

PERMISSIONS: Final = "Expansion_Delivery"
_NAMESPACE: Final = "http://soap.sforce.com/2006/04/metadata"
# Where the fields of an object are defined: tasks and events share theirs.
_DEFINED: Final = {"account": "Account", "opportunity": "Opportunity", "task": "Activity"}
_DIGITS: Final = 18
_MEANS_KEY: Final = {
    "account": "the account's id in the tables that the list is made of",
    "opportunity": "our name of it: account, limit, episode",
    "task": "our name of it: account, limit, episode, what is to be done",
}


def write(folder: Path, names: Names, version: str, making: Making) -> list[str]:
    """Write the package, and say how it is deployed.

    Raises
    ------
    serving.crm.target.Denied
        If the folder cannot be written to.
    """
    try:
        for name, text in files(names, version, making).items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Denied(
            f"the package cannot be written to {folder}: {error.strerror}; give this user the"
            " right, or name another folder as state"
        ) from error
    return [
        f"a package of fields and rights, which the org's admin deploys: cd {folder} && sf project"
        " deploy start --metadata-dir package --target-org YOUR_ORG && sf org assign permset --name"
        f" {PERMISSIONS} --on-behalf-of USER --target-org YOUR_ORG"
    ]


def files(names: Names, version: str, making: Making) -> dict[str, str]:
    """Give the files of the package, by their paths."""
    project = {
        "packageDirectories": [{"path": "package", "default": True}],
        "sourceApiVersion": version,
    }
    described = {
        f"package/objects/{_DEFINED[kind]}.object": _object(names, kind) for kind in SOBJECTS
    }
    return {
        "sfdx-project.json": json.dumps(project, indent=2) + "\n",
        "package/package.xml": _manifest(names, version),
        **described,
        f"package/permissionsets/{PERMISSIONS}.permissionset": _permissions(names, making),
    }


def label(name: str) -> str:
    """Say a field's API name as its label.

    Examples
    --------
    >>> label("Expansion_Readiness_Date__c")
    'Expansion Readiness Date'
    """
    return name.removesuffix("__c").replace("_", " ")


def _object(names: Names, kind: Kind) -> str:
    root = _root("CustomObject")
    key = ET.SubElement(root, "fields")
    _put(key, fullName=KEYS[kind], label=label(KEYS[kind]), description=_MEANS_KEY[kind])
    _put(key, type="Text", length=LENGTH, externalId=True, unique=True, caseSensitive=True)
    for column in names.custom(kind):
        told = ET.SubElement(root, "fields")
        means = f"{column.field.means}. Written by the expansion list."
        _put(told, fullName=column.name, label=label(column.name), description=means)
        _put(told, inlineHelpText=column.field.means, **kind_of(column))
    return _text(root)


def kind_of(column: Column) -> dict[str, object]:
    """Say of which type Salesforce makes a field."""
    match column.field.type:
        case "text":
            return {"type": "Text", "length": LENGTH}
        case "lines":
            return {"type": "LongTextArea", "length": 32_768, "visibleLines": 4}
        case "day":
            return {"type": "Date"}
        case "flag":
            return {"type": "Checkbox", "defaultValue": False}
        case kind:
            digits = 0 if kind == "whole" else column.field.digits
            scale = max(digits - 2, 0) if column.is_share else digits
            shown = "Percent" if column.is_share else "Number"
            return {"type": shown, "precision": _DIGITS, "scale": scale}


def _manifest(names: Names, version: str) -> str:
    root = _root("Package")
    fields = ET.SubElement(root, "types")
    for kind in SOBJECTS:
        for name in [KEYS[kind], *(column.name for column in names.custom(kind))]:
            _put(fields, members=f"{_DEFINED[kind]}.{name}")
    _put(fields, name="CustomField")
    rights = ET.SubElement(root, "types")
    _put(rights, members=PERMISSIONS, name="PermissionSet")
    _put(root, version=version)
    return _text(root)


def _permissions(names: Names, making: Making) -> str:
    """Read, make and change what we write, and no more: nothing is deleted, nobody else's seen."""
    root = _root("PermissionSet")
    _put(root, description="For the user as whom the expansion list is written.")
    for kind, sobject in SOBJECTS.items():
        own = ["Amount", "Type"] if kind == "opportunity" else []
        for name in [KEYS[kind], *(column.name for column in names.custom(kind)), *own]:
            field = ET.SubElement(root, "fieldPermissions")
            _put(field, editable=True, field=f"{sobject}.{name}", readable=True)
    _put(root, hasActivationRequired=False, label=label(PERMISSIONS))
    makes = {"Account": making.accounts, "Opportunity": True}
    for sobject, create in makes.items():
        rights = ET.SubElement(root, "objectPermissions")
        _put(rights, allowCreate=create, allowDelete=False, allowEdit=True, allowRead=True)
        _put(rights, modifyAllRecords=False, object=sobject, viewAllRecords=False)
    for name in ("ApiEnabled", "EditTask"):
        right = ET.SubElement(root, "userPermissions")
        _put(right, enabled=True, name=name)
    return _text(root)


def _root(tag: str) -> ET.Element:
    return ET.Element(tag, {"xmlns": _NAMESPACE})


def _put(parent: ET.Element, **values: object) -> None:
    for tag, value in values.items():
        told = str(value).lower() if isinstance(value, bool) else str(value)
        ET.SubElement(parent, tag).text = told


def _text(root: ET.Element) -> str:
    ET.indent(root, space="    ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
