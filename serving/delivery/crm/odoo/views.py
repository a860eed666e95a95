"""Odoo views: the list row on partner and opportunity forms, and the ranked list.

Our fields are read-only. To customize a view, inherit from it: provisioning overwrites ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax.saxutils import quoteattr

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

Names = Mapping[str, str]  # our field name → Odoo's
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
_SHARES: Final = {name for name, field_ in FIELDS["account"].items() if field_.is_share}
_PERCENT_WIDGET: Final = 'widget="percentage" digits="[16, 0]"'
# Partner form: action, reasons, and the details on a separate page.
_ACTION_FIELDS: Final = ("band_track_record", "readiness_date", "limit", "motion", "contact_role")
_REASON_FIELDS: Final = ("signals", "counter_reasons", "changes", "note")
_DETAIL_FIELDS: Final = (
    ("rank", "portfolio_rank", "in_weekly_capacity", "tier", "expansion_signal", "band"),
    ("expected_date", "expected_early", "expected_late", "probability_180d", "expected_arr"),
    ("churn_probability", "active_seats", "licensed_seats", "seat_utilization", "model", "as_of"),
)
_LIST_FIELDS: Final = (
    "rank",
    "probability",
    "readiness_date",
    "limit",
    "motion",
    "contact_role",
    "signals",
)


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
    account, opportunity = field_mapping.fields["account"], field_mapping.fields["opportunity"]
    yield _inherit(
        "view_account", "account", "base.view_partner_form", _build_account_arch(account)
    )
    yield _inherit(
        "view_opportunity",
        "opportunity",
        "crm.crm_lead_view_form",
        _build_opportunity_arch(opportunity),
    )
    yield _inherit(
        "view_account_search",
        "account",
        "base.view_res_partner_filter",
        _build_search_arch(account),
    )
    cells = {"name": "expansion list", "model": "res.partner", "priority": "99"}
    arch = {"arch_base": _build_list_arch(account)}
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


def _inherit(name: str, kind: Kind, inherited: str, arch: str) -> _ViewRecord:
    """Build an extension of one of Odoo's views."""
    title = name.replace("_", " ")
    cells = {"name": f"expansion {title}", "model": MODELS[kind], "inherit_id/id": inherited}
    return _ViewRecord(title, name, "ir.ui.view", cells, {"arch_base": arch})


def _build_account_arch(names: Names) -> str:
    visibility = f' invisible="not {names["as_of"]}"' if "as_of" in names else ""
    details = "".join(f"<group>{_build_elements(names, part)}</group>" for part in _DETAIL_FIELDS)
    return (
        '<data><xpath expr="//notebook" position="before">'
        f'<group string="Expansion" name="expansion"{visibility}>'
        f"<group>{_build_probability(names)}{_build_elements(names, _ACTION_FIELDS)}</group>"
        f"<group>{_build_elements(names, _REASON_FIELDS)}</group>"
        '</group></xpath><xpath expr="//notebook" position="inside">'
        f'<page string="Expansion" name="expansion_details"{visibility}><group>{details}'
        "</group></page></xpath></data>"
    )


def _build_opportunity_arch(names: Names) -> str:
    return (
        '<data><xpath expr="//notebook" position="before">'
        f'<field name="{KEY_FIELD}" invisible="1"/>'
        f'<group string="Expansion" name="expansion" invisible="not {KEY_FIELD}">'
        f"<group>{_build_probability(names)}{_build_elements(names, _ACTION_FIELDS)}</group>"
        f"<group>{_build_elements(names, ('signals', 'state'))}</group>"
        "</group></xpath></data>"
    )


def _build_search_arch(names: Names) -> str:
    filters = ""
    for name, title, condition in (
        ("in_weekly_capacity", "Expansion: this week", "True"),
        ("tier", "Expansion: tier 1", "1"),
    ):
        if name in names:
            domain = quoteattr(f"[('{names[name]}', '=', {condition})]")
            filters += f'<filter name="expansion_{name}" string="{title}" domain={domain}/>'
    own_accounts = quoteattr("[('user_id', '=', uid)]")
    filters += (
        f'<filter name="expansion_mine" string="Expansion: my accounts" domain={own_accounts}/>'
    )
    return f'<data><xpath expr="//search" position="inside"><separator/>{filters}</xpath></data>'


def _build_list_arch(names: Names) -> str:
    rank, *others = (_build_elements(names, (name,)) for name in _LIST_FIELDS)
    order = f' default_order="{names["rank"]}"' if "rank" in names else ""
    return (
        f'<list string="Expansion" create="0"{order}>{rank}'
        f'<field name="display_name" string="Account" width="130px"/>{"".join(others)}'
        '<field name="user_id" string="Salesperson" widget="many2one_avatar_user"/></list>'
    )


def _build_probability(names: Names) -> str:
    """Build one line with the probability and its interval, such as 68% (44% to 88%)."""
    if "probability" not in names:
        return ""
    probability = names["probability"]
    attributes = f'{_PERCENT_WIDGET} readonly="1" nolabel="1" class="oe_inline"'
    element = f'<field name="{probability}" {attributes}/>'
    if "low" in names and "high" in names:
        low, high = (f'<field name="{names[end]}" {attributes}/>' for end in ("low", "high"))
        element += f'<span class="ms-2 text-muted">{low} to {high}</span>'
    visibility = f'invisible="not {probability}"'
    heading = f'<label for="{probability}" string="Probability" {visibility}/>'
    return f"{heading}<div {visibility}>{element}</div>"


def _build_elements(names: Names, field_names: tuple[str, ...]) -> str:
    """Build the elements of the fields that are mapped."""
    elements = ""
    for field_name in field_names:
        if field_name in names:
            odoo_name = names[field_name]
            label = format_label(FIELD_PREFIX + field_name.removeprefix("expansion_"))
            widget = f" {_PERCENT_WIDGET}" if field_name in _SHARES else ""
            elements += (
                f'<field name="{odoo_name}" string="{label}" readonly="1"{widget}'
                f' invisible="not {odoo_name}"/>'
            )
    return elements
