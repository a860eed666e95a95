"""What Odoo's admin has made once: our fields, the pages that show them, a team, a tag.

Each thing goes by an external id or a unique name, is looked for first, and is left as it is where
it stands; only our own views are brought up to date.
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
    KEY_FIELD: CrmField("text", "our key: one object, one key"),
    ACCOUNT_ID_FIELD: CrmField("text", "our account's id"),
}


def provision_database(
    client: OdooClient, field_mapping: OdooFieldMapping, *, team: str, tag: str, activity_type: str
) -> list[str]:
    """Make what is missing, and give a line for each thing that was made.

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
            "type of activity",
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
    client.call("ir.model.fields", "create", vals_list=rows)  # all, or none
    yield from (f"field {model}.{name}" for name in missing)


def _build_field(name: str, field: CrmField, model_id: int) -> dict[str, Any]:
    return {
        "name": name,
        "model_id": model_id,
        "state": "manual",
        "ttype": FIELD_TYPES[field.type],
        "field_description": views.format_label(name),
        "help": field.description,
        "copied": False,  # a copy that a human makes is a thing of their own
        "index": name == KEY_FIELD,
    }
