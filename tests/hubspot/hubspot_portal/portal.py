"""What a HubSpot portal holds, and the rules by which it changes: in memory, for one test."""

import html
import itertools
import re
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

LONGEST = 65_536
CLOSING = {"0.0", "1.0"}
# What HubSpot defines itself, as far as anyone here asks for it: name → (type, options).
_OWN: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "companies": {"name": ("string", ()), "domain": ("string", ()), "createdate": ("datetime", ())},
    "deals": {
        "dealname": ("string", ()),
        "amount": ("number", ()),
        "closedate": ("datetime", ()),
        "dealstage": ("stage", ()),
        "pipeline": ("pipeline", ()),
        "createdate": ("datetime", ()),
    },
    "tasks": {
        "hs_task_subject": ("string", ()),
        "hs_task_body": ("html", ()),
        "hs_task_status": (
            "enumeration",
            ("NOT_STARTED", "IN_PROGRESS", "COMPLETED", "WAITING", "DEFERRED"),
        ),
        "hs_timestamp": ("datetime", ()),
        "hs_task_completion_date": ("datetime", ()),
        "hs_createdate": ("datetime", ()),
    },
}
_EVERYWHERE: dict[str, tuple[str, tuple[str, ...]]] = {
    "hubspot_owner_id": ("owner", ()),
    "hs_object_id": ("number", ()),
    "hs_lastmodifieddate": ("datetime", ()),
    "hs_merged_object_ids": ("string", ()),
}
LINK_TYPES = {
    ("deals", "companies"): 341,
    ("companies", "deals"): 342,
    ("tasks", "companies"): 192,
    ("companies", "tasks"): 191,
    ("tasks", "deals"): 216,
    ("deals", "tasks"): 215,
}


@dataclass
class Kept:
    """One record; ``stages`` is the history of a deal's stage, the newest last."""

    id: str
    properties: dict[str, str]
    created: str
    updated: str
    archived: bool = False
    stages: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Fault:
    """Why a value is not taken."""

    message: str
    code: str


