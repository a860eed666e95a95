"""State checker of the portal: lost values, duplicates, reverted human edits."""

from collections import Counter
from typing import Any

from tests.fakes.hubspot.portal import Portal

OBJECT_TYPES = {"account": "companies", "opportunity": "deals", "task": "tasks"}
ID_PROPERTIES = {
    "account": "expansion_account_id",
    "opportunity": "expansion_key",
    "task": "expansion_key",
}
# Independent of the code under test: field name → HubSpot property.
STANDARD_PROPERTIES = {
    ("opportunity", "name"): "dealname",
    ("opportunity", "amount"): "amount",
    ("opportunity", "expected_close_date"): "closedate",
    ("task", "subject"): "hs_task_subject",
    ("task", "due_date"): "hs_timestamp",
    ("task", "notes"): "hs_task_body",
    ("account", "expansion_signal"): "expansion_signal",
}
LINE_BREAK = "<br/>"


def find_problems(
    portal: Portal, rows: list[dict[str, Any]], human: frozenset[str] = frozenset()
) -> list[str]:
    """Find what is lost, duplicated or unassociated; ``human`` lists human edits to skip."""
    lost = find_lost_values(portal, rows, human)
    return [*lost, *find_duplicates(portal), *find_unassociated(portal, rows)]


def find_lost_values(
    portal: Portal, rows: list[dict[str, Any]], human: frozenset[str] = frozenset()
) -> list[str]:
    """Find values that differ from the desired ones."""
    problems = []
    for row in rows:
        kind, object_type = row["kind"], OBJECT_TYPES[row["kind"]]
        record = find_record(portal, kind, row["key"])
        if record is None:
            problems.append(f"{row['key']} is not there")
            continue
        for name, value in row["fields"].items():
            property_name = STANDARD_PROPERTIES.get((kind, name), f"expansion_{name}")
            if (kind, name) == ("account", "name") or f"{row['key']}.{property_name}" in human:
                continue
            actual = record.properties.get(property_name)
            if not _is_same(actual, value):
                problems.append(
                    f"{object_type} {row['key']}.{property_name}: {actual!r}, expected {value!r}"
                )
    return problems


def find_duplicates(portal: Portal) -> list[str]:
    """Find keys with more than one record."""
    keys = Counter(
        record.properties.get(ID_PROPERTIES[kind])
        for kind, object_type in OBJECT_TYPES.items()
        for record in portal.records[object_type].values()
        if not record.archived
    )
    return [key for key, times in keys.items() if key and times > 1]


def find_unassociated(portal: Portal, rows: list[dict[str, Any]]) -> list[str]:
    """Find deals and tasks without the association to a parent."""
    problems = []
    for row in rows:
        if row["kind"] == "account":
            continue
        object_type = OBJECT_TYPES[row["kind"]]
        record = find_record(portal, row["kind"], row["key"])
        parents = {"companies": find_record(portal, "account", row["account_id"])}
        if row["kind"] == "task":
            parents["deals"] = find_record(portal, "opportunity", row["key"].rpartition(":")[0])
        for to_type, parent in parents.items():
            associated = portal.associations[object_type, to_type]
            if record and parent and parent.id not in associated[record.id]:
                problems.append(f"{row['key']} does not hang on {to_type} {parent.id}")
    return problems


def find_record(portal: Portal, kind: str, key: str) -> Any:
    return portal.find(OBJECT_TYPES[kind], key, ID_PROPERTIES[kind])


def _is_same(actual: str | None, value: Any) -> bool:
    if value is None or actual is None:
        return value is None and actual is None
    if isinstance(value, bool):
        return actual == str(value).lower()
    if isinstance(value, int | float):
        return float(actual) == float(value)
    if LINE_BREAK in actual:
        actual = actual.replace(LINE_BREAK, "\n").replace("&lt;", "<")
    return value in {actual, actual[:10]}
