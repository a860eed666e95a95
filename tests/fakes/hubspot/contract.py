"""HubSpot's API contract, derived from its SDK: paths, bodies, scopes.

A body is validated strictly against the SDK's generated models: unknown fields, wrong types,
missing fields and invalid values are rejected, as are unknown paths and parameters.
"""

import re
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from hubspot.crm.associations.v4 import models as links
from hubspot.crm.objects import models as objects
from hubspot.crm.pipelines import models as pipelines
from hubspot.crm.properties import models as properties

KINDS = {"companies": "COMPANY", "deals": "DEAL", "tasks": "TASK"}
TYPE_IDS = {"companies": "0-2", "deals": "0-3", "tasks": "0-27"}
_SCOPE_NAMES = {"companies": "companies", "deals": "deals", "tasks": "contacts"}


_SCALARS = {"str": str, "int": int, "bool": bool}
# The SDK's models validate themselves only if configured to.
_STRICT = SimpleNamespace(client_side_validation=True)


class ContractViolation(Exception):  # noqa: N818 - named as what it is
    """A request that violates HubSpot's API contract."""


@dataclass(frozen=True)
class Route:
    """One operation: path, body model and required scope."""

    method: str
    path: str
    name: str
    body: Any = None  # model of the SDK
    scope: str = ""  # {of} is the object type; empty for any valid token
    query: tuple[str, ...] = ()

    def match(self, method: str, path: str) -> dict[str, str] | None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        match = re.fullmatch(pattern, path) if method == self.method else None
        return match.groupdict() if match else None

    def scopes(self, parts: dict[str, str]) -> list[str]:
        """Return the required scopes; several if two object types are involved."""
        if "{of}" not in self.scope:
            return [self.scope] if self.scope else []
        kinds = [parts[name] for name in ("of", "to") if name in parts]
        return sorted({self.scope.format(of=_SCOPE_NAMES.get(kind, kind)) for kind in kinds})


_OBJECTS = "/crm/v3/objects/{of}"
_ASSOCIATIONS = "/crm/v4/associations/{of}/{to}/batch"
_PROPERTIES = "/crm/v3/properties/{of}"
_READ, _WRITE = "crm.objects.{of}.read", "crm.objects.{of}.write"
_READ_SCHEMA, _WRITE_SCHEMA = "crm.schemas.{of}.read", "crm.schemas.{of}.write"


def _get(path: str, name: str, scope: str, *query: str) -> Route:
    return Route("GET", path, name, None, scope, query)


def _post(path: str, name: str, body: Any, scope: str, *query: str) -> Route:
    return Route("POST", path, name, body, scope, query)


ROUTES = (
    _post(
        f"{_OBJECTS}/batch/read",
        "read",
        objects.BatchReadInputSimplePublicObjectId,
        _READ,
        "archived",
    ),
    _post(
        f"{_OBJECTS}/batch/update", "update", objects.BatchInputSimplePublicObjectBatchInput, _WRITE
    ),
    _post(
        f"{_OBJECTS}/batch/upsert",
        "upsert",
        objects.BatchInputSimplePublicObjectBatchInputUpsert,
        _WRITE,
    ),
    _post(f"{_OBJECTS}/search", "search", objects.PublicObjectSearchRequest, _READ),
    _post(
        f"{_ASSOCIATIONS}/read", "links", links.BatchInputPublicFetchAssociationsBatchRequest, _READ
    ),
    _post(f"{_ASSOCIATIONS}/create", "tie", links.BatchInputPublicAssociationMultiPost, _WRITE),
    _get(
        _PROPERTIES,
        "properties",
        _READ_SCHEMA,
        "archived",
        "properties",
        "dataSensitivity",
        "locale",
    ),
    _post(
        f"{_PROPERTIES}/batch/create",
        "make properties",
        properties.BatchInputPropertyCreate,
        _WRITE_SCHEMA,
    ),
    _get(f"{_PROPERTIES}/groups", "groups", _READ_SCHEMA, "locale"),
    _post(f"{_PROPERTIES}/groups", "make group", properties.PropertyGroupCreate, _WRITE_SCHEMA),
    _get("/crm/v3/pipelines/{of}", "pipelines", _READ_SCHEMA),
    _post("/crm/v3/pipelines/{of}", "make pipeline", pipelines.PipelineInput, _WRITE_SCHEMA),
    _get(
        "/crm/v3/owners/",
        "owners",
        "crm.objects.owners.read",
        "email",
        "after",
        "limit",
        "archived",
    ),
    _post("/oauth/v2/private-apps/get/access-token-info", "key", None, ""),
)


def match_route(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Return the route of a request and its path parameters."""
    for route in ROUTES:
        parts = route.match(method, path)
        if parts is not None:
            return route, parts
    return None


def validate_body(route: Route, body: Any) -> None:
    """Validate a body against the model of the operation.

    Raises
    ------
    ContractViolation
        At the first difference.
    """
    if route.body is not None:
        _validate_model(route.body, body, "body")


def _validate_model(model: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise ContractViolation(f"{path}: expected an object, found {value!r}")
    attribute_names = {there: here for here, there in model.attribute_map.items()}
    unknown = set(value) - set(attribute_names)
    if unknown:
        raise ContractViolation(f"{path}: unknown field(s) {sorted(unknown)} of {model.__name__}")
    arguments = {
        attribute_names[field]: _validate_value(
            model, model.openapi_types[attribute_names[field]], each, f"{path}.{field}"
        )
        for field, each in value.items()
    }
    try:
        return model(**arguments, local_vars_configuration=_STRICT)
    except ValueError as error:  # missing or invalid
        raise ContractViolation(f"{path}: {error}") from None


def _validate_value(model: Any, kind: str, value: Any, path: str) -> Any:
    """Validate a value of one of the model's fields against the type that the SDK declares."""
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        if type(value) is not scalar:
            raise ContractViolation(f"{path}: expected {kind}, found {value!r}")
        return value
    if item_match := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            raise ContractViolation(f"{path}: expected a list, found {value!r}")
        return [
            _validate_value(model, item_match[1], each, f"{path}[{i}]")
            for i, each in enumerate(value)
        ]
    if item_match := re.fullmatch(r"dict\[str, (.*)\]", kind):
        if not isinstance(value, dict):
            raise ContractViolation(f"{path}: expected an object, found {value!r}")
        return {
            name: _validate_value(model, item_match[1], each, f"{path}.{name}")
            for name, each in value.items()
        }
    models = sys.modules[model.__module__.rpartition(".")[0]]
    return _validate_model(getattr(models, kind), value, path)
