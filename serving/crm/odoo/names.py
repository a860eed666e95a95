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
from serving.crm.target import Fields, Kind, Value
from serving.outbox.objects import FIELDS, Field

__all__ = ["ACCOUNT", "HTML", "KEY", "MODELS", "PREFIX", "TYPES", "Names", "external_id"]

MODELS: Final[Mapping[Kind, str]] = {
    "account": "res.partner",
    "opportunity": "crm.lead",
    "task": "mail.activity",
}
PREFIX: Final = "x_expansion_"
KEY: Final = "x_expansion_key"  # our key of an opportunity or a task
ACCOUNT: Final = "x_expansion_account_id"  # our account's id, on both
HTML: Final = frozenset({"note", "description", "comment"})  # Odoo's own fields of rich text
# The type of ours → the type that Odoo makes for it.
TYPES: Final = {
    "text": "char",
    "lines": "text",
    "number": "float",
    "whole": "integer",
    "day": "date",
    "flag": "boolean",
}
# What Odoo has a field of its own for. Its own probability is the salesperson's forecast of a deal,
# another question than ours, and stays theirs.
_OWN: Final[Mapping[Kind, Mapping[str, str]]] = {
    "account": {},
    "opportunity": {
        "name": "name",
        "amount": "expected_revenue",
        "expected_close_date": "date_deadline",
    },
    "task": {"subject": "summary", "due_date": "date_deadline", "notes": "note"},
}


@dataclass(frozen=True)
class Names:
    """Which of our fields goes where: kind → our name → Odoo's."""

    fields: Mapping[Kind, Mapping[str, str]]

    @classmethod
    def of(cls, mapped: Mapping[Kind, Mapping[str, str]], *, make_partners: bool) -> Names:
        """Lay what the settings map over what goes without saying; an empty name leaves it out.

        Raises
        ------
        data.errors.SettingsError
            If a field is mapped that we do not have.
        """
        fields: dict[Kind, dict[str, str]] = {}
        for kind, known in FIELDS.items():
            told = mapped.get(kind, {})
            if strange := sorted(set(told) - set(known)):
                raise SettingsError(
                    f"crm.odoo.fields.{kind}: we have no {', '.join(strange)}; known are"
                    f" {', '.join(known)}."
                )
            usual = {name: _usual(kind, name, make_partners) for name in known}
            whole = {**usual, **told}
            fields[kind] = {name: theirs for name, theirs in whole.items() if theirs}
        return cls(fields)

    def shape(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as Odoo gives them back."""
        carried = self.fields[kind]
        return {
            name: _plain(value, FIELDS[kind][name], carried[name])
            for name, value in fields.items()
            if name in carried
        }

    def received(self, kind: Kind, record: Mapping[str, Any]) -> dict[str, Value]:
        """Read our fields out of a record of Odoo's."""
        return {
            ours: _plain(_text(record[theirs], theirs), FIELDS[kind][ours], theirs)
            for ours, theirs in self.fields[kind].items()
        }

    def values(self, kind: Kind, fields: Fields) -> dict[str, Any]:
        """Say fields as Odoo's ``write`` takes them."""
        return {
            self.fields[kind][name]: _sent(value, self.fields[kind][name])
            for name, value in self.shape(kind, fields).items()
        }

    def cells(self, kind: Kind, fields: Fields) -> dict[str, str]:
        """Say fields as Odoo's ``load`` takes them: as text, like in a spreadsheet."""
        return {name: _cell(value) for name, value in self.values(kind, fields).items()}

    def custom(self, kind: Kind) -> dict[str, Field]:
        """Give the fields that are not Odoo's own, by Odoo's name: setup makes them."""
        return {
            theirs: FIELDS[kind][ours]
            for ours, theirs in self.fields[kind].items()
            if theirs.startswith("x_")
        }


def external_id(kind: Kind, key: str) -> str:
    """Say a key as an external id of Odoo's, which the database keeps unique and free of blanks.

    Examples
    --------
    >>> external_id("opportunity", "eu%3A42:seats:1")
    'expansion.opportunity_eu=253A42=3Aseats=3A1'
    """
    return f"expansion.{kind}_{quote(key, safe='').replace('%', '=')}"


def _usual(kind: Kind, name: str, make_partners: bool) -> str:
    if kind == "account" and FIELDS[kind][name].reference:
        # The account's name and owner are the CRM's own; only a partner of our making gets a name.
        return "name" if make_partners and name == "name" else ""
    return _OWN[kind].get(name) or PREFIX + name.removeprefix("expansion_")


def _plain(value: Value, field: Field, theirs: str) -> Value:
    if not value:
        return None
    if field.type == "number":
        return round(float(value), field.digits) or None
    if field.type == "whole":
        return int(value)
    if field.type == "flag":
        return True
    text = _printable(str(value))
    return (_lines(text) if theirs in HTML else text) or None


def _printable(text: str) -> str:
    """Without what neither PostgreSQL nor HTML holds: control signs and halves of a sign."""
    kept = (sign for sign in text.replace("\r\n", "\n") if sign in "\n\t" or not _is_control(sign))
    return "".join(kept)


def _is_control(sign: str) -> bool:
    return unicodedata.category(sign) in {"Cc", "Cs"}


def _lines(text: str) -> str:
    """Blanks as HTML keeps them: one between words, none around a line, no empty line."""
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _sent(value: Value, theirs: str) -> Any:  # noqa: ANN401 - Odoo's value
    if value is None:
        return False
    if theirs in HTML:
        return "".join(f"<p>{html.escape(line)}</p>" for line in str(value).split("\n"))
    return value


def _cell(value: Any) -> str:  # noqa: ANN401 - Odoo's value
    if value is False or value is None:
        return ""
    return "1" if value is True else str(value)


def _text(value: Any, theirs: str) -> Any:  # noqa: ANN401 - Odoo's value
    if theirs not in HTML or not value:
        return value
    reader = _Reader()
    reader.feed(value)
    reader.close()
    return "".join(reader.told)


class _Reader(HTMLParser):
    """The text of HTML, a line for each paragraph."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        if tag in {"p", "div", "br", "li", "tr"}:
            self.told.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"p", "div", "li", "tr"}:
            self.told.append("\n")

    def handle_data(self, data: str) -> None:
        self.told.append(data)
