"""What Odoo's admin has made once: our fields, the pages that show them, a team, a tag.

Each thing goes by an external id or a unique name, is looked for first, and is left as it is where
it stands; only our own views are brought up to date.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from serving.crm.odoo import views
from serving.crm.odoo.client import Client
from serving.crm.odoo.names import ACCOUNT, KEY, MODELS, TYPES, Names
from serving.crm.target import Kind
from serving.outbox.objects import Field

__all__ = ["make"]

_KEYS: Final = {
    KEY: Field("text", "our key: one object, one key"),
    ACCOUNT: Field("text", "our account's id"),
}


def make(client: Client, names: Names, *, team: str, tag: str, activity: str) -> list[str]:
    """Make what is missing, and give a line for each thing that was made.

    Raises
    ------
    serving.crm.target.Denied
        If the key is not an administrator's.
    """
    told = [line for kind in MODELS for line in _make_fields(client, names, kind)]
    wanted: list[tuple[str, str, dict[str, Any]]] = [
        ("sales team", "crm.team", {"name": team, "use_opportunities": True}),
        ("tag", "crm.tag", {"name": tag}),
        ("type of activity", "mail.activity.type", {"name": activity, "icon": "fa-line-chart"}),
    ]
    for about, model, values in wanted:
        if not client.call(model, "search_count", domain=[["name", "=", values["name"]]]):
            client.call(model, "create", vals_list=[values])
            told.append(f"{about} {values['name']}")
    return [*told, *views.make(client, names)]


def _make_fields(client: Client, names: Names, kind: Kind) -> Iterator[str]:
    model = MODELS[kind]
    wanted = {**names.custom(kind), **({} if kind == "account" else _KEYS)}
    present = client.call(model, "fields_get", attributes=["type"])
    missing = {name: field for name, field in wanted.items() if name not in present}
    if not missing:
        return
    (model_id,) = client.call("ir.model", "search", domain=[["model", "=", model]])
    rows = [_field(name, field, model_id) for name, field in missing.items()]
    client.call("ir.model.fields", "create", vals_list=rows)  # all, or none
    yield from (f"field {model}.{name}" for name in missing)


def _field(name: str, field: Field, model_id: int) -> dict[str, Any]:
    return {
        "name": name,
        "model_id": model_id,
        "state": "manual",
        "ttype": TYPES[field.type],
        "field_description": views.label(name),
        "help": field.means,
        "copied": False,  # a copy that a human makes is a thing of their own
        "index": name == KEY,
    }
