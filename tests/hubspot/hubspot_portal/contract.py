"""HubSpot's published contract, read off its own client: paths, bodies, scopes.

A body is held strictly against the client's generated models: an unknown field, a wrong type, a
missing field or a value that is not allowed is refused, as is a path or a parameter that is none.
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
_SCOPED = {"companies": "companies", "deals": "deals", "tasks": "contacts"}


_PLAIN = {"str": str, "int": int, "bool": bool}
# The models check themselves where their configuration says so, which it does not by default.
_STRICT = SimpleNamespace(client_side_validation=True)


class Wrong(Exception):  # noqa: N818 - named as what it is
    """A request that HubSpot would refuse as such."""


@dataclass(frozen=True)
class Route:
    """One operation: how it is reached, what it takes, what it needs."""

    method: str
    path: str
    name: str
    body: tuple[ModuleType, str] | None = None
    scope: str = ""  # {of} is the kind of object; empty: any valid key
    query: frozenset[str] = frozenset()

    def match(self, method: str, path: str) -> dict[str, str] | None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path) if method == self.method else None
        return found.groupdict() if found else None

    def scopes(self, parts: dict[str, str]) -> list[str]:
        """What the key must be allowed; several, where two kinds of objects are touched."""
        if "{of}" not in self.scope:
            return [self.scope] if self.scope else []
        kinds = [parts[name] for name in ("of", "to") if name in parts]
        return sorted({self.scope.format(of=_SCOPED.get(kind, kind)) for kind in kinds})


_OBJECTS = "/crm/v3/objects/{of}"
_LINKS = "/crm/v4/associations/{of}/{to}/batch"
_PROPERTIES = "/crm/v3/properties/{of}"
_READ, _WRITE = "crm.objects.{of}.read", "crm.objects.{of}.write"
_LOOK, _MAKE = "crm.schemas.{of}.read", "crm.schemas.{of}.write"
ROUTES = (
    Route(
        "POST",
        f"{_OBJECTS}/batch/read",
        "read",
        (objects, "BatchReadInputSimplePublicObjectId"),
        _READ,
        frozenset({"archived"}),
    ),
    Route(
        "POST",
        f"{_OBJECTS}/batch/update",
        "update",
        (objects, "BatchInputSimplePublicObjectBatchInput"),
        _WRITE,
    ),
    Route(
        "POST",
        f"{_OBJECTS}/batch/upsert",
        "upsert",
        (objects, "BatchInputSimplePublicObjectBatchInputUpsert"),
        _WRITE,
    ),
    Route("POST", f"{_OBJECTS}/search", "search", (objects, "PublicObjectSearchRequest"), _READ),
    Route(
        "POST",
        f"{_LINKS}/read",
        "links",
        (links, "BatchInputPublicFetchAssociationsBatchRequest"),
        _READ,
    ),
    Route(
        "POST", f"{_LINKS}/create", "tie", (links, "BatchInputPublicAssociationMultiPost"), _WRITE
    ),
    Route(
        "GET",
        _PROPERTIES,
        "properties",
        None,
        _LOOK,
        frozenset({"archived", "properties", "dataSensitivity", "locale"}),
    ),
    Route(
        "POST",
        f"{_PROPERTIES}/batch/create",
        "make properties",
        (properties, "BatchInputPropertyCreate"),
        _MAKE,
    ),
    Route("GET", f"{_PROPERTIES}/groups", "groups", None, _LOOK, frozenset({"locale"})),
    Route(
        "POST", f"{_PROPERTIES}/groups", "make group", (properties, "PropertyGroupCreate"), _MAKE
    ),
    Route("GET", "/crm/v3/pipelines/{of}", "pipelines", None, _LOOK),
    Route("POST", "/crm/v3/pipelines/{of}", "make pipeline", (pipelines, "PipelineInput"), _MAKE),
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


def routed(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Find the operation that a request is meant for."""
    for route in ROUTES:
        parts = route.match(method, path)
        if parts is not None:
            return route, parts
    return None


def checked(route: Route, body: Any) -> None:
    """Hold a body against the model of the operation.

    Raises
    ------
    Wrong
        At the first difference.
    """
    if route.body is None:
        return
    module, name = route.body
    _model(module, name, body, "body")


def _model(module: ModuleType, name: str, value: Any, where: str) -> Any:
    model = getattr(module, name)
    if not isinstance(value, dict):
        raise Wrong(f"{where}: expected an object, found {value!r}")
    ours = {there: here for here, there in model.attribute_map.items()}
    unknown = set(value) - set(ours)
    if unknown:
        raise Wrong(f"{where}: unknown field(s) {sorted(unknown)} of {name}")
    given = {
        ours[field]: _value(module, model.openapi_types[ours[field]], each, f"{where}.{field}")
        for field, each in value.items()
    }
    try:
        return model(**given, local_vars_configuration=_STRICT)
    except ValueError as error:  # missing, or not one of the allowed
        raise Wrong(f"{where}: {error}") from None


def _value(module: ModuleType, kind: str, value: Any, where: str) -> Any:
    plain = _PLAIN.get(kind)
    if plain is not None:
        if type(value) is not plain:
            raise Wrong(f"{where}: expected {kind}, found {value!r}")
        return value
    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            raise Wrong(f"{where}: expected a list, found {value!r}")
        return [_value(module, inner[1], each, f"{where}[{i}]") for i, each in enumerate(value)]
    if inner := re.fullmatch(r"dict\[str, (.*)\]", kind):
        if not isinstance(value, dict):
            raise Wrong(f"{where}: expected an object, found {value!r}")
        of = inner[1]
        return {name: _value(module, of, each, f"{where}.{name}") for name, each in value.items()}
    return _model(module, kind, value, where)
