"""In-memory state of a HubSpot portal, and its rules, for one test."""

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

MAX_TEXT_LENGTH = 65_536
CLOSED_PROBABILITIES = {"0.0", "1.0"}
# Standard properties that the tests use: name → (type, options).
_STANDARD_PROPERTIES: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
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
_COMMON_PROPERTIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "hubspot_owner_id": ("owner", ()),
    "hs_object_id": ("number", ()),
    "hs_lastmodifieddate": ("datetime", ()),
    "hs_merged_object_ids": ("string", ()),
}
ASSOCIATION_TYPES = {
    ("deals", "companies"): 341,
    ("companies", "deals"): 342,
    ("tasks", "companies"): 192,
    ("companies", "tasks"): 191,
    ("tasks", "deals"): 216,
    ("deals", "tasks"): 215,
}


@dataclass
class StoredRecord:
    """One record; ``stages`` is the stage history of a deal, newest last."""

    id: str
    properties: dict[str, str]
    created: str
    updated: str
    archived: bool = False
    stages: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class PropertyError:
    """A rejected property value."""

    message: str
    code: str


class Portal:
    """Records, properties, pipelines, owners and associations.

    Parameters
    ----------
    lag_seconds : float
        Delay of the search index after a write.
    """

    def __init__(self, lag_seconds: float = 1.0) -> None:
        self.lock = threading.RLock()
        self.records: dict[str, dict[str, StoredRecord]] = {of: {} for of in _STANDARD_PROPERTIES}
        self.properties = {of: _build_standard_properties(of) for of in _STANDARD_PROPERTIES}
        self.groups: dict[str, dict[str, str]] = {of: {} for of in _STANDARD_PROPERTIES}
        stages = [
            ("appointmentscheduled", "Appointment", "0.2"),
            ("closedwon", "Closed won", "1.0"),
            ("closedlost", "Closed lost", "0.0"),
        ]
        self.pipelines = [build_pipeline("default", "Sales Pipeline", stages)]
        self.owners: list[dict[str, Any]] = []
        self.associations: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(
            lambda: defaultdict(set)
        )
        # (object type, id) of records created over the API
        self.created: list[tuple[str, str]] = []
        self.lag_seconds = lag_seconds
        self._unique: dict[tuple[str, str], dict[str, str]] = {}
        self._indexed: list[tuple[float, str, str, dict[str, str]]] = []
        self._index: dict[str, dict[str, dict[str, str]]] = {of: {} for of in _STANDARD_PROPERTIES}
        self._ids = itertools.count(1_000)

    # Actions of humans in the browser.

    def create(self, object_type: str, properties: dict[str, str], **associated: str) -> str:
        """Create a record as a human, associated with others: ``companies="1000"``."""
        with self.lock:
            record = self._create_record(object_type, properties, "CRM_UI")
            for to_type, to_id in associated.items():
                self.associate(object_type, to_type, record.id, to_id)
            return record.id

    def edit(self, object_type: str, record_id: str, **properties: str) -> None:
        """Set properties as a human."""
        with self.lock:
            self._update_record(
                object_type, self.records[object_type][record_id], properties, "CRM_UI"
            )

    def archive(self, object_type: str, record_id: str) -> None:
        """Delete a record as a human."""
        with self.lock:
            self.records[object_type][record_id].archived = True
            for (kind, _), values in self._unique.items():
                if kind == object_type:
                    for value in [value for value, owner in values.items() if owner == record_id]:
                        del values[value]

    def merge(self, object_type: str, survivor_id: str, merged_id: str) -> None:
        """Merge two records as a human; the merged id resolves to the survivor."""
        with self.lock:
            self.archive(object_type, merged_id)
            record = self.records[object_type][survivor_id]
            before = record.properties.get("hs_merged_object_ids", "")
            record.properties["hs_merged_object_ids"] = ";".join(filter(None, [before, merged_id]))

    def dissociate(self, object_type: str, to_type: str, from_id: str, to_id: str) -> None:
        with self.lock:
            self.associations[object_type, to_type][from_id].discard(to_id)
            self.associations[to_type, object_type][to_id].discard(from_id)

    # Operations of the API.

    def find(
        self, object_type: str, record_id: str, id_property: str | None
    ) -> StoredRecord | None:
        """Return a record by its id, an id merged into it, or a unique property value."""
        if id_property is not None:
            record_id = self._unique.get((object_type, id_property), {}).get(record_id, "")
        record = self.records[object_type].get(record_id)
        if record is not None and record.archived:
            alive = (each for each in self.records[object_type].values() if not each.archived)
            return next((each for each in alive if record_id in _merged_ids(each)), None)
        return record

    def is_unique(self, object_type: str, property_name: str) -> bool:
        return bool(self.properties[object_type].get(property_name, {}).get("hasUniqueValue"))

    def validate(self, object_type: str, properties: dict[str, str]) -> list[PropertyError]:
        """Return the errors of property values."""
        result = []
        for property_name, text in properties.items():
            definition = self.properties[object_type].get(property_name)
            if definition is None:
                message = f'Property "{property_name}" does not exist'
                result.append(PropertyError(message, "PROPERTY_DOESNT_EXIST"))
            elif text and (wrong := self._find_problem(definition, text)):
                message = f"{property_name}: {text[:40]!r} {wrong}"
                result.append(PropertyError(message, "INVALID_" + definition["type"].upper()))
        return result

    def find_conflict(
        self, object_type: str, properties: dict[str, str], record_id: str | None
    ) -> str | None:
        """Return the unique property whose value another record has."""
        for property_name, text in properties.items():
            if self.is_unique(object_type, property_name):
                owner = self._unique.setdefault((object_type, property_name), {}).get(text)
                if owner is not None and owner != record_id:
                    return property_name
        return None

    def upsert(
        self, object_type: str, record: StoredRecord | None, properties: dict[str, str]
    ) -> tuple[StoredRecord, bool]:
        """Set properties of a record, or create it."""
        if record is not None:
            self._update_record(object_type, record, properties, "INTEGRATION")
            return record, False
        created_record = self._create_record(object_type, properties, "INTEGRATION")
        self.created.append((object_type, created_record.id))
        return created_record, True

    def associate(self, object_type: str, to_type: str, from_id: str, to_id: str) -> None:
        self.associations[object_type, to_type][from_id].add(to_id)
        self.associations[to_type, object_type][to_id].add(from_id)

    def search_index(
        self, object_type: str, now: float | None = None
    ) -> Iterable[tuple[str, dict[str, str]]]:
        """Return the records of the search index, which lags behind writes."""
        now = time.monotonic() if now is None else now
        with self.lock:
            while self._indexed and self._indexed[0][0] + self.lag_seconds <= now:
                _, kind, record_id, properties = self._indexed.pop(0)
                self._index[kind][record_id] = properties
            return sorted(self._index[object_type].items(), key=lambda item: int(item[0]))

    def _create_record(
        self, object_type: str, properties: dict[str, str], source: str
    ) -> StoredRecord:
        record_id, now = str(next(self._ids)), current_timestamp()
        record = StoredRecord(record_id, {}, now, now)
        created = "hs_createdate" if object_type == "tasks" else "createdate"
        self.records[object_type][record_id] = record
        defaults = {"hs_object_id": record_id, created: now}
        if object_type == "tasks":
            defaults["hs_task_status"] = "NOT_STARTED"
        if object_type == "deals" and "pipeline" not in properties:
            defaults["pipeline"] = "default"
        self._update_record(object_type, record, defaults | properties, source)
        return record

    def _update_record(
        self, object_type: str, record: StoredRecord, properties: dict[str, str], source: str
    ) -> None:
        now = current_timestamp()
        for property_name, text in properties.items():
            definition = self.properties[object_type][property_name]
            value = _to_stored(definition["type"], text)
            before = record.properties.get(property_name, "")
            if definition.get("hasUniqueValue"):
                values = self._unique.setdefault((object_type, property_name), {})
                values.pop(before, None)
                if value:
                    values[value] = record.id
            if value:
                record.properties[property_name] = value
            else:
                record.properties.pop(property_name, None)
            if property_name == "dealstage" and value != before:
                record.stages.append((value, now, source))
            if property_name == "hs_task_status" and value == "COMPLETED" and value != before:
                record.properties["hs_task_completion_date"] = now
        record.updated = record.properties["hs_lastmodifieddate"] = now
        self._indexed.append((time.monotonic(), object_type, record.id, dict(record.properties)))

    def _find_problem(self, definition: dict[str, Any], text: str) -> str | None:
        """Return the reason a text is not a valid value, or None."""
        kind = definition["type"]
        check = _CHECKS.get(kind)
        if check is not None:
            return None if check(text) else f"is not a valid {kind}"
        allowed = self._list_allowed(definition)
        return None if text in allowed else f"was not one of the allowed options: {allowed}"

    def _list_allowed(self, definition: dict[str, Any]) -> list[str]:
        match definition["type"]:
            case "stage":
                return [stage["id"] for each in self.pipelines for stage in each["stages"]]
            case "pipeline":
                return [each["id"] for each in self.pipelines]
            case "owner":
                return [each["id"] for each in self.owners]
            case _:
                return [option["value"] for option in definition["options"]]


