"""Operations of HubSpot's API, one function each."""

import re
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.fakes.hubspot import portal as portals
from tests.fakes.hubspot.contract import KINDS, TYPE_IDS
from tests.fakes.hubspot.portal import Portal, StoredRecord

Response = tuple[int, dict[str, Any]]
_BATCH_SIZE, _ASSOCIATION_BATCH_SIZES = 100, {"read": 1_000, "create": 2_000}
ASSOCIATION_PAGE_SIZE = 500


def error_response(status: int, category: str, message: str, **more: Any) -> Response:
    """Build an error response in HubSpot's format."""
    return status, {
        "status": "error",
        "message": message,
        "correlationId": str(uuid.uuid4()),
        "category": category,
        **more,
    }


def handle_operation(
    portal: Portal, name: str, parts: dict[str, str], body: Any, query: dict[str, str]
) -> Response:
    """Run an operation while holding the portal's lock."""
    with portal.lock:
        for parameter in ("of", "to"):
            if parameter in parts and parts[parameter] not in KINDS:
                message = f"Unable to infer object type from: {parts[parameter]}"
                return error_response(404, "OBJECT_NOT_FOUND", message)
        return _OPERATIONS[name](portal, parts, body, query)


def _read(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Response:
    object_type, id_property = parts["of"], body.get("idProperty")
    maximum = 50 if body["propertiesWithHistory"] else _BATCH_SIZE
    if len(body["inputs"]) > maximum:
        return _validation_error(
            f"The maximum number of inputs supported in a batch request is {maximum}"
        )
    if id_property and not portal.is_unique(object_type, id_property):
        return _validation_error(
            f"Unable to perform read by non-unique {TYPE_IDS[object_type]} property {id_property}"
        )
    results, missing, seen = [], [], set()
    for input_ in body["inputs"]:
        if id_property is None and not input_["id"].isdigit():
            return _validation_error(f"{input_['id']!r} is not a valid id")
        record = portal.find(object_type, input_["id"], id_property)
        if record is None:
            missing.append(input_["id"])
        elif record.id not in seen:
            seen.add(record.id)
            shown = (body["properties"], body["propertiesWithHistory"])
            results.append(_serialize_record(record, *shown))
    errors = []
    if missing:
        message = (
            f"Could not get some {KINDS[object_type]} objects, they may be deleted or not exist."
            " Check that ids are valid."
        )
        errors.append(_build_error("OBJECT_NOT_FOUND", message, {"ids": missing}))
    return _batch_response(200, results, errors)


def _update(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Response:
    return _write_batch(portal, parts["of"], body["inputs"], creates=False)


def _upsert(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Response:
    for input_ in body["inputs"]:
        id_property = input_.get("idProperty")
        if not id_property or not portal.is_unique(parts["of"], id_property):
            kind = TYPE_IDS[parts["of"]]
            return _validation_error(
                f"Unable to perform update/upsert by non-unique {kind} property {id_property}"
            )
    return _write_batch(portal, parts["of"], body["inputs"], creates=True)


def _write_batch(portal: Portal, object_type: str, inputs: list[Any], *, creates: bool) -> Response:
    """Validate all inputs before any is written."""
    ids = [each["id"] for each in inputs]
    if len(ids) > _BATCH_SIZE or len(set(ids)) < len(ids):
        return _validation_error(f"Duplicate IDs found in batch input, or more than {_BATCH_SIZE}")
    ready: list[tuple[Any, StoredRecord | None, dict[str, str]]] = []
    errors = []
    for each in inputs:
        record = portal.find(object_type, each["id"], each["idProperty"] if creates else None)
        key = {each["idProperty"]: each["id"]} if creates and record is None else {}
        properties = {**each["properties"], **key}
        error = _validate_input(portal, object_type, each, record, properties, creates=creates)
        if error and "objectWriteTraceId" not in each:
            return error_response(400, error["category"], error["message"], errors=error["errors"])
        if error:
            errors.append(error)
            continue
        if name := portal.find_conflict(object_type, properties, record.id if record else None):
            message = f"{name} of another {KINDS[object_type]} already has that value"
            return error_response(409, "CONFLICT", message)
        ready.append((each, record, properties))
    return _apply_writes(portal, object_type, ready, errors, creates=creates)


def _apply_writes(
    portal: Portal, object_type: str, ready: list[Any], errors: list[Any], *, creates: bool
) -> Response:
    results = []
    for input_, record, properties in ready:
        record_after, is_new = portal.upsert(object_type, record, properties)
        payload = _serialize_record(record_after, list(properties), []) | (
            {"new": is_new} if creates else {}
        )
        results.append(payload | {k: input_[k] for k in ("objectWriteTraceId",) if k in input_})
    return _batch_response(
        201 if any(result.get("new") for result in results) else 200, results, errors
    )


def _validate_input(
    portal: Portal,
    object_type: str,
    requested: Any,
    record: StoredRecord | None,
    properties: dict[str, str],
    *,
    creates: bool,
) -> dict[str, Any] | None:
    context = {"objectWriteTraceId": [requested.get("objectWriteTraceId", "")]}
    if record is None and not creates:
        message = f"Object not found. objectId are usually numeric: {requested['id']}"
        return _build_error("OBJECT_NOT_FOUND", message, context)
    problems = portal.validate(object_type, properties)
    if record is None and object_type == "tasks" and not properties.get("hs_timestamp"):
        message = "Some required properties were not set: hs_timestamp"
        problems.append(portals.PropertyError(message, "REQUIRED"))
    if stage := properties.get("dealstage"):
        current = record.properties.get("pipeline") if record else "default"
        pipeline = properties.get("pipeline", current)
        stages = {
            s["id"] for each in portal.pipelines if each["id"] == pipeline for s in each["stages"]
        }
        if stage not in stages:
            message = f"stage {stage} is not of pipeline {pipeline}"
            problems.append(portals.PropertyError(message, "INVALID_STAGE"))
    if not problems:
        return None
    details = [{"message": one.message, "code": one.code, "context": {}} for one in problems]
    return _build_error("VALIDATION_ERROR", "Property values were not valid", context, details)


def _search(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Response:
    start, limit = int(body.get("after") or 0), body.get("limit", 10)
    if limit > 200 or start + limit > 10_000:
        return _validation_error("the search gives 200 a page and 10,000 in all")
    groups = body.get("filterGroups") or []
    if len(groups) > 5 or any(len(group["filters"]) > 6 for group in groups):
        return _validation_error("too many filters")
    object_type = parts["of"]
    for one in (one for group in groups for one in group["filters"]):
        if one["propertyName"] not in portal.properties[object_type]:
            return _validation_error(
                f"There was a problem with the request: unknown property {one['propertyName']}"
            )
    matches = [
        portal.records[object_type][name]
        for name, properties in portal.search_index(object_type)
        if not portal.records[object_type][name].archived
        and (
            not groups
            or any(all(_matches_filter(one, properties) for one in g["filters"]) for g in groups)
        )
    ]
    page, paging = _paginate(matches, start, limit)
    results = [_serialize_record(record, body.get("properties") or [], []) for record in page]
    return 200, {"total": len(matches), "results": results, **paging}


def _paginate(rows: list[Any], start: int, size: int) -> tuple[list[Any], dict[str, Any]]:
    """Return a page of rows, and the cursor of the next one."""
    following = {"paging": {"next": {"after": str(start + size), "link": "?"}}}
    return rows[start : start + size], following if start + size < len(rows) else {}


def _matches_filter(condition: Any, properties: dict[str, str]) -> bool:
    actual, expected = properties.get(condition["propertyName"]), condition.get("value")
    match condition["operator"]:
        case "HAS_PROPERTY":
            return actual is not None
        case "NOT_HAS_PROPERTY":
            return actual is None
        case "EQ":
            return bool(actual == expected)
        case "NEQ":
            return actual is not None and actual != expected
        case "GTE":
            return actual is not None and _to_number(actual) >= _to_number(expected)
        case "LT":
            return actual is not None and _to_number(actual) < _to_number(expected)
        case other:
            raise NotImplementedError(other)


def _to_number(text: str) -> float:
    if text.lstrip("-").replace(".", "", 1).isdigit():
        return float(text)
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


def _read_associations(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Response:
    object_type, to_type = parts["of"], parts["to"]
    if len(body["inputs"]) > _ASSOCIATION_BATCH_SIZES["read"]:
        return _validation_error("too many inputs")
    results, errors = [], []
    for input_ in body["inputs"]:
        associated = sorted(portal.associations[object_type, to_type][input_["id"]], key=int)
        page, paging = _paginate(associated, int(input_.get("after") or 0), ASSOCIATION_PAGE_SIZE)
        if not page:
            one, other = KINDS[object_type].lower(), KINDS[to_type].lower()
            context = {"fromObjectId": [input_["id"]]}
            context |= {"fromObjectType": [one], "toObjectType": [other]}
            message = f"No {other} is associated with {one} {input_['id']}."
            none = "crm.associations.NO_ASSOCIATIONS_FOUND"
            errors.append(
                _build_error("OBJECT_NOT_FOUND", message, context) | {"subCategory": none}
            )
            continue
        type_id = portals.ASSOCIATION_TYPES[object_type, to_type]
        kinds = [{"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": None}]
        associated_ids = [{"toObjectId": int(name), "associationTypes": kinds} for name in page]
        results.append({"from": {"id": input_["id"]}, "to": associated_ids, **paging})
    return _batch_response(200, results, errors)


def _create_associations(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Response:
    object_type, to_type = parts["of"], parts["to"]
    if len(body["inputs"]) > _ASSOCIATION_BATCH_SIZES["create"]:
        return _validation_error("too many inputs")
    type_id = portals.ASSOCIATION_TYPES[object_type, to_type]
    fitting = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}
    results, errors = [], []
    for input_ in body["inputs"]:
        from_id, to_id = input_["from"]["id"], input_["to"]["id"]
        if any(kind != fitting for kind in input_["types"]):
            return _validation_error(f"association type does not fit {object_type} to {to_type}")
        ends = ((object_type, from_id), (to_type, to_id))
        if any(portal.find(*end, None) is None for end in ends):
            context = {"fromObjectId": [from_id], "toObjectId": [to_id]}
            message = f"{object_type} {from_id} or {to_type} {to_id} does not exist"
            errors.append(_build_error("OBJECT_NOT_FOUND", message, context))
            continue
        portal.associate(object_type, to_type, from_id, to_id)
        results.append(
            {
                "fromObjectTypeId": TYPE_IDS[object_type],
                "fromObjectId": int(from_id),
                "toObjectTypeId": TYPE_IDS[to_type],
                "toObjectId": int(to_id),
                "labels": [],
            }
        )
    return _batch_response(201, results, errors)


def _properties(portal: Portal, parts: dict[str, str], *_: Any) -> Response:
    return 200, {"results": list(portal.properties[parts["of"]].values())}


def _create_properties(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Response:
    object_type = parts["of"]
    existing = portal.properties[object_type]
    unique = sum(
        each.get("hasUniqueValue", False) for each in [*existing.values(), *body["inputs"]]
    )
    if len(body["inputs"]) > _BATCH_SIZE or unique > 10:
        return _validation_error("too many properties, or more than 10 unique ones")
    for each in body["inputs"]:
        if each["name"] in existing:
            message = f'A property named "{each["name"]}" already exists.'
            return error_response(409, "CONFLICT", message)
        if error := _validate_definition(portal, object_type, each):
            return _validation_error(error)
    for each in body["inputs"]:
        existing[each["name"]] = {"options": [], "description": "", "hasUniqueValue": False} | each
    return _batch_response(201, [existing[each["name"]] for each in body["inputs"]], [])


def _validate_definition(portal: Portal, object_type: str, requested: dict[str, Any]) -> str | None:
    values = {option["value"] for option in requested.get("options") or []}
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", requested["name"]):
        return f"{requested['name']} is not a name of a property"
    if requested["groupName"] not in portal.groups[object_type]:
        return f"property group {requested['groupName']} does not exist"
    if requested["type"] == "bool" and values != {"true", "false"}:
        return "the options of a bool are true and false"
    if requested["type"] == "enumeration" and not values:
        return "an enumeration has options"
    return None


def _groups(portal: Portal, parts: dict[str, str], *_: Any) -> Response:
    return 200, {
        "results": [
            {"name": name, "label": label, "displayOrder": -1, "archived": False}
            for name, label in portal.groups[parts["of"]].items()
        ]
    }


def _create_group(portal: Portal, parts: dict[str, str], body: Any, _: Any) -> Response:
    groups = portal.groups[parts["of"]]
    if body["name"] in groups:
        return error_response(409, "CONFLICT", f"The group {body['name']} already exists")
    groups[body["name"]] = body["label"]
    return 201, {**body, "archived": False}


def _pipelines(portal: Portal, *_: Any) -> Response:
    return 200, {"results": portal.pipelines}


def _create_pipeline(portal: Portal, _: Any, body: Any, __: Any) -> Response:
    if any(each["label"] == body["label"] for each in portal.pipelines):
        return error_response(409, "CONFLICT", f"pipeline {body['label']} exists")
    if any("probability" not in stage.get("metadata", {}) for stage in body["stages"]):
        return _validation_error("metadata.probability is required of every stage")
    labels = [(stage["label"], stage["metadata"]["probability"]) for stage in body["stages"]]
    stages = [
        (portals.build_stage_id(label, place), label, probability)
        for place, (label, probability) in enumerate(labels)
    ]
    created = portals.build_pipeline(str(70_000 + len(portal.pipelines)), body["label"], stages)
    portal.pipelines.append(created)
    return 201, created


def _owners(portal: Portal, _: Any, __: Any, query: dict[str, str]) -> Response:
    start, limit = int(query.get("after", 0)), int(query.get("limit", 100))
    if limit > 500:
        return _validation_error("limit is at most 500")
    page, paging = _paginate(portal.owners, start, limit)
    return 200, {"results": page, **paging}


_OPERATIONS: dict[str, Callable[..., Response]] = {
    "read": _read,
    "update": _update,
    "upsert": _upsert,
    "search": _search,
    "links": _read_associations,
    "tie": _create_associations,
    "properties": _properties,
    "make properties": _create_properties,
    "groups": _groups,
    "make group": _create_group,
    "pipelines": _pipelines,
    "make pipeline": _create_pipeline,
    "owners": _owners,
}


def _serialize_record(
    record: StoredRecord, properties: list[str], history: list[str]
) -> dict[str, Any]:
    always = ("hs_object_id", "createdate", "hs_createdate", "hs_lastmodifieddate")
    shown = {name: record.properties[name] for name in always if name in record.properties}
    payload: dict[str, Any] = {
        "id": record.id,
        "properties": shown | {name: record.properties.get(name) for name in properties},
        "createdAt": record.created,
        "updatedAt": record.updated,
        "archived": record.archived,
    }
    if "dealstage" in history:
        payload["propertiesWithHistory"] = {
            "dealstage": [
                {"value": value, "timestamp": at, "sourceType": source}
                for value, at, source in reversed(record.stages)
            ]
        }
    return payload


def _batch_response(status: int, results: list[Any], errors: list[Any]) -> Response:
    now = portals.current_timestamp()
    payload = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if not errors:
        return status, payload
    return 207, payload | {"numErrors": len(errors), "errors": errors}


def _build_error(
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


def _validation_error(message: str) -> Response:
    return error_response(400, "VALIDATION_ERROR", message)
