"""Our fields in Salesforce's words: which field of which object carries which of ours, and how.

Salesforce knows no empty checkbox, shows a share as percent, drops blanks around a text and cuts
nothing by itself: so false is told as None, a share is sent times 100, and texts are cut here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from data.errors import SettingsError
from serving.delivery.crm.base import Fields, Kind, Value
from serving.delivery.crm.fields import FIELDS, CrmField

__all__ = [
    "KEY_FIELDS",
    "SOBJECTS",
    "TEXT_LENGTH",
    "SalesforceField",
    "SalesforceFieldMapping",
    "normalize_record_id",
    "parse_account_id",
]

SOBJECTS: Final[Mapping[Kind, str]] = {
    "account": "Account",
    "opportunity": "Opportunity",
    "task": "Task",
}
# Our own name of a record: an external id, unique.
KEY_FIELDS: Final[Mapping[Kind, str]] = {
    "account": "Expansion_Account_Id__c",
    "opportunity": "Expansion_Key__c",
    "task": "Expansion_Key__c",
}
TEXT_LENGTH: Final = 255  # of a line of text
_LONG_TEXT_LENGTH: Final = 32_000  # of a text of several lines; Task.Description takes no more
_ID_PREFIXES: Final[Mapping[Kind, str]] = {"account": "001", "opportunity": "006", "task": "00T"}
_PERCENT_FIELDS: Final = {
    "probability",
    "low",
    "high",
    "probability_180d",
    "churn_probability",
    "seat_utilization",
}
_ABBREVIATIONS: Final = {"csm": "CSM", "arr": "ARR"}
# What Salesforce has a field of its own for. Its own probability follows the stage, which is the
# salesperson's forecast of a deal, another question than ours; so is its close date.
_STANDARD_FIELDS: Final[Mapping[Kind, Mapping[str, str]]] = {
    "account": {},
    "opportunity": {"name": "Name", "amount": "Amount"},
    "task": {"subject": "Subject", "due_date": "ActivityDate", "notes": "Description"},
}
_STANDARD_FIELD_LENGTHS: Final = {"Opportunity.Name": 120, "Account.Name": 255}


@dataclass(frozen=True)
class SalesforceField:
    """One of our fields as Salesforce has it.

    Attributes
    ----------
    name : str
        The field's API name.
    field : serving.delivery.crm.fields.CrmField
        What it is to us.
    length : int
        Characters it takes, of a text.
    is_percent : bool
        It is shown as percent.
    """

    name: str
    field: CrmField
    length: int = TEXT_LENGTH
    is_percent: bool = False

    def normalize(self, value: Value) -> Value:
        """Give a value of ours as Salesforce gives it back."""
        if value is None:
            return None
        match self.field.type:
            case "number":
                return round(float(value), self.field.decimals) + 0.0
            case "whole":
                return round(float(value))
            case "flag":
                return bool(value) or None
            case kind:
                return (
                    _truncate_text(_clean_text(str(value), lines=kind == "lines"), self.length)
                    or None
                )

    def serialize(self, value: Value) -> Value:
        """Give a plain value as it goes over the wire."""
        if self.field.type == "flag":
            return bool(value)
        if self.is_percent and value is not None:
            return round(float(value) * 100, max(self.field.decimals - 2, 0))
        return value

    def deserialize(self, value: Any) -> Value:  # noqa: ANN401 - any JSON
        """Give what came over the wire as a plain value."""
        if self.is_percent and value is not None:
            return self.normalize(float(value) / 100)
        return self.normalize(value)


@dataclass(frozen=True)
class SalesforceFieldMapping:
    """Which of our fields goes where: kind → our name → column."""

    fields: Mapping[Kind, Mapping[str, SalesforceField]]

    @classmethod
    def from_config(
        cls, overrides: Mapping[Kind, Mapping[str, str]], *, create_accounts: bool
    ) -> SalesforceFieldMapping:
        """Lay what the settings map over what goes without saying; an empty name leaves it out.

        Raises
        ------
        data.errors.SettingsError
            If a field is mapped that we do not have.
        """
        mapping: dict[Kind, dict[str, SalesforceField]] = {}
        for kind, catalogue in FIELDS.items():
            kind_overrides = overrides.get(kind, {})
            if unknown := sorted(set(kind_overrides) - set(catalogue)):
                raise SettingsError(
                    f"crm.salesforce.fields.{kind}: we have no {', '.join(unknown)}; known are"
                    f" {', '.join(catalogue)}."
                )
            defaults = {name: _get_default_name(kind, name, create_accounts) for name in catalogue}
            merged = {**defaults, **kind_overrides}
            mapping[kind] = {
                name: _build_field(kind, name, theirs) for name, theirs in merged.items() if theirs
            }
        return cls(mapping)

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as Salesforce gives them back."""
        mapped = self.fields[kind]
        return {
            name: mapped[name].normalize(value) for name, value in fields.items() if name in mapped
        }

    def deserialize_record(self, kind: Kind, record: Mapping[str, Any]) -> dict[str, Value]:
        """Read our fields out of a record of Salesforce's."""
        return {
            ours: column.deserialize(record.get(column.name))
            for ours, column in self.fields[kind].items()
        }

    def serialize_fields(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Say fields as a record of Salesforce's takes them."""
        mapped = self.fields[kind]
        normalized = self.normalize(kind, fields)
        return {
            mapped[name].name: mapped[name].serialize(value) for name, value in normalized.items()
        }

    def list_selected_fields(self, kind: Kind) -> list[str]:
        """Give the names of all fields that are to be read."""
        names = {column.name for column in self.fields[kind].values()}
        return ["Id", *sorted({KEY_FIELDS[kind], *names})]

    def list_custom_fields(self, kind: Kind) -> list[SalesforceField]:
        """Give the columns that an admin has to make with our package; our key is beside them."""
        return [c for c in self.fields[kind].values() if c.name.startswith("Expansion_")]


def normalize_record_id(kind: Kind, text: str | None) -> str | None:
    """Give a record's id in its long form; None where it is none of a record of this kind.

    Examples
    --------
    >>> normalize_record_id("account", "001D000000IRFma"), normalize_record_id("task", "001D000000IRFma")
    ('001D000000IRFmaIAH', None)
    """
    if text is None or len(text) not in {15, 18} or not (text.isascii() and text.isalnum()):
        return None
    if not text.startswith(_ID_PREFIXES[kind]):
        return None
    return text if len(text) == 18 else text + _compute_id_suffix(text)


def parse_account_id(key: str) -> str:
    """Give our account of an opportunity's or a task's key.

    Examples
    --------
    >>> parse_account_id("eu%3A42:seats:1:talk")
    'eu:42'
    """
    return key.partition(":")[0].replace("%3A", ":").replace("%25", "%")


def _compute_id_suffix(record_id: str) -> str:
    """Say in three letters which letters are capitals, five to a letter."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    parts = (record_id[start : start + 5] for start in (0, 5, 10))
    return "".join(
        alphabet[sum(1 << place for place, sign in enumerate(part) if sign.isupper())]
        for part in parts
    )


def _get_default_name(kind: Kind, name: str, create_accounts: bool) -> str:
    if kind == "account" and name == "name":
        # The account's name is the CRM's own; only an account of our making gets one.
        return "Name" if create_accounts else ""
    standard_name = _STANDARD_FIELDS[kind].get(name)
    if standard_name is not None:
        return standard_name
    parts = name.removeprefix("expansion_").split("_")
    return f"Expansion_{'_'.join(_ABBREVIATIONS.get(part, part.capitalize()) for part in parts)}__c"


def _build_field(kind: Kind, field_name: str, api_name: str) -> SalesforceField:
    field = FIELDS[kind][field_name]
    salesforce_field = SalesforceField(api_name, field, is_percent=field_name in _PERCENT_FIELDS)
    if field.type == "lines":
        return replace(salesforce_field, length=_LONG_TEXT_LENGTH)
    return replace(
        salesforce_field,
        length=_STANDARD_FIELD_LENGTHS.get(f"{SOBJECTS[kind]}.{api_name}", TEXT_LENGTH),
    )


def _clean_text(text: str, *, lines: bool) -> str:
    """Without what Salesforce drops or refuses: control signs, halves of a sign, outer blanks."""
    cleaned = text.replace("\r\n", "\n").replace("\r", "\n")
    if not lines:
        cleaned = cleaned.replace("\n", " ").replace("\t", " ")
    printable = (sign for sign in cleaned if sign in "\n\t" or not _is_control(sign))
    return "".join(printable).strip()


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"}


def _truncate_text(text: str, length: int) -> str:
    """Cut a text to what fits."""
    if _count_utf16_units(text) <= length:
        return text
    while _count_utf16_units(text) > length - 1:
        text = text[: min(len(text) - 1, length - 1)]
    return f"{text.rstrip()}…"


def _count_utf16_units(text: str) -> int:
    """Signs as Salesforce counts them: a rare one is two, and so is a line end."""
    return len(text.encode("utf-16-le")) // 2 + text.count("\n")
