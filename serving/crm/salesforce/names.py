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
from serving.crm.target import Fields, Kind, Value
from serving.outbox.objects import FIELDS, Field

__all__ = ["KEYS", "LENGTH", "SOBJECTS", "Column", "Names", "account_of", "record_id"]

SOBJECTS: Final[Mapping[Kind, str]] = {
    "account": "Account",
    "opportunity": "Opportunity",
    "task": "Task",
}
# Our own name of a record: an external id, unique.
KEYS: Final[Mapping[Kind, str]] = {
    "account": "Expansion_Account_Id__c",
    "opportunity": "Expansion_Key__c",
    "task": "Expansion_Key__c",
}
LENGTH: Final = 255  # of a line of text
_LONG: Final = 32_000  # of a text of several lines; Task.Description takes no more
_PREFIXES: Final[Mapping[Kind, str]] = {"account": "001", "opportunity": "006", "task": "00T"}
_SHARES: Final = {
    "probability",
    "low",
    "high",
    "probability_180d",
    "churn_probability",
    "seat_utilization",
}
_WORDS: Final = {"csm": "CSM", "arr": "ARR"}
# What Salesforce has a field of its own for. Its own probability follows the stage, which is the
# salesperson's forecast of a deal, another question than ours; so is its close date.
_OWN: Final[Mapping[Kind, Mapping[str, str]]] = {
    "account": {},
    "opportunity": {"name": "Name", "amount": "Amount"},
    "task": {"subject": "Subject", "due_date": "ActivityDate", "notes": "Description"},
}
_LENGTHS: Final = {"Opportunity.Name": 120, "Account.Name": 255}


@dataclass(frozen=True)
class Column:
    """One of our fields as Salesforce has it.

    Attributes
    ----------
    name : str
        The field's API name.
    field : serving.outbox.objects.Field
        What it is to us.
    length : int
        Characters it takes, of a text.
    is_share : bool
        It is shown as percent.
    """

    name: str
    field: Field
    length: int = LENGTH
    is_share: bool = False

    def plain(self, value: Value) -> Value:
        """Give a value of ours as Salesforce gives it back."""
        if value is None:
            return None
        match self.field.type:
            case "number":
                return round(float(value), self.field.digits) + 0.0
            case "whole":
                return round(float(value))
            case "flag":
                return bool(value) or None
            case kind:
                return _cut(_clean(str(value), lines=kind == "lines"), self.length) or None

    def sent(self, value: Value) -> Value:
        """Give a plain value as it goes over the wire."""
        if self.field.type == "flag":
            return bool(value)
        if self.is_share and value is not None:
            return round(float(value) * 100, max(self.field.digits - 2, 0))
        return value

    def received(self, value: Any) -> Value:  # noqa: ANN401 - any JSON
        """Give what came over the wire as a plain value."""
        if self.is_share and value is not None:
            return self.plain(float(value) / 100)
        return self.plain(value)


