"""Provision Odoo: custom fields, views, sales team, tag and activity type.

Each item has an external id or a unique name. Existing items are left as they are; only our own
views are updated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from serving.delivery.crm.base import Kind
from serving.delivery.crm.fields import CrmField
from serving.delivery.crm.odoo import views
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import (
    ACCOUNT_ID_FIELD,
    FIELD_TYPES,
    KEY_FIELD,
    MODELS,
    OdooFieldMapping,
)

__all__ = ["provision_database"]

_KEY_FIELDS: Final = {
    KEY_FIELD: CrmField("text", "unique key of the object"),
    ACCOUNT_ID_FIELD: CrmField("text", "account id"),
}


def provision_database(
    client: OdooClient, field_mapping: OdooFieldMapping, *, team: str, tag: str, activity_type: str
) -> list[str]:
    """Create what is missing, and return one line per created item.

    Raises
    ------
    serving.delivery.crm.base.AccessDeniedError
        If the key is not an administrator's.
    """
    created = [line for kind in MODELS for line in _create_fields(client, field_mapping, kind)]
    required: list[tuple[str, str, dict[str, Any]]] = [
        ("sales team", "crm.team", {"name": team, "use_opportunities": True}),
        ("tag", "crm.tag", {"name": tag}),
        (
            "activity type",
            "mail.activity.type",
            {"name": activity_type, "icon": "fa-line-chart"},
        ),
    ]
    for subject, model, values in required:
        if not client.call(model, "search_count", domain=[["name", "=", values["name"]]]):
            client.call(model, "create", vals_list=[values])
            created.append(f"{subject} {values['name']}")
    return [*created, *views.provision_views(client, field_mapping)]


def _create_fields(
    client: OdooClient, field_mapping: OdooFieldMapping, kind: Kind
) -> Iterator[str]:
    model = MODELS[kind]
    required = {
        **field_mapping.list_custom_fields(kind),
        **({} if kind == "account" else _KEY_FIELDS),
    }
    existing = client.call(model, "fields_get", attributes=["type"])
    missing = {name: field for name, field in required.items() if name not in existing}
    if not missing:
        return
    (model_id,) = client.call("ir.model", "search", domain=[["model", "=", model]])
    rows = [_build_field(name, field, model_id) for name, field in missing.items()]
    client.call("ir.model.fields", "create", vals_list=rows)  # one transaction
    yield from (f"field {model}.{name}" for name in missing)


def _build_field(name: str, field: CrmField, model_id: int) -> dict[str, Any]:
    return {
        "name": name,
        "model_id": model_id,
        "state": "manual",
        "ttype": FIELD_TYPES[field.type],
        "field_description": views.format_label(name),
        "help": field.description,
        "copied": False,  # a copy made by a human is not ours
        "index": name == KEY_FIELD,
    }
