"""Odoo views: the list row on partner and opportunity forms, and the ranked list.

Our fields are read-only. To customize a view, inherit from it: provisioning overwrites ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import jinja2

from serving.delivery.crm.base import Kind
from serving.delivery.crm.fields import FIELDS
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import (
    FIELD_PREFIX,
    KEY_FIELD,
    MODELS,
    OdooFieldMapping,
)

__all__ = ["format_label", "provision_views"]

# Labels of fields whose name would not do.
_LABELS: Final = {
    "signal": "Expansion",
    "in_weekly_capacity": "This week",
    "low": "Probability, lower bound",
    "high": "Probability, upper bound",
    "readiness_date": "Contact from",
    "expected_date": "Expected",
    "expected_early": "Expected, earliest",
    "expected_late": "Expected, latest",
    "probability_180d": "Probability in 180 days",
    "expected_arr": "Expected ARR",
    "signals": "Reasons",
    "counter_reasons": "Counter-reasons",
    "state": "Episode state",
    "subject": "Task",
}


@dataclass(frozen=True)
class _ViewRecord:
    """A record of an ``ir.*`` model, identified by an external id."""

    subject: str
    name: str
    model: str
    cells: Mapping[str, str]
    managed_values: Mapping[str, Any] = field(default_factory=dict)  # updated by every provisioning


def format_label(odoo_name: str) -> str:
    """Return the label of a field.

    Examples
    --------
    >>> format_label("x_expansion_readiness_date"), format_label("x_expansion_licensed_seats")
    ('Contact from', 'Licensed seats')
    """
    name = odoo_name.removeprefix(FIELD_PREFIX)
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def provision_views(client: OdooClient, field_mapping: OdooFieldMapping) -> Iterator[str]:
    """Create missing views, list and menu, and update ours where they differ."""
    rows = client.call(
        "ir.model.data",
        "search_read",
        domain=[["module", "=", "expansion"], ["model", "like", "ir.%"]],
        fields=["name", "res_id"],
    )
    record_ids = {item["name"]: item["res_id"] for item in rows}
    for record in _build_records(field_mapping):
        if record.name not in record_ids:
            (record_ids[record.name],) = client.load_records(
                record.model,
                [{"id": f"expansion.{record.name}", **record.cells, **record.managed_values}],
                {},
            )
            yield record.subject
        elif record.managed_values:
            yield from _update_record(client, record, record_ids[record.name])
    menu, action = record_ids["menu_list"], f"ir.actions.act_window,{record_ids['action_list']}"
    if client.call("ir.ui.menu", "read", ids=[menu], fields=["action"])[0]["action"] != action:
        client.call("ir.ui.menu", "write", ids=[menu], vals={"action": action})


def _update_record(client: OdooClient, record: _ViewRecord, record_id: int) -> Iterator[str]:
    fields = list(record.managed_values)
    (current,) = client.call(record.model, "read", ids=[record_id], fields=fields)
    if any(current[name] != value for name, value in record.managed_values.items()):
        client.call(record.model, "write", ids=[record_id], vals=dict(record.managed_values))
        yield f"{record.subject}, updated"


def _build_records(field_mapping: OdooFieldMapping) -> Iterator[_ViewRecord]:
    account, opportunity = (
        field_mapping.get_names("account"),
        field_mapping.get_names("opportunity"),
    )
    form, search = _render("account_form", account), _render("account_search", account)
    deal_form = _render("opportunity_form", opportunity)
    yield _extend("view account", "account", "base.view_partner_form", form)
    yield _extend("view opportunity", "opportunity", "crm.crm_lead_view_form", deal_form)
    yield _extend("view account search", "account", "base.view_res_partner_filter", search)
    cells = {"name": "expansion list", "model": "res.partner", "priority": "99"}
    arch = {"arch_base": _render("account_list", account)}
    yield _ViewRecord("view list", "view_list", "ir.ui.view", cells, arch)
    action = {
        "name": "Expansion",
        "res_model": "res.partner",
        "view_mode": "list,form",
        "view_id/id": "expansion.view_list",
        "domain": f"[({account['rank']!r}, '>', 0)]" if "rank" in account else "[]",
        "context": "{'search_default_expansion_in_weekly_capacity': 1}",
    }
    yield _ViewRecord("list by rank", "action_list", "ir.actions.act_window", action)
    menu = {"name": "Expansion", "parent_id/id": "crm.crm_menu_sales", "sequence": "2"}
    yield _ViewRecord("menu of the list", "menu_list", "ir.ui.menu", menu)


def _extend(title: str, kind: Kind, inherited: str, arch: str) -> _ViewRecord:
    """Build an extension of one of Odoo's views."""
    cells = {"name": f"expansion {title}", "model": MODELS[kind], "inherit_id/id": inherited}
    name = title.replace(" ", "_")
    return _ViewRecord(title, name, "ir.ui.view", cells, {"arch_base": arch})


def _render(view: str, names: Mapping[str, str]) -> str:
    """Render a view without line breaks and indentation."""
    text: str = getattr(_load_template().module, view)(names)
    return "".join(line.strip() for line in text.splitlines())


@cache
def _load_template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("serving.delivery.crm.odoo"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    variables = {
        "key_field": KEY_FIELD,
        "label": lambda name: format_label(FIELD_PREFIX + name.removeprefix("expansion_")),
        "shares": {name for name, field_ in FIELDS["account"].items() if field_.is_share},
    }
    return environment.get_template("views.xml", globals=variables)