@dataclass(frozen=True)
class Names:
    """Which of our fields goes where: kind → our name → column."""

    columns: Mapping[Kind, Mapping[str, Column]]

    @classmethod
    def of(cls, mapped: Mapping[Kind, Mapping[str, str]], *, make_accounts: bool) -> Names:
        """Lay what the settings map over what goes without saying; an empty name leaves it out.

        Raises
        ------
        data.errors.SettingsError
            If a field is mapped that we do not have.
        """
        columns: dict[Kind, dict[str, Column]] = {}
        for kind, known in FIELDS.items():
            told = mapped.get(kind, {})
            if strange := sorted(set(told) - set(known)):
                raise SettingsError(
                    f"crm.salesforce.fields.{kind}: we have no {', '.join(strange)}; known are"
                    f" {', '.join(known)}."
                )
            usual = {name: _usual(kind, name, make_accounts) for name in known}
            whole = {**usual, **told}
            columns[kind] = {
                name: _column(kind, name, theirs) for name, theirs in whole.items() if theirs
            }
        return cls(columns)

    def shape(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as Salesforce gives them back."""
        columns = self.columns[kind]
        return {
            name: columns[name].plain(value) for name, value in fields.items() if name in columns
        }

    def received(self, kind: Kind, record: Mapping[str, Any]) -> dict[str, Value]:
        """Read our fields out of a record of Salesforce's."""
        return {
            ours: column.received(record.get(column.name))
            for ours, column in self.columns[kind].items()
        }

    def values(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Say fields as a record of Salesforce's takes them."""
        columns = self.columns[kind]
        shaped = self.shape(kind, fields)
        return {columns[name].name: columns[name].sent(value) for name, value in shaped.items()}

    def selected(self, kind: Kind) -> list[str]:
        """Give the names of all fields that are to be read."""
        ours = {column.name for column in self.columns[kind].values()}
        return ["Id", *sorted({KEYS[kind], *ours})]

    def custom(self, kind: Kind) -> list[Column]:
        """Give the columns that an admin has to make with our package; our key is beside them."""
        return [c for c in self.columns[kind].values() if c.name.startswith("Expansion_")]


def record_id(kind: Kind, text: str | None) -> str | None:
    """Give a record's id in its long form; None where it is none of a record of this kind.

    Examples
    --------
    >>> record_id("account", "001D000000IRFma"), record_id("task", "001D000000IRFma")
    ('001D000000IRFmaIAH', None)
    """
    if text is None or len(text) not in {15, 18} or not (text.isascii() and text.isalnum()):
        return None
    if not text.startswith(_PREFIXES[kind]):
        return None
    return text if len(text) == 18 else text + _check_digits(text)


def account_of(key: str) -> str:
    """Give our account of an opportunity's or a task's key.

    Examples
    --------
    >>> account_of("eu%3A42:seats:1:talk")
    'eu:42'
    """
    return key.partition(":")[0].replace("%3A", ":").replace("%25", "%")


def _check_digits(short: str) -> str:
    """Say in three letters which letters are capitals, five to a letter."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    parts = (short[start : start + 5] for start in (0, 5, 10))
    return "".join(
        alphabet[sum(1 << place for place, sign in enumerate(part) if sign.isupper())]
        for part in parts
    )


def _usual(kind: Kind, name: str, make_accounts: bool) -> str:
    if kind == "account" and name == "name":
        # The account's name is the CRM's own; only an account of our making gets one.
        return "Name" if make_accounts else ""
    own = _OWN[kind].get(name)
    if own is not None:
        return own
    parts = name.removeprefix("expansion_").split("_")
    return f"Expansion_{'_'.join(_WORDS.get(part, part.capitalize()) for part in parts)}__c"


def _column(kind: Kind, ours: str, name: str) -> Column:
    field = FIELDS[kind][ours]
    column = Column(name, field, is_share=ours in _SHARES)
    if field.type == "lines":
        return replace(column, length=_LONG)
    return replace(column, length=_LENGTHS.get(f"{SOBJECTS[kind]}.{name}", LENGTH))


def _clean(text: str, *, lines: bool) -> str:
    """Without what Salesforce drops or refuses: control signs, halves of a sign, outer blanks."""
    whole = text.replace("\r\n", "\n").replace("\r", "\n")
    if not lines:
        whole = whole.replace("\n", " ").replace("\t", " ")
    kept = (sign for sign in whole if sign in "\n\t" or not _is_control(sign))
    return "".join(kept).strip()


def _is_control(sign: str) -> bool:
    return unicodedata.category(sign) in {"Cc", "Cs"}


def _cut(text: str, length: int) -> str:
    """Cut a text to what fits."""
    if _units(text) <= length:
        return text
    while _units(text) > length - 1:
        text = text[: min(len(text) - 1, length - 1)]
    return f"{text.rstrip()}…"


def _units(text: str) -> int:
    """Signs as Salesforce counts them: a rare one is two, and so is a line end."""
    return len(text.encode("utf-16-le")) // 2 + text.count("\n")
