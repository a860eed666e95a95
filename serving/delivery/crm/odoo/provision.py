"""Provision Odoo: custom fields, views, sales team, tag and activity type.

Each item has an external id or a unique name. Existing items are left as they are; only our own
views are updated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from data.config.delivery import OdooConfig
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

__all__ = ["has_record", "list_required_records", "provision_database"]

_KEY_FIELDS: Final = {
    KEY_FIELD: CrmField("text", "unique key of the object"),
    ACCOUNT_ID_FIELD: CrmField("text", "account id"),
}


def list_required_records(config: OdooConfig) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what each required record is called, its model and its values."""
    activity_type = {"name": config.activity, "icon": "fa-line-chart"}
    return [
        ("sales team", "crm.team", {"name": config.team, "use_opportunities": True}),
        ("tag", "crm.tag", {"name": config.tag}),
        ("activity type", "mail.activity.type", activity_type),
    ]


def has_record(client: OdooClient, model: str, name: str) -> bool:
    """Return whether a record of that name exists."""
    return bool(client.call(model, "search_count", domain=[["name", "=", name]]))


def provision_database(
    client: OdooClient, field_mapping: OdooFieldMapping, config: OdooConfig
) -> list[str]:
    """Create what is missing, and return one line per created item.

    Raises
    ------
    serving.delivery.crm.base.AccessDeniedError
        If the key is not an administrator's.
    """
    created = [line for kind in MODELS for line in _create_fields(client, field_mapping, kind)]
    for subject, model, values in list_required_records(config):
        if not has_record(client, model, values["name"]):
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
    rows = [
        {
            "name": name,
            "model_id": model_id,
            "state": "manual",
            "ttype": FIELD_TYPES[field.type],
            "field_description": views.format_label(name),
            "help": field.description,
            "copied": False,  # a copy made by a human is not ours
            "index": name == KEY_FIELD,
        }
        for name, field in missing.items()
    ]
    client.call("ir.model.fields", "create", vals_list=rows)  # one transaction
    yield from (f"field {model}.{name}" for name in missing)
