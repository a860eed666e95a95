"""Our fields in Odoo's words: which field of which model carries which of ours, and how.

Odoo knows no empty number and no empty flag: 0 and false stand for them. So 0, false and nothing
are one value here, told as None, going and coming.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import quote

from data.errors import SettingsError
from serving.delivery.crm.base import Fields, Kind, Value
from serving.delivery.crm.fields import FIELDS, CrmField

__all__ = [
    "ACCOUNT_ID_FIELD",
    "FIELD_PREFIX",
    "FIELD_TYPES",
    "HTML_FIELDS",
    "KEY_FIELD",
    "MODELS",
    "OdooFieldMapping",
    "build_external_id",
]

MODELS: Final[Mapping[Kind, str]] = {
    "account": "res.partner",
    "opportunity": "crm.lead",
    "task": "mail.activity",
}
FIELD_PREFIX: Final = "x_expansion_"
KEY_FIELD: Final = "x_expansion_key"  # our key of an opportunity or a task
ACCOUNT_ID_FIELD: Final = "x_expansion_account_id"  # our account's id, on both
HTML_FIELDS: Final = frozenset({"note", "description", "comment"})  # Odoo's own fields of rich text
# The type of ours → the type that Odoo makes for it.
FIELD_TYPES: Final = {
    "text": "char",
    "lines": "text",
    "number": "float",
    "whole": "integer",
    "day": "date",
    "flag": "boolean",
}
# What Odoo has a field of its own for. Its own probability is the salesperson's forecast of a deal,
# another question than ours, and stays theirs.
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
class OdooFieldMapping:
    """Which of our fields goes where: kind → our name → Odoo's."""

    fields: Mapping[Kind, Mapping[str, str]]

    @classmethod
    def from_config(
        cls, overrides: Mapping[Kind, Mapping[str, str]], *, create_partners: bool
    ) -> OdooFieldMapping:
        """Lay what the settings map over what goes without saying; an empty name leaves it out.

        Raises
        ------
        data.errors.SettingsError
            If a field is mapped that we do not have.
        """
        fields: dict[Kind, dict[str, str]] = {}
        for kind, catalogue in FIELDS.items():
            kind_overrides = overrides.get(kind, {})
            if unknown := sorted(set(kind_overrides) - set(catalogue)):
                raise SettingsError(
                    f"crm.odoo.fields.{kind}: we have no {', '.join(unknown)}; known are"
                    f" {', '.join(catalogue)}."
                )
            defaults = {name: _get_default_name(kind, name, create_partners) for name in catalogue}
            merged = {**defaults, **kind_overrides}
            fields[kind] = {name: theirs for name, theirs in merged.items() if theirs}
        return cls(fields)

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as Odoo gives them back."""
        mapped = self.fields[kind]
        return {
            name: _normalize_value(value, FIELDS[kind][name], mapped[name])
            for name, value in fields.items()
            if name in mapped
        }

    def deserialize_record(self, kind: Kind, record: Mapping[str, Any]) -> dict[str, Value]:
        """Read our fields out of a record of Odoo's."""
        return {
            ours: _normalize_value(_strip_html(record[theirs], theirs), FIELDS[kind][ours], theirs)
            for ours, theirs in self.fields[kind].items()
        }

    def serialize_fields(self, kind: Kind, fields: Fields) -> dict[str, Any]:
        """Say fields as Odoo's ``write`` takes them."""
        return {
            self.fields[kind][name]: _serialize_value(value, self.fields[kind][name])
            for name, value in self.normalize(kind, fields).items()
        }

    def serialize_cells(self, kind: Kind, fields: Fields) -> dict[str, str]:
        """Say fields as Odoo's ``load`` takes them: as text, like in a spreadsheet."""
        return {
            name: _serialize_cell(value)
            for name, value in self.serialize_fields(kind, fields).items()
        }

    def list_custom_fields(self, kind: Kind) -> dict[str, CrmField]:
        """Give the fields that are not Odoo's own, by Odoo's name: setup makes them."""
        return {
            theirs: FIELDS[kind][ours]
            for ours, theirs in self.fields[kind].items()
            if theirs.startswith("x_")
        }


def build_external_id(kind: Kind, key: str) -> str:
    """Say a key as an external id of Odoo's, which the database keeps unique and free of blanks.

    Examples
    --------
    >>> build_external_id("opportunity", "eu%3A42:seats:1")
    'expansion.opportunity_eu=253A42=3Aseats=3A1'
    """
    return f"expansion.{kind}_{quote(key, safe='').replace('%', '=')}"


def _get_default_name(kind: Kind, name: str, create_partners: bool) -> str:
    if kind == "account" and FIELDS[kind][name].is_native:
        # The account's name and owner are the CRM's own; only a partner of our making gets a name.
        return "name" if create_partners and name == "name" else ""
    return _STANDARD_FIELDS[kind].get(name) or FIELD_PREFIX + name.removeprefix("expansion_")


def _normalize_value(value: Value, field: CrmField, odoo_name: str) -> Value:
    if not value:
        return None
    if field.type == "number":
        return round(float(value), field.decimals) or None
    if field.type == "whole":
        return int(value)
    if field.type == "flag":
        return True
    text = _remove_control_characters(str(value))
    return (_collapse_whitespace(text) if odoo_name in HTML_FIELDS else text) or None


def _remove_control_characters(text: str) -> str:
    """Without what neither PostgreSQL nor HTML holds: control signs and halves of a sign."""
    printable = (
        sign for sign in text.replace("\r\n", "\n") if sign in "\n\t" or not _is_control(sign)
    )
    return "".join(printable)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs"}


def _collapse_whitespace(text: str) -> str:
    """Blanks as HTML keeps them: one between words, none around a line, no empty line."""
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _serialize_value(value: Value, odoo_name: str) -> Any:  # noqa: ANN401 - Odoo's value
    if value is None:
        return False
    if odoo_name in HTML_FIELDS:
        return "".join(f"<p>{html.escape(line)}</p>" for line in str(value).split("\n"))
    return value


def _serialize_cell(value: Any) -> str:  # noqa: ANN401 - Odoo's value
    if value is False or value is None:
        return ""
    return "1" if value is True else str(value)


def _strip_html(value: Any, odoo_name: str) -> Any:  # noqa: ANN401 - Odoo's value
    if odoo_name not in HTML_FIELDS or not value:
        return value
    parser = _TextExtractor()
    parser.feed(value)
    parser.close()
    return "".join(parser.parts)


class _TextExtractor(HTMLParser):
    """The text of HTML, a line for each paragraph."""

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