def current_timestamp() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:23] + "Z"


def build_stage_id(label: str, index: int) -> str:
    return f"{900_000 + index}{zlib.crc32(label.encode()) % 1_000}"


def build_pipeline(
    pipeline_id: str, label: str, stages: list[tuple[str, str, str]]
) -> dict[str, Any]:
    now = current_timestamp()
    common = {"archived": False, "createdAt": now, "updatedAt": now}
    stage_payloads = [
        {
            "id": each,
            "label": stage_label,
            "displayOrder": index,
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
            "metadata": {
                "probability": chance,
                "isClosed": "true" if chance in CLOSED_PROBABILITIES else "false",
            },
            **common,
        }
        for index, (each, stage_label, chance) in enumerate(stages)
    ]
    pipeline = {"id": pipeline_id, "label": label, "displayOrder": 0, **common}
    return {**pipeline, "stages": stage_payloads}


def _build_standard_properties(object_type: str) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "name": name,
            "label": name,
            "type": kind,
            "fieldType": "text",
            "description": "",
            "groupName": f"{object_type}information",
            "options": [{"value": each, "label": each, "hidden": False} for each in options],
            "hasUniqueValue": False,
            "hubspotDefined": True,
        }
        for name, (kind, options) in {
            **_STANDARD_PROPERTIES[object_type],
            **_COMMON_PROPERTIES,
        }.items()
    }


