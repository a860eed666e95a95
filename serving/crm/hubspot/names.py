"""Our fields as HubSpot's properties: how each is called, written, and read back.

What HubSpot has itself is used: a deal's name, amount, close date and stage, a task's subject,
text, due date and status. All else gets a property of ours, which :mod:`.setup` makes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from serving.crm.target import Fields, Kind, Value
from serving.outbox.objects import FIELDS, STATES

__all__ = [
    "ENDED",
    "GROUP",
    "KEY",
    "OBJECTS",
    "PREFIX",
    "PROPERTIES",
    "STATE",
    "Property",
    "decoded",
    "encoded",
    "shaped",
]

OBJECTS: Final[Mapping[Kind, str]] = {
    "account": "companies",
    "opportunity": "deals",
    "task": "tasks",
}
PREFIX: Final = "expansion_"
GROUP: Final = "expansion"
KEY: Final = f"{PREFIX}key"  # our own name of a deal or task: unique
STATE: Final = f"{PREFIX}state"
ENDED: Final = "COMPLETED"  # a task that has ended, by a human's hand or with its episode
_LIMITS: Final = ("seats", "usage", "plan", "none")
_LONGEST: Final = 65_536  # letters in a text property
_BREAKS: Final = re.compile(r"<br\s*/?>|</(?:p|div|li|h\d)>", re.IGNORECASE)
_TAGS: Final = re.compile(r"<[^>]*>")
# What HubSpot has itself, by kind and our name; days are kept as noon, UTC, so that they are the
# same day from Honolulu to Auckland.
_THEIRS: Final[Mapping[Kind, Mapping[str, tuple[str, str]]]] = {
    "account": {"name": ("name", "text")},
    "opportunity": {
        "name": ("dealname", "text"),
        "amount": ("amount", "number"),
        "expected_close_date": ("closedate", "noon"),
    },
    "task": {
        "subject": ("hs_task_subject", "text"),
        "due_date": ("hs_timestamp", "noon"),
        "notes": ("hs_task_body", "html"),
    },
}


@dataclass(frozen=True)
class Property:
    """One of HubSpot's properties.

    Attributes
    ----------
    name : str
        HubSpot's internal name.
    type : {"text", "lines", "html", "number", "whole", "day", "noon", "flag", "choice"}
        How its values are written.
    means : str
        What a reader is told.
    digits : int
        After the point, of a number.
    choices : tuple of str
        Of a choice.
    """

    name: str
    type: str
    means: str = ""
    digits: int = 0
    choices: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether setup makes it."""
        return self.name.startswith(PREFIX)


def _property(kind: Kind, name: str) -> Property:
    field = FIELDS[kind][name]
    if name in _THEIRS[kind]:
        theirs, kept = _THEIRS[kind][name]
        return Property(theirs, kept, field.means, field.digits)
    if name in {"limit", "state"}:
        choices = _LIMITS if name == "limit" else STATES
        return Property(PREFIX + name, "choice", field.means, choices=choices)
    return Property(PREFIX + name.removeprefix(PREFIX), field.type, field.means, field.digits)


# Our name of a field → its property; a deal's or a task's state has its stage or status beside it.
PROPERTIES: Final[Mapping[Kind, Mapping[str, Property]]] = {
    kind: {name: _property(kind, name) for name in FIELDS[kind]} for kind in OBJECTS
}


def shaped(kind: Kind, fields: Fields) -> dict[str, Value]:
    """Give values as they would be read back."""
    known = PROPERTIES[kind]
    return {name: _shaped(known[name], value) for name, value in fields.items() if name in known}


def encoded(kind: Kind, fields: Fields) -> dict[str, str]:
    """Give shaped values as HubSpot takes them: property → text; an empty text clears it."""
    known = PROPERTIES[kind]
    return {
        known[name].name: "" if value is None else _encoded(known[name], value)
        for name, value in fields.items()
    }


def decoded(kind: Kind, properties: Mapping[str, Any]) -> dict[str, Value]:
    """Give our fields of what HubSpot tells of a record."""
    return {
        name: _decoded(held, str(text)) if (text := properties.get(held.name)) else None
        for name, held in PROPERTIES[kind].items()
    }


def _shaped(held: Property, value: Value) -> Value:
    if value is None:
        return None
    if held.type == "number":
        return round(float(value), held.digits) + 0.0  # there is no negative zero to read back
    if held.type == "whole":
        return int(value)
    if held.type == "flag":
        return bool(value)
    text = str(value).replace("\x00", "")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    between = "\n" if held.type in {"lines", "html"} else " "
    return _cut(between.join(line for line in lines if line), held) or None


def _cut(text: str, held: Property) -> str:
    """As much of the text as fits, written as HubSpot takes it."""
    while len(_encoded(held, text)) > _LONGEST:
        text = text[: len(text) - max(1, (len(_encoded(held, text)) - _LONGEST) // 8)].rstrip()
    return text


def _encoded(held: Property, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    text = str(value)
    if held.type == "noon":
        return f"{text}T12:00:00Z"
    if held.type == "html":
        return "<br>".join(html.escape(line) for line in text.split("\n"))
    return text


def _decoded(held: Property, text: str) -> Value:
    match held.type:
        case "number":
            return round(float(text), held.digits) + 0.0
        case "whole":
            return round(float(text))
        case "flag":
            return text.lower() == "true"
        case "day" | "noon":
            return _day(text)
        case "html":
            return _shaped(held, html.unescape(_TAGS.sub("", _BREAKS.sub("\n", text))))
        case _:
            return _shaped(held, text)


def _day(text: str) -> str:
    """The day, UTC, of an ISO moment or of one in milliseconds: HubSpot gives both."""
    if text.lstrip("-").isdigit():
        return f"{datetime.fromtimestamp(int(text) / 1000, UTC):%Y-%m-%d}"
    return text[:10]