class Portal:
    """Records, properties, pipelines, owners and associations.

    Parameters
    ----------
    lag_seconds : float
        By which the search is behind the writes.
    """

    def __init__(self, lag_seconds: float = 1.0) -> None:
        self.lock = threading.RLock()
        self.records: dict[str, dict[str, Kept]] = {of: {} for of in _OWN}
        self.properties = {of: _own(of) for of in _OWN}
        self.groups: dict[str, dict[str, str]] = {of: {} for of in _OWN}
        self.pipelines = [
            _pipeline(
                "default",
                "Sales Pipeline",
                [
                    ("appointmentscheduled", "Appointment", "0.2"),
                    ("closedwon", "Closed won", "1.0"),
                    ("closedlost", "Closed lost", "0.0"),
                ],
            )
        ]
        self.owners: list[dict[str, Any]] = []
        self.links: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(
            lambda: defaultdict(set)
        )
        self.made: list[tuple[str, str]] = []  # (kind, id) of every record made over the API
        self.lag_seconds = lag_seconds
        self._unique: dict[tuple[str, str], dict[str, str]] = {}
        self._indexed: list[tuple[float, str, str, dict[str, str]]] = []
        self._index: dict[str, dict[str, dict[str, str]]] = {of: {} for of in _OWN}
        self._ids = itertools.count(1_000)

    # What people do in the browser.

    def make(self, of: str, properties: dict[str, str], **links: str) -> str:
        """A human makes a record, tied to others: ``companies="1000"``."""
        with self.lock:
            kept = self._new(of, properties, "CRM_UI")
            for to, other in links.items():
                self.tie(of, to, kept.id, other)
            return kept.id

    def edit(self, of: str, name: str, **properties: str) -> None:
        """A human sets properties."""
        with self.lock:
            self._set(of, self.records[of][name], properties, "CRM_UI")

    def archive(self, of: str, name: str) -> None:
        """A human deletes a record."""
        with self.lock:
            self.records[of][name].archived = True
            for (kind, _), values in self._unique.items():
                if kind == of:
                    for value in [value for value, owner in values.items() if owner == name]:
                        del values[value]

    def merge(self, of: str, into: str, gone: str) -> None:
        """A human merges two records; the older name leads to the other from then on."""
        with self.lock:
            self.archive(of, gone)
            kept = self.records[of][into]
            before = kept.properties.get("hs_merged_object_ids", "")
            kept.properties["hs_merged_object_ids"] = ";".join(filter(None, [before, gone]))

    def untie(self, of: str, to: str, one: str, other: str) -> None:
        with self.lock:
            self.links[of, to][one].discard(other)
            self.links[to, of][other].discard(one)

    # What the API does.

    def find(self, of: str, name: str, by: str | None) -> Kept | None:
        """A record by its own name, also that of one merged into it, or by a unique value."""
        if by is not None:
            name = self._unique.get((of, by), {}).get(name, "")
        kept = self.records[of].get(name)
        if kept is not None and kept.archived:
            heirs = self.records[of].values()
            return next(
                (each for each in heirs if not each.archived and name in _merged(each)), None
            )
        return kept

    def is_unique(self, of: str, name: str) -> bool:
        return bool(self.properties[of].get(name, {}).get("hasUniqueValue"))

    def faults(self, of: str, properties: dict[str, str]) -> list[Fault]:
        """Why these values would not be taken."""
        told = []
        for name, text in properties.items():
            known = self.properties[of].get(name)
            if known is None:
                told.append(Fault(f'Property "{name}" does not exist', "PROPERTY_DOESNT_EXIST"))
            elif text and (wrong := self._wrong(known, text)):
                told.append(
                    Fault(f"{name}: {text[:40]!r} {wrong}", "INVALID_" + known["type"].upper())
                )
        return told

    def conflicts(self, of: str, properties: dict[str, str], name: str | None) -> str | None:
        """The unique property of which another record has this value."""
        for each, text in properties.items():
            if self.is_unique(of, each):
                owner = self._unique.setdefault((of, each), {}).get(text)
                if owner is not None and owner != name:
                    return each
        return None

    def put(self, of: str, kept: Kept | None, properties: dict[str, str]) -> tuple[Kept, bool]:
        """Set properties of a record, or make it."""
        if kept is not None:
            self._set(of, kept, properties, "INTEGRATION")
            return kept, False
        made = self._new(of, properties, "INTEGRATION")
        self.made.append((of, made.id))
        return made, True

    def tie(self, of: str, to: str, one: str, other: str) -> None:
        self.links[of, to][one].add(other)
        self.links[to, of][other].add(one)

    def searched(self, of: str, now: float | None = None) -> Iterable[tuple[str, dict[str, str]]]:
        """Records as the index has them, which is behind."""
        now = time.monotonic() if now is None else now
        with self.lock:
            while self._indexed and self._indexed[0][0] + self.lag_seconds <= now:
                _, kind, name, properties = self._indexed.pop(0)
                self._index[kind][name] = properties
            return sorted(self._index[of].items(), key=lambda item: int(item[0]))

    def _new(self, of: str, properties: dict[str, str], source: str) -> Kept:
        name, now = str(next(self._ids)), moment()
        kept = Kept(name, {}, now, now)
        created = "hs_createdate" if of == "tasks" else "createdate"
        self.records[of][name] = kept
        defaults = {"hs_object_id": name, created: now}
        if of == "tasks":
            defaults["hs_task_status"] = "NOT_STARTED"
        if of == "deals" and "pipeline" not in properties:
            defaults["pipeline"] = "default"
        self._set(of, kept, defaults | properties, source)
        return kept

    def _set(self, of: str, kept: Kept, properties: dict[str, str], source: str) -> None:
        now = moment()
        for name, text in properties.items():
            held = self.properties[of][name]
            value = _stored(held["type"], text)
            before = kept.properties.get(name, "")
            if held.get("hasUniqueValue"):
                values = self._unique.setdefault((of, name), {})
                values.pop(before, None)
                if value:
                    values[value] = kept.id
            if value:
                kept.properties[name] = value
            else:
                kept.properties.pop(name, None)
            if name == "dealstage" and value != before:
                kept.stages.append((value, now, source))
            if name == "hs_task_status" and value == "COMPLETED" and value != before:
                kept.properties["hs_task_completion_date"] = now
        kept.updated = kept.properties["hs_lastmodifieddate"] = now
        self._indexed.append((time.monotonic(), of, kept.id, dict(kept.properties)))

    def _wrong(self, held: dict[str, Any], text: str) -> str | None:
        """Why a text is no value of a property, if it is none."""
        kind = held["type"]
        check = _CHECKS.get(kind)
        if check is not None:
            return None if check(text) else f"is not a valid {kind}"
        allowed = self._allowed(held)
        return None if text in allowed else f"was not one of the allowed options: {allowed}"

    def _allowed(self, held: dict[str, Any]) -> list[str]:
        match held["type"]:
            case "stage":
                return [stage["id"] for each in self.pipelines for stage in each["stages"]]
            case "pipeline":
                return [each["id"] for each in self.pipelines]
            case "owner":
                return [each["id"] for each in self.owners]
            case _:
                return [option["value"] for option in held["options"]]