def _merged_ids(record: StoredRecord) -> list[str]:
    return record.properties.get("hs_merged_object_ids", "").split(";")


def _to_stored(kind: str, text: str) -> str:
    """Convert a value as HubSpot stores it: ISO timestamps, normalized HTML."""
    if not text:
        return ""
    if kind == "datetime":
        return _parse_timestamp(text)
    if kind == "date" and text.lstrip("-").isdigit():
        return f"{datetime.fromtimestamp(int(text) / 1000, UTC):%Y-%m-%d}"
    if kind == "html":
        result = text.replace("<br>", "<br/>")
        return re.sub(r"&#x27;|&quot;", lambda match: html.unescape(match[0]), result)
    return text


def _is_date(text: str) -> bool:
    if text.lstrip("-").isdigit():
        return int(text) % 86_400_000 == 0
    try:
        return str(date.fromisoformat(text)) == text
    except ValueError:
        return False


def _parse_timestamp(text: str) -> str:
    try:
        if text.lstrip("-").isdigit():
            result = datetime.fromtimestamp(int(text) / 1000, UTC)
        else:
            result = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return ""
    return f"{result.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


_CHECKS: dict[str, Callable[[str], object]] = {
    "number": lambda text: re.fullmatch(r"-?\d+(\.\d+)?", text),
    "date": _is_date,
    "datetime": _parse_timestamp,
    "bool": lambda text: text in {"true", "false"},
    "string": lambda text: len(text) <= MAX_TEXT_LENGTH,
    "html": lambda text: len(text) <= MAX_TEXT_LENGTH,
}
