"""In-memory Salesforce org: objects, fields, permissions, rules, and its human users.

It has the standard fields that we use. Custom fields exist only after our package was deployed, and
are visible only if its permission set grants access to them.
"""

import itertools
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.fakes.salesforce.soql import MalformedQuery, Parser, Query

XML = "{http://soap.sforce.com/2006/04/metadata}"
PREFIXES = {
    "Account": "001",
    "Opportunity": "006",
    "Task": "00T",
    "User": "005",
    "RecordType": "012",
}
STAGES = ("Prospecting", "Negotiation/Review", "Closed Won", "Closed Lost")
STATUSES = ("Not Started", "In Progress", "Completed")
WRITABLE_SOBJECTS = ("Account", "Opportunity", "Task")


@dataclass
class Field:
    """A field of an sObject."""

    name: str
    type: str = "string"
    length: int = 255
    precision: int = 18
    scale: int = 0
    unique: bool = False
    is_external_id: bool = False
    is_case_sensitive: bool = False
    required: bool = False
    writable: bool = True
    choices: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        values = [{"value": choice, "label": choice, "active": True} for choice in self.choices]
        return {
            "name": self.name,
            "type": self.type,
            "length": self.length if self.type in {"string", "textarea", "picklist"} else 0,
            "precision": self.precision,
            "scale": self.scale,
            "unique": self.unique,
            "externalId": self.is_external_id,
            "caseSensitive": self.is_case_sensitive,
            "nillable": not self.required,
            "createable": self.writable,
            "updateable": self.writable,
            "picklistValues": values,
        }


