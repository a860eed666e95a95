"""Field mapping: CRM fields to fields of Odoo models, with serialization and deserialization.

Odoo has no empty number and no empty boolean: it stores 0 and false instead. So 0, false and an
empty value are normalized to None in both directions.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import quote

from data.config.delivery import OdooConfig
from serving.delivery.crm.base import Fields, Kind, Value
from serving.delivery.crm.fields import (
    FIELDS,
    CrmField,
    FieldMapping,
    map_fields,
    remove_control_characters,
)

__all__ = [
    "ACCOUNT_ID_FIELD",
    "FIELD_PREFIX",
    "FIELD_TYPES",
    "HTML_FIELDS",
    "KEY_FIELD",
    "MODELS",
    "OdooField",
    "OdooFieldMapping",
    "build_external_id",
]

MODELS: Final[Mapping[Kind, str]] = {
    "account": "res.partner",
    "opportunity": "crm.lead",
    "task": "mail.activity",
}
FIELD_PREFIX: Final = "x_expansion_"
KEY_FIELD: Final = "x_expansion_key"  # key of an opportunity or task
ACCOUNT_ID_FIELD: Final = "x_expansion_account_id"  # account id, on both
HTML_FIELDS: Final = frozenset({"note", "description", "comment"})  # standard rich-text fields
# Our field type → Odoo field type.
FIELD_TYPES: Final = {
    "text": "char",
    "multiline": "text",
    "number": "float",
    "integer": "integer",
    "date": "date",
    "boolean": "boolean",
}
# Standard fields of Odoo. Odoo's probability is the salesperson's forecast of the deal. It differs
# from ours, and we do not write it.
_STANDARD_FIELDS: Final[Mapping[Kind, Mapping[str, str]]] = {
    "account": {},
    "opportunity": {
        "name": "name",
        "amount": "expected_revenue",
        "expected_close_date": "date_deadline",
    },
    "task": {"subject": "summary", "due_date": "date_deadline", "notes": "note"},
}


@dataclass(frozen=True)
class OdooField:
    """A CRM field as a field of an Odoo model; rich text holds one paragraph per line."""

    name: str
    field: CrmField

    def normalize(self, value: Value) -> Value:
        """Return a value as Odoo returns it."""
        if not value:
            return None
        if self.field.type == "number":
            return round(float(value), self.field.decimals) or None
        if self.field.type == "integer":
            return int(value)
        if self.field.type == "boolean":
            return True
        text = remove_control_characters(str(value).replace("\r\n", "\n"))
        return (_collapse_whitespace(text) if self.name in HTML_FIELDS else text) or None

    def serialize(self, value: Value) -> Value:
        """Return the value that Odoo's ``write`` takes."""
        if value is None:
            return False
        if self.name in HTML_FIELDS:
            return "".join(f"<p>{html.escape(line)}</p>" for line in str(value).split("\n"))
        return value

    def deserialize(self, value: Any) -> Value:  # noqa: ANN401 - Odoo's value
        """Return our value of Odoo's."""
        if value and self.name in HTML_FIELDS:
            parser = _TextExtractor()
            parser.feed(value)
            parser.close()
            value = "".join(parser.parts)
        return self.normalize(value)


class OdooFieldMapping(FieldMapping[OdooField]):
    """Mapping of our fields to Odoo's."""

    @classmethod
    def from_config(cls, config: OdooConfig) -> OdooFieldMapping:
        """Merge the configured mapping over the defaults; an empty name leaves a field out.

        Raises
        ------
        data.errors.SettingsError
            If an unknown field is mapped.
        """

        def get_default_name(kind: Kind, name: str) -> str:
            if kind == "account" and FIELDS[kind][name].is_native:
                # Name and owner are maintained in the CRM; only partners that we create get a name.
                return "name" if config.create_partners and name == "name" else ""
            custom_name = FIELD_PREFIX + name.removeprefix("expansion_")
            return _STANDARD_FIELDS[kind].get(name, custom_name)

        def build_field(kind: Kind, name: str, odoo_name: str) -> OdooField:
            return OdooField(odoo_name, FIELDS[kind][name])

        return cls(map_fields("odoo", config.fields, get_default_name, build_field))

    def serialize_cells(self, kind: Kind, fields: Fields) -> dict[str, str]:
        """Serialize fields for Odoo's ``load``, as text like the cells of a spreadsheet."""
        return {
            name: _serialize_cell(value)
            for name, value in self.serialize_fields(kind, fields).items()
        }

    def list_custom_fields(self, kind: Kind) -> dict[str, CrmField]:
        """Return the custom fields that provisioning creates, by Odoo name."""
        return {
            mapped.name: mapped.field
            for mapped in self.fields[kind].values()
            if mapped.name.startswith("x_")
        }


def build_external_id(kind: Kind, key: str) -> str:
    """Build an Odoo external id from a key: unique in the database and free of spaces.

    Examples
    --------
    >>> build_external_id("opportunity", "eu%3A42:seats:1")
    'expansion.opportunity_eu=253A42=3Aseats=3A1'
    """
    return f"expansion.{kind}_{quote(key, safe='').replace('%', '=')}"


def _collapse_whitespace(text: str) -> str:
    """Collapse whitespace as HTML does, and drop empty lines."""
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _serialize_cell(value: Any) -> str:  # noqa: ANN401 - Odoo's value
    if value is False or value is None:
        return ""
    return "1" if value is True else str(value)


class _TextExtractor(HTMLParser):
    """HTML parser that collects text, one line per paragraph."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        if tag in {"p", "div", "br", "li", "tr"}:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"p", "div", "li", "tr"}:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)
