"""HubSpot's API contract, derived from its SDK: paths, bodies, scopes.

A body is validated strictly against the SDK's generated models: unknown fields, wrong types,
missing fields and invalid values are rejected, as are unknown paths and parameters.
"""

import re
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
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
    body: tuple[ModuleType, str] | None = None
    scope: str = ""  # {of} is the object type; empty for any valid token
    query: frozenset[str] = frozenset()

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
_READ_OBJECTS, _WRITE_OBJECTS = "crm.objects.{of}.read", "crm.objects.{of}.write"
_READ_SCHEMA, _WRITE_SCHEMA = "crm.schemas.{of}.read", "crm.schemas.{of}.write"
ROUTES = (
    Route(
        "POST",
        f"{_OBJECTS}/batch/read",
        "read",
        (objects, "BatchReadInputSimplePublicObjectId"),
        _READ_OBJECTS,
        frozenset({"archived"}),
    ),
    Route(
        "POST",
        f"{_OBJECTS}/batch/update",
        "update",
        (objects, "BatchInputSimplePublicObjectBatchInput"),
        _WRITE_OBJECTS,
    ),
    Route(
        "POST",
        f"{_OBJECTS}/batch/upsert",
        "upsert",
        (objects, "BatchInputSimplePublicObjectBatchInputUpsert"),
        _WRITE_OBJECTS,
    ),
    Route(
        "POST",
        f"{_OBJECTS}/search",
        "search",
        (objects, "PublicObjectSearchRequest"),
        _READ_OBJECTS,
    ),
    Route(
        "POST",
        f"{_ASSOCIATIONS}/read",
        "links",
        (links, "BatchInputPublicFetchAssociationsBatchRequest"),
        _READ_OBJECTS,
    ),
    Route(
        "POST",
        f"{_ASSOCIATIONS}/create",
        "tie",
        (links, "BatchInputPublicAssociationMultiPost"),
        _WRITE_OBJECTS,
    ),
    Route(
        "GET",
        _PROPERTIES,
        "properties",
        None,
        _READ_SCHEMA,
        frozenset({"archived", "properties", "dataSensitivity", "locale"}),
    ),
    Route(
        "POST",
        f"{_PROPERTIES}/batch/create",
        "make properties",
        (properties, "BatchInputPropertyCreate"),
        _WRITE_SCHEMA,
    ),
    Route("GET", f"{_PROPERTIES}/groups", "groups", None, _READ_SCHEMA, frozenset({"locale"})),
    Route(
        "POST",
        f"{_PROPERTIES}/groups",
        "make group",
        (properties, "PropertyGroupCreate"),
        _WRITE_SCHEMA,
    ),
    Route("GET", "/crm/v3/pipelines/{of}", "pipelines", None, _READ_SCHEMA),
    Route(
        "POST",
        "/crm/v3/pipelines/{of}",
        "make pipeline",
        (pipelines, "PipelineInput"),
        _WRITE_SCHEMA,
    ),
    Route(
        "GET",
        "/crm/v3/owners/",
        "owners",
        None,
        "crm.objects.owners.read",
        frozenset({"email", "after", "limit", "archived"}),
    ),
    Route("POST", "/oauth/v2/private-apps/get/access-token-info", "key"),
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
    if route.body is None:
        return
    module, name = route.body
    _validate_model(module, name, body, "body")


def _validate_model(module: ModuleType, name: str, value: Any, path: str) -> Any:
    model = getattr(module, name)
    if not isinstance(value, dict):
        raise ContractViolation(f"{path}: expected an object, found {value!r}")
    attribute_names = {there: here for here, there in model.attribute_map.items()}
    unknown = set(value) - set(attribute_names)
    if unknown:
        raise ContractViolation(f"{path}: unknown field(s) {sorted(unknown)} of {name}")
    arguments = {
        attribute_names[field]: _validate_value(
            module, model.openapi_types[attribute_names[field]], each, f"{path}.{field}"
        )
        for field, each in value.items()
    }
    try:
        return model(**arguments, local_vars_configuration=_STRICT)
    except ValueError as error:  # missing or invalid
        raise ContractViolation(f"{path}: {error}") from None


def _validate_value(module: ModuleType, kind: str, value: Any, path: str) -> Any:
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        if type(value) is not scalar:
            raise ContractViolation(f"{path}: expected {kind}, found {value!r}")
        return value
    if item_match := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            raise ContractViolation(f"{path}: expected a list, found {value!r}")
        return [
            _validate_value(module, item_match[1], each, f"{path}[{i}]")
            for i, each in enumerate(value)
        ]
    if item_match := re.fullmatch(r"dict\[str, (.*)\]", kind):
        if not isinstance(value, dict):
            raise ContractViolation(f"{path}: expected an object, found {value!r}")
        of = item_match[1]
        return {
            name: _validate_value(module, of, each, f"{path}.{name}")
            for name, each in value.items()
        }
    return _validate_model(module, kind, value, path)
