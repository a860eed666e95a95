"""What HubSpot's API answers: one function for each operation of the contract."""

import uuid
from collections.abc import Callable
from typing import Any

from hubspot_portal import portal as portals
from hubspot_portal.contract import KINDS, TYPE_IDS
from hubspot_portal.portal import Kept, Portal

Answer = tuple[int, dict[str, Any]]
_AT_ONCE, _LINKS_AT_ONCE = 100, {"read": 1_000, "create": 2_000}
LINK_PAGE = 500


def refusal(status: int, category: str, message: str, **more: Any) -> Answer:
    """An error in HubSpot's shape."""
    return status, {
        "status": "error",
        "message": message,
        "correlationId": str(uuid.uuid4()),
        "category": category,
        **more,
    }


def answer(
    portal: Portal, name: str, parts: dict[str, str], body: Any, query: dict[str, str]
) -> Answer:
    """Do what is asked, alone."""
    with portal.lock:
        for place in ("of", "to"):
            if place in parts and parts[place] not in KINDS:
                return refusal(
                    404, "OBJECT_NOT_FOUND", f"Unable to infer object type from: {parts[place]}"
                )
        return _OPERATIONS[name](portal, parts, body, query)


def _read(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Answer:
    of, by = parts["of"], body.get("idProperty")
    most = 50 if body["propertiesWithHistory"] else _AT_ONCE
    if len(body["inputs"]) > most:
        return _invalid(f"The maximum number of inputs supported in a batch request is {most}")
    if by and not portal.is_unique(of, by):
        return _invalid(f"Unable to perform read by non-unique {TYPE_IDS[of]} property {by}")
    results, missing, seen = [], [], set()
    for each in body["inputs"]:
        if by is None and not each["id"].isdigit():
            return _invalid(f"{each['id']!r} is not a valid id")
        kept = portal.find(of, each["id"], by)
        if kept is None:
            missing.append(each["id"])
        elif kept.id not in seen:
            seen.add(kept.id)
            results.append(_told(kept, body["properties"], body["propertiesWithHistory"]))
    errors = []
    if missing:
        message = (
            f"Could not get some {KINDS[of]} objects, they may be deleted or not exist. Check that"
            " ids are valid."
        )
        errors.append(_error("OBJECT_NOT_FOUND", message, {"ids": missing}))
    return _batch(200, results, errors)


def _update(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Answer:
    return _put(portal, parts["of"], body["inputs"], makes=False)


def _upsert(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Answer:
    for each in body["inputs"]:
        by = each.get("idProperty")
        if not by or not portal.is_unique(parts["of"], by):
            kind = TYPE_IDS[parts["of"]]
            return _invalid(f"Unable to perform update/upsert by non-unique {kind} property {by}")
    return _put(portal, parts["of"], body["inputs"], makes=True)


def _put(portal: Portal, of: str, inputs: list[Any], *, makes: bool) -> Answer:
    """Everything is looked at before anything is written."""
    ids = [each["id"] for each in inputs]
    if len(ids) > _AT_ONCE or len(set(ids)) < len(ids):
        return _invalid(f"Duplicate IDs found in batch input, or more than {_AT_ONCE}")
    ready: list[tuple[Any, Kept | None, dict[str, str]]] = []
    errors = []
    for each in inputs:
        kept = portal.find(of, each["id"], each["idProperty"] if makes else None)
        key = {each["idProperty"]: each["id"]} if makes and kept is None else {}
        properties = {**each["properties"], **key}
        wrong = _wrong(portal, of, each, kept, properties, makes=makes)
        if wrong and "objectWriteTraceId" not in each:
            return refusal(400, wrong["category"], wrong["message"], errors=wrong["errors"])
        if wrong:
            errors.append(wrong)
            continue
        if name := portal.conflicts(of, properties, kept.id if kept else None):
            message = f"{name} of another {KINDS[of]} already has that value"
            return refusal(409, "CONFLICT", message)
        ready.append((each, kept, properties))
    return _done(portal, of, ready, errors, makes=makes)


def _done(portal: Portal, of: str, ready: list[Any], errors: list[Any], *, makes: bool) -> Answer:
    results = []
    for each, kept, properties in ready:
        done, is_new = portal.put(of, kept, properties)
        told = _told(done, list(properties), []) | ({"new": is_new} if makes else {})
        results.append(told | {k: each[k] for k in ("objectWriteTraceId",) if k in each})
    return _batch(201 if any(told.get("new") for told in results) else 200, results, errors)


def _wrong(
    portal: Portal,
    of: str,
    asked: Any,
    kept: Kept | None,
    properties: dict[str, str],
    *,
    makes: bool,
) -> dict[str, Any] | None:
    context = {"objectWriteTraceId": [asked.get("objectWriteTraceId", "")]}
    if kept is None and not makes:
        return _error(
            "OBJECT_NOT_FOUND",
            f"Object not found. objectId are usually numeric: {asked['id']}",
            context,
        )
    faults = portal.faults(of, properties)
    if kept is None and of == "tasks" and not properties.get("hs_timestamp"):
        faults.append(
            portals.Fault("Some required properties were not set: hs_timestamp", "REQUIRED")
        )
    if stage := properties.get("dealstage"):
        current = kept.properties.get("pipeline") if kept else "default"
        pipeline = properties.get("pipeline", current)
        stages = {
            s["id"] for each in portal.pipelines if each["id"] == pipeline for s in each["stages"]
        }
        if stage not in stages:
            faults.append(
                portals.Fault(f"stage {stage} is not of pipeline {pipeline}", "INVALID_STAGE")
            )
    if not faults:
        return None
    details = [{"message": one.message, "code": one.code, "context": {}} for one in faults]
    return _error("VALIDATION_ERROR", "Property values were not valid", context, details)


def _search(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Answer:
    start, limit = int(body.get("after") or 0), body.get("limit", 10)
    if limit > 200 or start + limit > 10_000:
        return _invalid("the search gives 200 a page and 10,000 in all")
    groups = body.get("filterGroups") or []
    if len(groups) > 5 or any(len(group["filters"]) > 6 for group in groups):
        return _invalid("too many filters")
    of = parts["of"]
    for one in (one for group in groups for one in group["filters"]):
        if one["propertyName"] not in portal.properties[of]:
            return _invalid(
                f"There was a problem with the request: unknown property {one['propertyName']}"
            )
    found = [
        portal.records[of][name]
        for name, properties in portal.searched(of)
        if not portal.records[of][name].archived
        and (
            not groups or any(all(_passes(one, properties) for one in g["filters"]) for g in groups)
        )
    ]
    page = found[start : start + limit]
    told: dict[str, Any] = {
        "total": len(found),
        "results": [_told(kept, body.get("properties") or [], []) for kept in page],
    }
    if start + limit < len(found):
        told["paging"] = {"next": {"after": str(start + limit), "link": "?"}}
    return 200, told


def _passes(one: Any, properties: dict[str, str]) -> bool:
    has, wanted = properties.get(one["propertyName"]), one.get("value")
    match one["operator"]:
        case "HAS_PROPERTY":
            return has is not None
        case "NOT_HAS_PROPERTY":
            return has is None
        case "EQ":
            return has == wanted
        case "NEQ":
            return has is not None and has != wanted
        case "GTE":
            return has is not None and _number(has) >= _number(wanted)
        case "LT":
            return has is not None and _number(has) < _number(wanted)
        case other:
            raise NotImplementedError(other)


def _number(text: str) -> float:
    if text.lstrip("-").replace(".", "", 1).isdigit():
        return float(text)
    return portals.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


def _links(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Answer:
    of, to = parts["of"], parts["to"]
    if len(body["inputs"]) > _LINKS_AT_ONCE["read"]:
        return _invalid("too many inputs")
    results, errors = [], []
    for each in body["inputs"]:
        others = sorted(portal.links[of, to][each["id"]], key=int)
        start = int(each.get("after") or 0)
        page = others[start : start + LINK_PAGE]
        if not page:
            one, other = KINDS[of].lower(), KINDS[to].lower()
            context = {
                "fromObjectId": [each["id"]],
                "fromObjectType": [one],
                "toObjectType": [other],
            }
            message = f"No {other} is associated with {one} {each['id']}."
            none = "crm.associations.NO_ASSOCIATIONS_FOUND"
            errors.append(_error("OBJECT_NOT_FOUND", message, context) | {"subCategory": none})
            continue
        kinds = [
            {"category": "HUBSPOT_DEFINED", "typeId": portals.LINK_TYPES[of, to], "label": None}
        ]
        told: dict[str, Any] = {
            "from": {"id": each["id"]},
            "to": [{"toObjectId": int(name), "associationTypes": kinds} for name in page],
        }
        if start + LINK_PAGE < len(others):
            told["paging"] = {"next": {"after": str(start + LINK_PAGE), "link": "?"}}
        results.append(told)
    return _batch(200, results, errors)


def _tie(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Answer:
    of, to = parts["of"], parts["to"]
    if len(body["inputs"]) > _LINKS_AT_ONCE["create"]:
        return _invalid("too many inputs")
    results, errors = [], []
    for each in body["inputs"]:
        one, other = each["from"]["id"], each["to"]["id"]
        for kind in each["types"]:
            if kind != {
                "associationCategory": "HUBSPOT_DEFINED",
                "associationTypeId": portals.LINK_TYPES[of, to],
            }:
                return _invalid(f"association type {kind} does not fit {of} to {to}")
        if portal.find(of, one, None) is None or portal.find(to, other, None) is None:
            context = {"fromObjectId": [one], "toObjectId": [other]}
            errors.append(
                _error("OBJECT_NOT_FOUND", f"{of} {one} or {to} {other} does not exist", context)
            )
            continue
        portal.tie(of, to, one, other)
        results.append(
            {
                "fromObjectTypeId": TYPE_IDS[of],
                "fromObjectId": int(one),
                "toObjectTypeId": TYPE_IDS[to],
                "toObjectId": int(other),
                "labels": [],
            }
        )
    return _batch(201, results, errors)


def _properties(portal: Portal, parts: dict[str, str], *_: Any) -> Answer:
    return 200, {"results": list(portal.properties[parts["of"]].values())}


def _make_properties(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Answer:
    of = parts["of"]
    kept = portal.properties[of]
    unique = sum(each.get("hasUniqueValue", False) for each in [*kept.values(), *body["inputs"]])
    if len(body["inputs"]) > _AT_ONCE or unique > 10:
        return _invalid("too many properties, or more than 10 unique ones")
    for each in body["inputs"]:
        if each["name"] in kept:
            return refusal(409, "CONFLICT", f'A property named "{each["name"]}" already exists.')
        if wrong := _unmakable(portal, of, each):
            return _invalid(wrong)
    for each in body["inputs"]:
        kept[each["name"]] = {"options": [], "description": "", "hasUniqueValue": False} | each
    return _batch(201, [kept[each["name"]] for each in body["inputs"]], [])


def _unmakable(portal: Portal, of: str, asked: dict[str, Any]) -> str | None:
    values = {option["value"] for option in asked.get("options") or []}
    if not portals.re.fullmatch(r"[a-z][a-z0-9_]{0,99}", asked["name"]):
        return f"{asked['name']} is not a name of a property"
    if asked["groupName"] not in portal.groups[of]:
        return f"property group {asked['groupName']} does not exist"
    if asked["type"] == "bool" and values != {"true", "false"}:
        return "the options of a bool are true and false"
    if asked["type"] == "enumeration" and not values:
        return "an enumeration has options"
    return None


def _groups(portal: Portal, parts: dict[str, str], *_: Any) -> Answer:
    return 200, {
        "results": [
            {"name": name, "label": label, "displayOrder": -1, "archived": False}
            for name, label in portal.groups[parts["of"]].items()
        ]
    }


def _make_group(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Answer:
    groups = portal.groups[parts["of"]]
    if body["name"] in groups:
        return refusal(409, "CONFLICT", f"The group {body['name']} already exists")
    groups[body["name"]] = body["label"]
    return 201, {**body, "archived": False}


def _pipelines(portal: Portal, *_: Any) -> Answer:
    return 200, {"results": portal.pipelines}


def _make_pipeline(portal: Portal, _: Any, body: Any, __: Any) -> Answer:
    if any(each["label"] == body["label"] for each in portal.pipelines):
        return refusal(409, "CONFLICT", f"pipeline {body['label']} exists")
    if any("probability" not in stage.get("metadata", {}) for stage in body["stages"]):
        return _invalid("metadata.probability is required of every stage")
    stages = [
        (portals.stage_id(stage["label"], place), stage["label"], stage["metadata"]["probability"])
        for place, stage in enumerate(body["stages"])
    ]
    made = portals.pipeline(str(70_000 + len(portal.pipelines)), body["label"], stages)
    portal.pipelines.append(made)
    return 201, made


def _owners(portal: Portal, _: Any, __: Any, query: dict[str, str]) -> Answer:
    start, limit = int(query.get("after", 0)), int(query.get("limit", 100))
    if limit > 500:
        return _invalid("limit is at most 500")
    told: dict[str, Any] = {"results": portal.owners[start : start + limit]}
    if start + limit < len(portal.owners):
        told["paging"] = {"next": {"after": str(start + limit)}}
    return 200, told


_OPERATIONS: dict[str, Callable[..., Answer]] = {
    "read": _read,
    "update": _update,
    "upsert": _upsert,
    "search": _search,
    "links": _links,
    "tie": _tie,
    "properties": _properties,
    "make properties": _make_properties,
    "groups": _groups,
    "make group": _make_group,
    "pipelines": _pipelines,
    "make pipeline": _make_pipeline,
    "owners": _owners,
}


def _told(kept: Kept, properties: list[str], history: list[str]) -> dict[str, Any]:
    always = ("hs_object_id", "createdate", "hs_createdate", "hs_lastmodifieddate")
    shown = {name: kept.properties[name] for name in always if name in kept.properties}
    told: dict[str, Any] = {
        "id": kept.id,
        "properties": shown | {name: kept.properties.get(name) for name in properties},
        "createdAt": kept.created,
        "updatedAt": kept.updated,
        "archived": kept.archived,
    }
    if "dealstage" in history:
        told["propertiesWithHistory"] = {
            "dealstage": [
                {"value": value, "timestamp": at, "sourceType": source}
                for value, at, source in reversed(kept.stages)
            ]
        }
    return told


def _batch(status: int, results: list[Any], errors: list[Any]) -> Answer:
    now = portals.moment()
    told = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if not errors:
        return status, told
    return 207, told | {"numErrors": len(errors), "errors": errors}


def _error(
    category: str, message: str, context: dict[str, list[str]], details: list[Any] | None = None
) -> dict[str, Any]:
    return {
        "status": "error",
        "category": category,
        "message": message,
        "context": context,
        "links": {},
        "errors": details or [],
    }


def _invalid(message: str) -> Answer:
    return refusal(400, "VALIDATION_ERROR", message)