def moment() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:23] + "Z"


def stage_id(label: str, place: int) -> str:
    return f"{900_000 + place}{zlib.crc32(label.encode()) % 1_000}"


def _pipeline(name: str, label: str, stages: list[tuple[str, str, str]]) -> dict[str, Any]:
    now = moment()
    return {
        "id": name,
        "label": label,
        "displayOrder": 0,
        "archived": False,
        "createdAt": now,
        "updatedAt": now,
        "stages": [
            {
                "id": each,
                "label": told,
                "displayOrder": place,
                "archived": False,
                "createdAt": now,
                "updatedAt": now,
                "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
                "metadata": {
                    "probability": chance,
                    "isClosed": "true" if chance in CLOSING else "false",
                },
            }
            for place, (each, told, chance) in enumerate(stages)
        ],
    }


pipeline = _pipeline


def _own(of: str) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "name": name,
            "label": name,
            "type": kind,
            "fieldType": "text",
            "description": "",
            "groupName": f"{of}information",
            "options": [{"value": each, "label": each, "hidden": False} for each in options],
            "hasUniqueValue": False,
            "hubspotDefined": True,
        }
        for name, (kind, options) in {**_OWN[of], **_EVERYWHERE}.items()
    }


def _merged(kept: Kept) -> list[str]:
    return kept.properties.get("hs_merged_object_ids", "").split(";")


def _stored(kind: str, text: str) -> str:
    """As HubSpot keeps it: moments in ISO, markup as its editor writes it."""
    if not text:
        return ""
    if kind == "datetime":
        return _moment(text)
    if kind == "date" and text.lstrip("-").isdigit():
        return f"{datetime.fromtimestamp(int(text) / 1000, UTC):%Y-%m-%d}"
    if kind == "html":
        told = text.replace("<br>", "<br/>")
        return re.sub(r"&#x27;|&quot;", lambda found: html.unescape(found[0]), told)
    return text


def _is_date(text: str) -> bool:
    if text.lstrip("-").isdigit():
        return int(text) % 86_400_000 == 0
    try:
        return str(date.fromisoformat(text)) == text
    except ValueError:
        return False


def _moment(text: str) -> str:
    try:
        if text.lstrip("-").isdigit():
            told = datetime.fromtimestamp(int(text) / 1000, UTC)
        else:
            told = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return ""
    return f"{told.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


_CHECKS: dict[str, Callable[[str], object]] = {
    "number": lambda text: re.fullmatch(r"-?\d+(\.\d+)?", text),
    "date": _is_date,
    "datetime": _moment,
    "bool": lambda text: text in {"true", "false"},
    "string": lambda text: len(text) <= LONGEST,
    "html": lambda text: len(text) <= LONGEST,
}
