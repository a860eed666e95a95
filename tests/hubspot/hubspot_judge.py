"""Whether what stands at the portal is what should: nothing lost, doubled, or a human's undone."""

from collections import Counter
from typing import Any

from hubspot_portal.portal import Portal

OBJECTS = {"account": "companies", "opportunity": "deals", "task": "tasks"}
# Written by hand, and not with the code that is on trial: our name → HubSpot's.
RENAMED = {
    ("opportunity", "name"): "dealname",
    ("opportunity", "amount"): "amount",
    ("opportunity", "expected_close_date"): "closedate",
    ("task", "subject"): "hs_task_subject",
    ("task", "due_date"): "hs_timestamp",
    ("task", "notes"): "hs_task_body",
    ("account", "expansion_signal"): "expansion_signal",
}
BREAK = "<br/>"


def lost(
    portal: Portal, rows: list[dict[str, Any]], human: frozenset[str] = frozenset()
) -> list[str]:
    """Values that do not stand at the portal as they should; ``human`` names those of a human's."""
    told = []
    for row in rows:
        kind, of = row["kind"], OBJECTS[row["kind"]]
        kept = found(portal, kind, row["key"])
        if kept is None:
            told.append(f"{row['key']} is not there")
            continue
        for name, value in row["fields"].items():
            where = RENAMED.get((kind, name), f"expansion_{name}")
            if (kind, name) == ("account", "name") or f"{row['key']}.{where}" in human:
                continue
            stands = kept.properties.get(where)
            if not _same(stands, value):
                told.append(f"{of} {row['key']}.{where}: {stands!r}, expected {value!r}")
    return told


def doubled(portal: Portal) -> list[str]:
    """Keys of which more than one record stands there."""
    keys = [
        kept.properties.get("expansion_account_id" if of == "companies" else "expansion_key")
        for of in OBJECTS.values()
        for kept in portal.records[of].values()
        if not kept.archived
    ]
    return [key for key, times in Counter(key for key in keys if key).items() if times > 1]


def untied(portal: Portal, rows: list[dict[str, Any]]) -> list[str]:
    """Deals and tasks that do not hang on what they should."""
    told = []
    for row in rows:
        if row["kind"] == "account":
            continue
        of, kept = OBJECTS[row["kind"]], found(portal, row["kind"], row["key"])
        above = {"companies": found(portal, "account", row["account_id"])}
        if row["kind"] == "task":
            above["deals"] = found(portal, "opportunity", row["key"].rpartition(":")[0])
        for to, other in above.items():
            if kept and other and other.id not in portal.links[of, to][kept.id]:
                told.append(f"{row['key']} does not hang on {to} {other.id}")
    return told


def found(portal: Portal, kind: str, key: str) -> Any:
    by = "expansion_account_id" if kind == "account" else "expansion_key"
    return portal.find(OBJECTS[kind], key, by)


def _same(stands: str | None, value: Any) -> bool:
    if value is None or stands is None:
        return value is None and stands is None
    if isinstance(value, bool):
        return stands == str(value).lower()
    if isinstance(value, int | float):
        return float(stands) == float(value)
    if BREAK in stands:
        stands = stands.replace(BREAK, "\n").replace("&lt;", "<")
    return value in {stands, stands[:10]}
