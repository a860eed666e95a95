"""A Salesforce org in memory: its objects, fields, rights and rules, and the humans who edit it.

It knows the standard fields that we touch. The others it has only after our package was deployed,
and only those for which the package's permission set gives our user the right.
"""

import itertools
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.salesforce.queries import Malformed, Parser, Query

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
WRITTEN = ("Account", "Opportunity", "Task")


@dataclass
class Field:
    """A field of an object."""

    name: str
    type: str = "string"
    length: int = 255
    precision: int = 18
    scale: int = 0
    unique: bool = False
    external: bool = False
    exact: bool = False
    required: bool = False
    writable: bool = True
    choices: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        values = [{"value": choice, "label": choice, "active": True} for choice in self.choices]
        return {
            "name": self.name,
            "type": self.type,
            "length": self.length if self.type in {"string", "textarea", "picklist"} else 0,
            "precision": self.precision,
            "scale": self.scale,
            "unique": self.unique,
            "externalId": self.external,
            "caseSensitive": self.exact,
            "nillable": not self.required,
            "createable": self.writable,
            "updateable": self.writable,
            "picklistValues": values,
        }


class Fault(Exception):  # noqa: N818
    """A call that is refused as a whole."""

    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(words)
        self.status, self.code = status, code

    def body(self) -> list[dict[str, Any]]:
        return [{"message": str(self), "errorCode": self.code}]


class Wrong(Exception):  # noqa: N818
    """A row that is refused."""

    def __init__(self, code: str, words: str, *fields: str) -> None:
        super().__init__(words)
        self.error = {"statusCode": code, "message": words, "fields": list(fields)}


