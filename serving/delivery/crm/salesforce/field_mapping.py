"""Field mapping: CRM fields to Salesforce fields, with serialization and deserialization.

Salesforce has no empty checkbox, stores shares as percent, and strips but never truncates texts. So
false is normalized to None, shares are multiplied by 100, and texts are truncated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from data.config.delivery import SalesforceConfig
from serving.delivery.crm.base import Kind, Value
from serving.delivery.crm.fields import (
    FIELDS,
    CrmField,
    FieldMapping,
    map_fields,
    remove_control_characters,
)

__all__ = [
    "KEY_FIELDS",
    "SOBJECTS",
    "TEXT_LENGTH",
    "SalesforceField",
    "SalesforceFieldMapping",
    "normalize_record_id",
]

SOBJECTS: Final[Mapping[Kind, str]] = {
    "account": "Account",
    "opportunity": "Opportunity",
    "task": "Task",
}
# Unique external id fields.
KEY_FIELDS: Final[Mapping[Kind, str]] = {
    "account": "Expansion_Account_Id__c",
    "opportunity": "Expansion_Key__c",
    "task": "Expansion_Key__c",
}
TEXT_LENGTH: Final = 255  # of a single-line text
_LONG_TEXT_LENGTH: Final = 32_000  # of a multi-line text; limit of Task.Description
_ID_PREFIXES: Final[Mapping[Kind, str]] = {"account": "001", "opportunity": "006", "task": "00T"}
_ABBREVIATIONS: Final = {"csm": "CSM", "arr": "ARR"}
# Standard fields of Salesforce. Its probability follows the stage and its close date is set by the
# salesperson: both are forecasts of the deal, which we do not write.
_STANDARD_FIELDS: Final[Mapping[Kind, Mapping[str, str]]] = {
    "account": {},
    "opportunity": {"name": "Name", "amount": "Amount"},
    "task": {"subject": "Subject", "due_date": "ActivityDate", "notes": "Description"},
}
_STANDARD_FIELD_LENGTHS: Final = {"Opportunity.Name": 120, "Account.Name": 255}


@dataclass(frozen=True)
class SalesforceField:
    """A CRM field as a Salesforce field, by its API name; a share is stored as percent.

    ``length`` is the maximum of a text, in characters.
    """

    name: str
    field: CrmField
    length: int

    def normalize(self, value: Value) -> Value:
        """Return a value as Salesforce returns it."""
        if value is None:
            return None
        match self.field.type:
            case "number":
                return round(float(value), self.field.decimals) + 0.0
            case "integer":
                return round(float(value))
            case "boolean":
                return bool(value) or None
            case kind:
                text = _clean_text(str(value), lines=kind == "multiline")
                return _truncate_text(text, self.length) or None

    def serialize(self, value: Value) -> Value:
        """Serialize a normalized value for the API."""
        if self.field.type == "boolean":
            return bool(value)
        if self.field.is_share and value is not None:
            return round(float(value) * 100, max(self.field.decimals - 2, 0))
        return value

    def deserialize(self, value: Any) -> Value:  # noqa: ANN401 - any JSON
        """Deserialize a value from the API."""
        if self.field.is_share and value is not None:
            return self.normalize(float(value) / 100)
        return self.normalize(value)


class SalesforceFieldMapping(FieldMapping[SalesforceField]):
    """Mapping of our fields to Salesforce's."""

    @classmethod
    def from_config(cls, config: SalesforceConfig) -> SalesforceFieldMapping:
        """Merge the configured mapping over the defaults; an empty name leaves a field out.

        Raises
        ------
        data.errors.SettingsError
            If an unknown field is mapped.
        """

        def get_default_name(kind: Kind, name: str) -> str:
            if kind == "account" and name == "name":
                # The name is maintained in the CRM; only accounts that we create get one.
                return "Name" if config.create_accounts else ""
            return _STANDARD_FIELDS[kind].get(name) or _build_api_name(name)

        return cls(map_fields("salesforce", config.fields, get_default_name, _build_field))

    def list_selected_fields(self, kind: Kind) -> list[str]:
        """Return the API names of all fields to read."""
        return ["Id", *sorted({KEY_FIELDS[kind], *self.get_names(kind).values()})]

    def list_custom_fields(self, kind: Kind) -> list[SalesforceField]:
        """Return the custom fields of our metadata package, without the key field."""
        return [
            mapped for mapped in self.fields[kind].values() if mapped.name.startswith("Expansion_")
        ]


def normalize_record_id(kind: Kind, text: str | None) -> str | None:
    """Return the 18-character form of a record id, or None if it is not an id of this kind.

    Examples
    --------
    >>> normalize_record_id("account", "001D000000IRFma")
    '001D000000IRFmaIAH'
    >>> normalize_record_id("task", "001D000000IRFma")
    """
    if text is None or len(text) not in {15, 18} or not (text.isascii() and text.isalnum()):
        return None
    if not text.startswith(_ID_PREFIXES[kind]):
        return None
    return text if len(text) == 18 else text + _compute_id_suffix(text)


def _compute_id_suffix(record_id: str) -> str:
    """Compute the three-character suffix of a record id, which encodes the case of its letters."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    parts = (record_id[start : start + 5] for start in (0, 5, 10))
    return "".join(
        alphabet[sum(1 << index for index, letter in enumerate(part) if letter.isupper())]
        for part in parts
    )


def _build_api_name(name: str) -> str:
    parts = name.removeprefix("expansion_").split("_")
    return f"Expansion_{'_'.join(_ABBREVIATIONS.get(part, part.capitalize()) for part in parts)}__c"


def _build_field(kind: Kind, name: str, api_name: str) -> SalesforceField:
    field = FIELDS[kind][name]
    if field.type == "multiline":
        return SalesforceField(api_name, field, _LONG_TEXT_LENGTH)
    length = _STANDARD_FIELD_LENGTHS.get(f"{SOBJECTS[kind]}.{api_name}", TEXT_LENGTH)
    return SalesforceField(api_name, field, length)


def _clean_text(text: str, *, lines: bool) -> str:
    """Remove what Salesforce drops or rejects: control characters, surrogates, outer whitespace."""
    cleaned = text.replace("\r\n", "\n").replace("\r", "\n")
    if not lines:
        cleaned = cleaned.replace("\n", " ").replace("\t", " ")
    return remove_control_characters(cleaned).strip()


def _truncate_text(text: str, length: int) -> str:
    """Truncate a text to a length in UTF-16 units."""
    if _count_utf16_units(text) <= length:
        return text
    while _count_utf16_units(text) > length - 1:
        text = text[: min(len(text) - 1, length - 1)]
    return f"{text.rstrip()}…"


def _count_utf16_units(text: str) -> int:
    """Count characters as Salesforce does: UTF-16 units, and two for a line break."""
    return len(text.encode("utf-16-le")) // 2 + text.count("\n")