class ApiError(Exception):
    """A call that is rejected as a whole."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code

    def body(self) -> list[dict[str, Any]]:
        return [{"message": str(self), "errorCode": self.code}]


class RowError(Exception):
    """A row that is rejected."""

    def __init__(self, code: str, message: str, *fields: str) -> None:
        super().__init__(message)
        self.error = {"statusCode": code, "message": message, "fields": list(fields)}


def build_standard_fields() -> dict[str, dict[str, Field]]:
    common = [Field("Id", "id", writable=False), Field("CreatedDate", "datetime", writable=False)]
    owner = Field("OwnerId", "reference")
    fields_by_sobject = {
        "Account": [
            *common,
            owner,
            Field("Name", required=True),
            Field("AccountNumber", length=40),
            Field("Product_Id__c", is_external_id=True),
        ],
        "Opportunity": [
            *common,
            owner,
            Field("Name", length=120, required=True),
            Field("StageName", "picklist", required=True, choices=STAGES),
            Field("CloseDate", "date", required=True),
            Field("Amount", "currency", scale=2),
            Field("Type", "picklist", choices=("Existing Business", "Expansion")),
            Field("AccountId", "reference"),
            Field("RecordTypeId", "reference"),
            *(Field(name, "boolean", writable=False) for name in ("IsClosed", "IsWon")),
            Field("LastStageChangeDate", "datetime", writable=False),
        ],
        "Task": [
            *common,
            owner,
            Field("Subject", "combobox"),
            Field("ActivityDate", "date"),
            Field("Description", "textarea", length=32_000),
            Field("WhatId", "reference"),
            Field("Status", "picklist", choices=STATUSES),
            Field("Priority", "picklist", choices=("High", "Normal", "Low")),
            Field("IsClosed", "boolean", writable=False),
            Field("CompletedDateTime", "datetime", writable=False),
        ],
        "User": [Field("Id", "id"), Field("Email", "email"), Field("IsActive", "boolean")],
        "RecordType": [
            Field("Id", "id"),
            Field("SobjectType"),
            Field("DeveloperName"),
            Field("IsActive", "boolean"),
        ],
    }
    return {
        sobject: {each.name: each for each in fields}
        for sobject, fields in fields_by_sobject.items()
    }


TYPES = {
    "Text": "string",
    "LongTextArea": "textarea",
    "Date": "date",
    "Checkbox": "boolean",
    "Number": "double",
    "Percent": "percent",
}


@dataclass
class Org:
    """Records and the operations on them."""

    now: str = "2026-06-01T06:00:00.000+0000"
    records: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {sobject: {} for sobject in PREFIXES}
    )
    fields: dict[str, dict[str, Field]] = field(default_factory=build_standard_fields)
    hidden_fields: dict[str, dict[str, Field]] = field(
        default_factory=lambda: {sobject: {} for sobject in PREFIXES}
    )
    creatable: set[str] = field(default_factory=lambda: {"Task"})
    # Id → remaining calls for which it is locked.
    locked: Counter[str] = field(default_factory=Counter)
    # Keys that another client creates at the same time.
    concurrent_keys: set[str] = field(default_factory=set)
    validation: set[str] = field(default_factory=set)  # texts that a validation rule rejects
    created_counts: Counter[str] = field(default_factory=Counter)
    overwritten: list[str] = field(default_factory=list)  # human edits that we overwrote
    # (id, field) → value set by a human.
    human_values: dict[tuple[str, str], Any] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    ids: Any = field(default_factory=lambda: itertools.count(1))
    # (sObject, external id field, value) → record ids
    external_id_index: defaultdict[tuple[str, str, Any], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )

    def __post_init__(self) -> None:
        self.our_user_id = self.add("User", Email="integration@acme.example", IsActive=True)

    # -- actions of administrators and other humans --------------------------------------------

    def deploy(self, folder: Path) -> None:
        """Deploy a metadata package, and assign its permission set to our user."""
        package = folder / "package"
        listed = {each.text for each in _parse_xml(package / "package.xml").iter(f"{XML}members")}
        for file in (package / "objects").iterdir():
            sobject = {"Activity": "Task"}.get(file.stem, file.stem)
            for element in _parse_xml(file):
                new_field = parse_field({each.tag.removeprefix(XML): each.text for each in element})
                name = f"{file.stem}.{new_field.name}"
                assert name in listed, "a file that package.xml does not list"
                assert (file.stem, new_field.type) != ("Activity", "textarea"), name
                if new_field.name not in self.fields[sobject]:
                    self.hidden_fields[sobject][new_field.name] = new_field
        for file in (package / "permissionsets").iterdir():
            assert file.stem in listed
            self._grant_permissions(_parse_xml(file))

    def _grant_permissions(self, permissions: ET.Element) -> None:
        for permission in permissions.iter(f"{XML}fieldPermissions"):
            sobject, name = permission.findtext(f"{XML}field", "").split(".")
            if name in self.hidden_fields[sobject]:
                self.fields[sobject][name] = self.hidden_fields[sobject].pop(name)
            else:
                assert name in self.fields[sobject], f"{sobject}.{name}: no such field"
        for permission in permissions.iter(f"{XML}objectPermissions"):
            if permission.findtext(f"{XML}allowCreate") == "true":
                self.creatable.add(permission.findtext(f"{XML}object", ""))

    def add(self, sobject: str, **values: Any) -> str:
        """Create a record as a human."""
        with self.lock:
            record = self._new_record(sobject)
            self.records[sobject][record["Id"]] = record
            self._store_values(sobject, record, values)
            return str(record["Id"])

    def edit(self, sobject: str, record_id: str, **values: Any) -> None:
        """Edit a record as a human."""
        with self.lock:
            self._apply_values(sobject, self.records[sobject][record_id], values)
            self.human_values |= {(record_id, name): value for name, value in values.items()}

    def delete(self, sobject: str, record_id: str) -> None:
        """Delete a record as a human."""
        with self.lock:
            blank = dict.fromkeys(self._external_id_fields(sobject))
            self._store_values(sobject, self.records[sobject][record_id], blank)
            del self.records[sobject][record_id]

    def find_by_key(self, sobject: str, key: str) -> list[dict[str, Any]]:
        """Return our records with a key."""
        return [r for r in self.records[sobject].values() if r.get("Expansion_Key__c") == key]

    # -- operations of the API -----------------------------------------------------------------

    def query(self, soql: str) -> list[dict[str, Any]]:
        with self.lock:
            try:
                query = Parser(soql, self._is_exact).parse_query()
                return self._select_rows(query)
            except MalformedQuery as error:
                text = f"\n{soql[:40]}\n      ^\nERROR at Row:1:Column:8\n{error}"
                raise ApiError(400, error.code, text) from error

    def _select_rows(self, query: Query) -> list[dict[str, Any]]:
        if query.sobject not in self.records:
            message = f"sObject type '{query.sobject}' is not supported."
            raise MalformedQuery(message, "INVALID_TYPE")
        for name in [*query.fields, *query.filtered_fields, *query.order]:
            self._require_field(query.sobject, name)
        for name in query.filtered_fields:
            if "." not in name and self.fields[query.sobject][name].type == "textarea":
                message = f"field '{name}' can not be filtered in a query call"
                raise MalformedQuery(message, "INVALID_FIELD")
        rows = [self._with_relations(r) for r in self.records[query.sobject].values()]
        rows = [row for row in rows if query.predicate(row)]
        rows.sort(key=lambda row: tuple(str(row[name]) for name in query.order))
        if query.group:
            assert query.fields == [query.group]
            rows = list({row[query.group]: row for row in rows}.values())
        attributes = {"attributes": {"type": query.sobject}}
        return [attributes | {name: row.get(name) for name in query.fields} for row in rows]

    def _with_relations(self, record: Mapping[str, Any]) -> dict[str, Any]:
        kind = self.records["RecordType"].get(record.get("RecordTypeId") or "", {})
        return {**record, "RecordType.DeveloperName": kind.get("DeveloperName")}

    def retrieve(self, sobject: str, ids: list[str], names: list[str]) -> list[Any]:
        with self.lock:
            if len(ids) > 2000:
                raise ApiError(400, "EXCEEDED_ID_LIMIT", "record limit reached")
            for name in names:
                self._require_field(sobject, name)
            attributes = {"attributes": {"type": sobject}}
            matches = (self.records[sobject].get(identity) for identity in ids)
            return [r and attributes | {name: r.get(name) for name in names} for r in matches]

    def update(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with self.lock:
            self._check_request(records)
            ids = [record.get("id") for record in records]
            return [
                self._to_result(
                    self._update,
                    record["attributes"]["type"],
                    record,
                    ids.index(ids[index]) < index,
                )
                for index, record in enumerate(records)
            ]

    def upsert(self, sobject: str, key: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with self.lock:
            external = self.fields[sobject].get(key)
            if external is None or not external.is_external_id:
                message = "Provided external ID field does not exist or is not accessible: " + key
                raise ApiError(404, "NOT_FOUND", message)
            self._check_request(records)
            keys = Counter(record.get(key) for record in records)
            return [
                self._to_result(self._upsert, sobject, external, record, keys[record.get(key)] > 1)
                for record in records
            ]

    def _to_result(self, write: Any, *arguments: Any) -> dict[str, Any]:
        try:
            return {**write(*arguments), "success": True, "errors": []}
        except RowError as error:
            return {"success": False, "errors": [error.error]}

    def _update(self, sobject: str, record: dict[str, Any], is_duplicate: bool) -> Any:
        record_id = str(record.get("id"))
        if is_duplicate:
            raise RowError("INVALID_FIELD", "duplicate id specified: " + record_id)
        current = self.records[sobject].get(record_id)
        if current is None:
            raise RowError("ENTITY_IS_DELETED", "entity is deleted")
        self._check_locks(record_id)
        self._write_record(sobject, current, _field_values(record))
        return {"id": record_id}

    def _upsert(self, sobject: str, key: Field, record: dict[str, Any], is_duplicate: bool) -> Any:
        value = record.get(key.name)
        if is_duplicate:
            raise RowError("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", key.name)
        matches = [
            self.records[sobject][i]
            for i in self.external_id_index[sobject, key.name, _fold_case(key, value)]
        ]
        if len(matches) > 1:
            message = f"{key.name}: more than one record found for external id field"
            raise RowError("DUPLICATE_EXTERNAL_ID", message, key.name)
        if value in self.concurrent_keys:
            self.concurrent_keys.remove(value)
            other_id = self._create_record(sobject, record | {"Expansion_State__c": "of another"})
            message = f"{key.name} duplicates value on record with id: {other_id}"
            raise RowError("DUPLICATE_VALUE", f"duplicate value found: {message}")
        if matches:
            self._check_locks(matches[0]["Id"])
            self._write_record(sobject, matches[0], _field_values(record))
            return {"id": matches[0]["Id"], "created": False}
        if sobject not in self.creatable:
            message = "insufficient access rights on object id"
            raise RowError("INSUFFICIENT_ACCESS_OR_READONLY", message)
        self._check_locks(str(record.get("AccountId") or record.get("WhatId")))
        return {"id": self._create_record(sobject, record), "created": True}

    def _create_record(self, sobject: str, record: dict[str, Any]) -> str:
        new_record = self._new_record(sobject) | {"OwnerId": self.our_user_id}
        self._write_record(sobject, new_record, _field_values(record))
        self.records[sobject][new_record["Id"]] = new_record
        self.created_counts[sobject] += 1
        return str(new_record["Id"])

    def _check_locks(self, record_id: str) -> None:
        if self.locked[record_id] > 0:
            self.locked[record_id] -= 1
            message = "unable to obtain exclusive access to this record or 1 records: " + record_id
            raise RowError("UNABLE_TO_LOCK_ROW", message)

    def describe(self, sobject: str) -> dict[str, Any]:
        if sobject not in self.records:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        fields = [each.describe() for each in self.fields[sobject].values()]
        permissions = {
            "queryable": True,
            "updateable": True,
            "createable": sobject in self.creatable,
        }
        return {"name": sobject, "fields": fields, **permissions}

    # -- rules ---------------------------------------------------------------------------------

    def _write_record(self, sobject: str, record: dict[str, Any], values: dict[str, Any]) -> None:
        fields = self.fields[sobject]
        stored = {name: to_stored(fields[name], value) for name, value in values.items()}
        merged = record | stored
        for name, field_ in fields.items():
            if field_.required and merged.get(name) is None:
                message = f"Required fields are missing: [{name}]"
                raise RowError("REQUIRED_FIELD_MISSING", message, name)
            self._check_unique(sobject, field_, merged)
        self._check_references(stored)
        if any(value in self.validation for value in stored.values() if isinstance(value, str)):
            raise RowError("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Please see the admin")
        for name, value in stored.items():
            if (record["Id"], name) in self.human_values and value != record.get(name):
                self.overwritten.append(f"{sobject} {record['Id']} {name}")
        self._apply_values(sobject, record, stored)

    def _check_unique(self, sobject: str, field_: Field, merged: Mapping[str, Any]) -> None:
        value = merged.get(field_.name)
        if not field_.unique or value is None:
            return
        owners = self.external_id_index[sobject, field_.name, _fold_case(field_, value)]
        for other_id in owners - {merged["Id"]}:
            message = f"{field_.name} duplicates value on record with id: {other_id[:15]}"
            raise RowError("DUPLICATE_VALUE", f"duplicate value found: {message}")

    def _check_references(self, values: Mapping[str, Any]) -> None:
        targets = {
            "OwnerId": ["User"],
            "AccountId": ["Account"],
            "WhatId": ["Account", "Opportunity"],
            "RecordTypeId": ["RecordType"],
        }
        for name, kinds in targets.items():
            value = values.get(name)
            if value is not None and not any(value in self.records[kind] for kind in kinds):
                message = f"{name}: id value of incorrect type: {value}"
                raise RowError("FIELD_INTEGRITY_EXCEPTION", message, name)
        owner = self.records["User"].get(values.get("OwnerId") or "")
        if owner and not owner["IsActive"]:
            message = "operation performed with inactive user"
            raise RowError("INACTIVE_OWNER_OR_USER", message)

    def _apply_values(
        self, sobject: str, record: dict[str, Any], values: Mapping[str, Any]
    ) -> None:
        previous_stage = record.get("StageName")
        self._store_values(sobject, record, values)
        if sobject == "Opportunity":
            record["IsClosed"] = str(record["StageName"]).startswith("Closed")
            record["IsWon"] = record["StageName"] == "Closed Won"
            if previous_stage != record["StageName"]:
                record["LastStageChangeDate"] = self.now
        if sobject == "Task" and not record["IsClosed"] and record["Status"] == "Completed":
            record |= {"IsClosed": True, "CompletedDateTime": self.now}

    def _store_values(
        self, sobject: str, record: dict[str, Any], values: Mapping[str, Any]
    ) -> None:
        for name in self._external_id_fields(sobject) & values.keys():
            index, field_ = self.external_id_index, self.fields[sobject][name]
            index[sobject, name, _fold_case(field_, record.get(name))].discard(record["Id"])
            if values[name] is not None:
                index[sobject, name, _fold_case(field_, values[name])].add(record["Id"])
        record |= values

    def _external_id_fields(self, sobject: str) -> set[str]:
        return {name for name, each in self.fields[sobject].items() if each.is_external_id}

    def _new_record(self, sobject: str) -> dict[str, Any]:
        blank = {
            name: False if each.type == "boolean" else None
            for name, each in self.fields[sobject].items()
        }
        preset = {"Status": "Not Started", "Priority": "Normal"} if sobject == "Task" else {}
        record_id = f"{PREFIXES[sobject]}{next(self.ids):012d}"
        return blank | preset | {"Id": record_id + "AAA", "CreatedDate": self.now}

    def _require_field(self, sobject: str, name: str) -> None:
        if name == "RecordType.DeveloperName" and sobject == "Opportunity":
            return
        if name not in self.fields[sobject]:
            message = (
                f"No such column '{name}' on entity '{sobject}'. If you are attempting to use a"
                " custom field, be sure to append the '__c' after the custom field name."
            )
            raise MalformedQuery(message, "INVALID_FIELD")

    def _is_exact(self, sobject: str, name: str) -> bool:
        field_ = self.fields.get(sobject, {}).get(name)
        return bool(field_ and (field_.is_case_sensitive or field_.type == "id"))

    def _check_request(self, records: list[dict[str, Any]]) -> None:
        """Check the rules that reject a whole request."""
        if len(records) > 200:
            message = "record limit reached. cannot submit more than 200 records into this call"
            raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
        for record in records:
            sobject = record.get("attributes", {}).get("type")
            if sobject not in WRITABLE_SOBJECTS:
                raise ApiError(400, "INVALID_TYPE", "sObject type is missing or not supported")
            for name, value in _field_values(record).items():
                field_ = self.fields[sobject].get(name)
                if field_ is None:
                    message = f"No such column '{name}' on sobject of type {sobject}"
                    raise ApiError(400, "INVALID_FIELD", message)
                if not field_.writable:
                    message = f"Unable to create/update fields: {name}."
                    raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message)
                check_json(field_, value)


def _parse_xml(file: Path) -> ET.Element:
    return ET.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314 - of our own writing


def _field_values(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in {"attributes", "id"}}


def parse_field(values: Mapping[str, str | None]) -> Field:
    kind = str(values["type"])
    assert len(str(values["label"])) <= 40
    assert len(str(values["fullName"])) <= 43
    assert len(values.get("inlineHelpText") or "") <= 510
    if kind == "LongTextArea":
        assert int(values["visibleLines"] or 0) >= 2
    if kind == "Checkbox":
        assert values["defaultValue"] in {"true", "false"}
    if kind in {"Number", "Percent"}:
        assert 1 <= int(values["precision"] or 0) <= 18
    return Field(
        str(values["fullName"]),
        TYPES[kind],
        length=int(values.get("length") or 0),
        precision=int(values.get("precision") or 0),
        scale=int(values.get("scale") or 0),
        unique=values.get("unique") == "true",
        is_external_id=values.get("externalId") == "true",
        is_case_sensitive=values.get("caseSensitive") == "true",
    )


def _fold_case(field_: Field, value: Any) -> Any:
    return value if field_.is_case_sensitive or value is None else str(value).lower()


def check_json(field_: Field, value: Any) -> None:
    """Reject the whole call for a value of the wrong type."""
    numbers = {"double", "percent", "currency"}
    if field_.type == "boolean":
        is_invalid = not isinstance(value, bool)
    elif field_.type in numbers:
        is_invalid = isinstance(value, bool) or not isinstance(value, int | float)
    else:
        is_invalid = not isinstance(value, str)
    if value is None:
        is_invalid = field_.type == "boolean"
    if field_.type == "date" and isinstance(value, str):
        try:
            is_invalid = str(date.fromisoformat(value)) != value
        except ValueError:
            is_invalid = True
    if is_invalid:
        message = f"Cannot deserialize {field_.type} from value {value!r} [{field_.name}]"
        raise ApiError(400, "JSON_PARSER_ERROR", message)


def to_stored(field_: Field, value: Any) -> Any:
    """Convert a value as Salesforce stores it: stripped, CRLF line breaks, rounded."""
    if isinstance(value, str):
        text = value.strip()
        if len(text.encode("utf-16-le")) // 2 > field_.length and field_.type != "date":
            message = f"data value too large: {text[:40]} (max length={field_.length})"
            raise RowError("STRING_TOO_LONG", f"{field_.name}: {message}", field_.name)
        if field_.type == "textarea":
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        return text or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) >= 10 ** (field_.precision - field_.scale):
            message = f"{field_.name}: value outside of valid range on numeric field: {value}"
            raise RowError("NUMBER_OUTSIDE_VALID_RANGE", message, field_.name)
        return math.floor(value * 10**field_.scale + 0.5) / 10**field_.scale
    return value