def _standard() -> dict[str, dict[str, Field]]:
    read_only = {"writable": False}
    common = [Field("Id", "id", **read_only), Field("CreatedDate", "datetime", **read_only)]
    owner = Field("OwnerId", "reference")
    told = {
        "Account": [
            *common,
            owner,
            Field("Name", required=True),
            Field("AccountNumber", length=40),
            Field("Product_Id__c", external=True),
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
            *(Field(name, "boolean", **read_only) for name in ("IsClosed", "IsWon")),
            Field("LastStageChangeDate", "datetime", **read_only),
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
            Field("IsClosed", "boolean", **read_only),
            Field("CompletedDateTime", "datetime", **read_only),
        ],
        "User": [Field("Id", "id"), Field("Email", "email"), Field("IsActive", "boolean")],
        "RecordType": [
            Field("Id", "id"),
            Field("SobjectType"),
            Field("DeveloperName"),
            Field("IsActive", "boolean"),
        ],
    }
    return {sobject: {each.name: each for each in fields} for sobject, fields in told.items()}


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
    """The records, and what may be done to them."""

    now: str = "2026-06-01T06:00:00.000+0000"
    records: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {sobject: {} for sobject in PREFIXES}
    )
    fields: dict[str, dict[str, Field]] = field(default_factory=_standard)
    hidden: dict[str, dict[str, Field]] = field(
        default_factory=lambda: {sobject: {} for sobject in PREFIXES}
    )
    may_make: set[str] = field(default_factory=lambda: {"Task"})
    locked: Counter[str] = field(default_factory=Counter)  # id → calls for which it is locked still
    racing: set[str] = field(default_factory=set)  # keys that another makes at the same moment
    validation: set[str] = field(default_factory=set)  # texts that a rule of the org refuses
    made: Counter[str] = field(default_factory=Counter)
    overwritten: list[str] = field(default_factory=list)  # human edits that we wrote over
    theirs: dict[tuple[str, str], Any] = field(default_factory=dict)  # (id, field) → human's value
    lock: threading.RLock = field(default_factory=threading.RLock)
    ids: Any = field(default_factory=lambda: itertools.count(1))
    # (object, external id, value) → ids of the records that carry it
    carry: defaultdict[tuple[str, str, Any], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )

    def __post_init__(self) -> None:
        self.us = self.add("User", Email="integration@acme.example", IsActive=True)

    # -- what an admin and other humans do -----------------------------------------------------

    def deploy(self, folder: Path) -> None:
        """Deploy a package in metadata format, and give its permission set to our user."""
        package = folder / "package"
        listed = {each.text for each in _xml(package / "package.xml").iter(f"{XML}members")}
        for file in (package / "objects").iterdir():
            sobject = {"Activity": "Task"}.get(file.stem, file.stem)
            for told in _xml(file):
                made = _field({each.tag.removeprefix(XML): each.text for each in told})
                assert f"{file.stem}.{made.name}" in listed, "a file that package.xml does not list"
                assert file.stem != "Activity" or made.type != "textarea", "no long text on tasks"
                if made.name not in self.fields[sobject]:
                    self.hidden[sobject][made.name] = made
        for file in (package / "permissionsets").iterdir():
            assert file.stem in listed
            self._give(_xml(file))

    def _give(self, rights: ET.Element) -> None:
        for right in rights.iter(f"{XML}fieldPermissions"):
            sobject, name = right.findtext(f"{XML}field", "").split(".")
            if name in self.hidden[sobject]:
                self.fields[sobject][name] = self.hidden[sobject].pop(name)
            else:
                assert name in self.fields[sobject], f"{sobject}.{name}: no such field"
        for right in rights.iter(f"{XML}objectPermissions"):
            if right.findtext(f"{XML}allowCreate") == "true":
                self.may_make.add(right.findtext(f"{XML}object", ""))

    def add(self, sobject: str, **values: Any) -> str:
        """A human makes a record."""
        with self.lock:
            record = self._blank(sobject)
            self.records[sobject][record["Id"]] = record
            self._put(sobject, record, values)
            return record["Id"]

    def edit(self, sobject: str, identity: str, **values: Any) -> None:
        """A human edits a record, in the browser."""
        with self.lock:
            self._set(sobject, self.records[sobject][identity], values)
            self.theirs |= {(identity, name): value for name, value in values.items()}

    def delete(self, sobject: str, identity: str) -> None:
        """A human throws a record away."""
        with self.lock:
            self._put(
                sobject, self.records[sobject][identity], dict.fromkeys(self._external(sobject))
            )
            del self.records[sobject][identity]

    def keyed(self, sobject: str, key: str) -> list[dict[str, Any]]:
        """Our records of one key."""
        return [r for r in self.records[sobject].values() if r.get("Expansion_Key__c") == key]

    # -- what the API does ---------------------------------------------------------------------

    def query(self, soql: str) -> list[dict[str, Any]]:
        with self.lock:
            try:
                asked = Parser(soql, self._is_exact).query()
                return self._rows(asked)
            except Malformed as error:
                shown = f"\n{soql[:40]}\n      ^\nERROR at Row:1:Column:8\n{error}"
                raise Fault(400, error.code, shown) from error

    def _rows(self, asked: Query) -> list[dict[str, Any]]:
        if asked.sobject not in self.records:
            words = f"sObject type '{asked.sobject}' is not supported."
            raise Malformed(words, "INVALID_TYPE")
        for name in [*asked.fields, *asked.used, *asked.order]:
            self._known(asked.sobject, name)
        for name in asked.used:
            if "." not in name and self.fields[asked.sobject][name].type == "textarea":
                words = f"field '{name}' can not be filtered in a query call"
                raise Malformed(words, "INVALID_FIELD")
        rows = [self._seen(r) for r in self.records[asked.sobject].values()]
        rows = [row for row in rows if asked.holds(row)]
        rows.sort(key=lambda row: tuple(str(row[name]) for name in asked.order))
        if asked.group:
            assert asked.fields == [asked.group]
            rows = list({row[asked.group]: row for row in rows}.values())
        told = {"attributes": {"type": asked.sobject}}
        return [told | {name: row.get(name) for name in asked.fields} for row in rows]

    def _seen(self, record: Mapping[str, Any]) -> dict[str, Any]:
        kind = self.records["RecordType"].get(record.get("RecordTypeId") or "", {})
        return {**record, "RecordType.DeveloperName": kind.get("DeveloperName")}

    def retrieve(self, sobject: str, ids: list[str], names: list[str]) -> list[Any]:
        with self.lock:
            if len(ids) > 2000:
                raise Fault(400, "EXCEEDED_ID_LIMIT", "record limit reached")
            for name in names:
                self._known(sobject, name)
            told = {"attributes": {"type": sobject}}
            found = (self.records[sobject].get(identity) for identity in ids)
            return [r and told | {name: r.get(name) for name in names} for r in found]

    def update(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with self.lock:
            self._parse(records)
            answers, seen = [], set()
            for record in records:
                sobject, identity = record["attributes"]["type"], record.get("id")
                doubled = identity in seen
                seen.add(identity)
                answers.append(self._answer(self._update, sobject, identity, record, doubled))
            return answers

    def upsert(self, sobject: str, key: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with self.lock:
            external = self.fields[sobject].get(key)
            if external is None or not external.external:
                words = "Provided external ID field does not exist or is not accessible: " + key
                raise Fault(404, "NOT_FOUND", words)
            self._parse(records)
            keys = Counter(record.get(key) for record in records)
            return [
                self._answer(self._upsert, sobject, external, record, keys[record.get(key)] > 1)
                for record in records
            ]

    def _answer(self, write: Any, *told: Any) -> dict[str, Any]:
        try:
            return {**write(*told), "success": True, "errors": []}
        except Wrong as wrong:
            return {"success": False, "errors": [wrong.error]}

    def _update(self, sobject: str, identity: str, record: dict[str, Any], doubled: bool) -> Any:
        if doubled:
            raise Wrong("INVALID_FIELD", "duplicate id specified: " + identity)
        present = self.records[sobject].get(identity)
        if present is None:
            raise Wrong("ENTITY_IS_DELETED", "entity is deleted")
        self._check_locks(identity)
        self._write(sobject, present, _values(record))
        return {"id": identity}

    def _upsert(self, sobject: str, key: Field, record: dict[str, Any], doubled: bool) -> Any:
        value = record.get(key.name)
        if doubled:
            raise Wrong("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", key.name)
        same = [self.records[sobject][i] for i in self.carry[sobject, key.name, _fold(key, value)]]
        if len(same) > 1:
            words = f"{key.name}: more than one record found for external id field"
            raise Wrong("DUPLICATE_EXTERNAL_ID", words, key.name)
        if value in self.racing:
            self.racing.remove(value)
            other = self._make(sobject, record | {"Expansion_State__c": "of another"})
            words = f"duplicate value found: {key.name} duplicates value on record with id: {other}"
            raise Wrong("DUPLICATE_VALUE", words)
        if same:
            self._check_locks(same[0]["Id"])
            self._write(sobject, same[0], _values(record))
            return {"id": same[0]["Id"], "created": False}
        if sobject not in self.may_make:
            raise Wrong(
                "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id"
            )
        self._check_locks(str(record.get("AccountId") or record.get("WhatId")))
        return {"id": self._make(sobject, record), "created": True}

    def _make(self, sobject: str, record: dict[str, Any]) -> str:
        fresh = self._blank(sobject) | {"OwnerId": self.us}
        self._write(sobject, fresh, _values(record))
        self.records[sobject][fresh["Id"]] = fresh
        self.made[sobject] += 1
        return str(fresh["Id"])

    def _check_locks(self, identity: str) -> None:
        if self.locked[identity] > 0:
            self.locked[identity] -= 1
            raise Wrong(
                "UNABLE_TO_LOCK_ROW",
                "unable to obtain exclusive access to this record or 1 records: " + identity,
            )

    def describe(self, sobject: str) -> dict[str, Any]:
        if sobject not in self.records:
            raise Fault(404, "NOT_FOUND", "The requested resource does not exist")
        fields = [each.described() for each in self.fields[sobject].values()]
        rights = {"queryable": True, "updateable": True, "createable": sobject in self.may_make}
        return {"name": sobject, "fields": fields, **rights}

    # -- rules ---------------------------------------------------------------------------------

    def _write(self, sobject: str, record: dict[str, Any], values: dict[str, Any]) -> None:
        fields = self.fields[sobject]
        stored = {name: _stored(fields[name], value) for name, value in values.items()}
        whole = record | stored
        for name, each in fields.items():
            if each.required and whole.get(name) is None:
                raise Wrong(
                    "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{name}]", name
                )
            self._check_unique(sobject, each, whole)
        self._check_references(stored)
        if any(value in self.validation for value in stored.values() if isinstance(value, str)):
            raise Wrong("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Please see the admin")
        for name, value in stored.items():
            if (record["Id"], name) in self.theirs and value != record.get(name):
                self.overwritten.append(f"{sobject} {record['Id']} {name}")
        self._set(sobject, record, stored)

    def _check_unique(self, sobject: str, each: Field, whole: Mapping[str, Any]) -> None:
        value = whole.get(each.name)
        if not each.unique or value is None:
            return
        for other in self.carry[sobject, each.name, _fold(each, value)] - {whole["Id"]}:
            words = (
                f"duplicate value found: {each.name} duplicates value on record with id:"
                f" {other[:15]}"
            )
            raise Wrong("DUPLICATE_VALUE", words)

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
                words = f"{name}: id value of incorrect type: {value}"
                raise Wrong("FIELD_INTEGRITY_EXCEPTION", words, name)
        owner = self.records["User"].get(values.get("OwnerId") or "")
        if owner and not owner["IsActive"]:
            words = "operation performed with inactive user"
            raise Wrong("INACTIVE_OWNER_OR_USER", words)

    def _set(self, sobject: str, record: dict[str, Any], values: Mapping[str, Any]) -> None:
        was = record.get("StageName")
        self._put(sobject, record, values)
        if sobject == "Opportunity":
            record["IsClosed"] = str(record["StageName"]).startswith("Closed")
            record["IsWon"] = record["StageName"] == "Closed Won"
            if was != record["StageName"]:
                record["LastStageChangeDate"] = self.now
        if sobject == "Task" and not record["IsClosed"] and record["Status"] == "Completed":
            record |= {"IsClosed": True, "CompletedDateTime": self.now}

    def _put(self, sobject: str, record: dict[str, Any], values: Mapping[str, Any]) -> None:
        for name in self._external(sobject) & values.keys():
            each = self.fields[sobject][name]
            self.carry[sobject, name, _fold(each, record.get(name))].discard(record["Id"])
            if values[name] is not None:
                self.carry[sobject, name, _fold(each, values[name])].add(record["Id"])
        record |= values

    def _external(self, sobject: str) -> set[str]:
        return {name for name, each in self.fields[sobject].items() if each.external}

    def _blank(self, sobject: str) -> dict[str, Any]:
        blank = {
            name: False if each.type == "boolean" else None
            for name, each in self.fields[sobject].items()
        }
        preset = {"Status": "Not Started", "Priority": "Normal"} if sobject == "Task" else {}
        identity = f"{PREFIXES[sobject]}{next(self.ids):012d}"
        return blank | preset | {"Id": identity + "AAA", "CreatedDate": self.now}

    def _known(self, sobject: str, name: str) -> None:
        if name == "RecordType.DeveloperName" and sobject == "Opportunity":
            return
        if name not in self.fields[sobject]:
            words = (
                f"No such column '{name}' on entity '{sobject}'. If you are attempting to use a"
                " custom field, be sure to append the '__c' after the custom field name."
            )
            raise Malformed(words, "INVALID_FIELD")

    def _is_exact(self, sobject: str, name: str) -> bool:
        each = self.fields.get(sobject, {}).get(name)
        return bool(each and (each.exact or each.type == "id"))

    def _parse(self, records: list[dict[str, Any]]) -> None:
        """What Salesforce refuses before it looks at rows."""
        if len(records) > 200:
            words = "record limit reached. cannot submit more than 200 records into this call"
            raise Fault(400, "EXCEEDED_ID_LIMIT", words)
        for record in records:
            sobject = record.get("attributes", {}).get("type")
            if sobject not in WRITTEN:
                raise Fault(400, "INVALID_TYPE", "sObject type is missing or not supported")
            for name, value in _values(record).items():
                each = self.fields[sobject].get(name)
                if each is None:
                    words = f"No such column '{name}' on sobject of type {sobject}"
                    raise Fault(400, "INVALID_FIELD", words)
                if not each.writable:
                    words = f"Unable to create/update fields: {name}."
                    raise Fault(400, "INVALID_FIELD_FOR_INSERT_UPDATE", words)
                _check_json(each, value)


def _xml(file: Path) -> ET.Element:
    return ET.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314 - of our own writing


def _values(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in {"attributes", "id"}}


def _field(told: Mapping[str, str | None]) -> Field:
    kind = str(told["type"])
    assert len(str(told["label"])) <= 40
    assert len(str(told["fullName"])) <= 43
    assert len(told.get("inlineHelpText") or "") <= 510
    if kind == "LongTextArea":
        assert int(told["visibleLines"] or 0) >= 2
    if kind == "Checkbox":
        assert told["defaultValue"] in {"true", "false"}
    if kind in {"Number", "Percent"}:
        assert 1 <= int(told["precision"] or 0) <= 18
    return Field(
        str(told["fullName"]),
        TYPES[kind],
        length=int(told.get("length") or 0),
        precision=int(told.get("precision") or 0),
        scale=int(told.get("scale") or 0),
        unique=told.get("unique") == "true",
        external=told.get("externalId") == "true",
        exact=told.get("caseSensitive") == "true",
    )


def _fold(each: Field, value: Any) -> Any:
    return value if each.exact or value is None else str(value).lower()


def _check_json(each: Field, value: Any) -> None:
    """A value of the wrong type breaks the whole call."""
    numbers = {"double", "percent", "currency"}
    wanted = (bool,) if each.type == "boolean" else (int, float) if each.type in numbers else (str,)
    wrong = not isinstance(value, wanted) or (isinstance(value, bool) and each.type in numbers)
    if value is None:
        wrong = each.type == "boolean"
    if each.type == "date" and isinstance(value, str):
        try:
            wrong = str(date.fromisoformat(value)) != value
        except ValueError:
            wrong = True
    if wrong:
        words = f"Cannot deserialize instance of {each.type} from value {value!r} [{each.name}]"
        raise Fault(400, "JSON_PARSER_ERROR", words)


def _stored(each: Field, value: Any) -> Any:
    """As Salesforce keeps it: outer blanks go, line ends are two signs, digits are rounded."""
    if isinstance(value, str):
        text = value.strip()
        if len(text.encode("utf-16-le")) // 2 > each.length and each.type != "date":
            words = f"{each.name}: data value too large: {text[:40]} (max length={each.length})"
            raise Wrong("STRING_TOO_LONG", words, each.name)
        if each.type == "textarea":
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        return text or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) >= 10 ** (each.precision - each.scale):
            words = f"{each.name}: value outside of valid range on numeric field: {value}"
            raise Wrong("NUMBER_OUTSIDE_VALID_RANGE", words, each.name)
        return math.floor(value * 10**each.scale + 0.5) / 10**each.scale
    return value


def fields_of(records: Iterable[Mapping[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(record[name] for name in names) for record in records]
