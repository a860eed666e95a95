"""Odoo views: the list row on partner and opportunity forms, and the ranked list.

Our fields are read-only. To customize a view, inherit from it: provisioning overwrites ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from serving.delivery.crm.base import Kind
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import FIELD_PREFIX, OdooFieldMapping

__all__ = ["format_label", "provision_views"]

_LABELS: Final = {
    "account_id": "Account id",
    "key": "Key",
    "as_of": "As of",
    "signal": "Expansion",
    "rank": "Rank",
    "portfolio_rank": "Portfolio rank",
    "in_weekly_capacity": "This week",
    "probability": "Probability",
    "low": "Probability, lower bound",
    "high": "Probability, upper bound",
    "band": "Band",
    "band_track_record": "Band track record",
    "readiness_date": "Contact from",
    "expected_date": "Expected",
    "expected_early": "Expected, earliest",
    "expected_late": "Expected, latest",
    "probability_180d": "Probability in 180 days",
    "expected_arr": "Expected ARR",
    "churn_probability": "Churn probability",
    "limit": "Limit",
    "contact_role": "Contact role",
    "outreach_allowed": "Outreach allowed",
    "signals": "Reasons",
    "counter_reasons": "Counter-reasons",
    "changes": "Changes",
    "seat_utilization": "Seat utilization",
    "note": "Note",
    "state": "Episode state",
    "subject": "Task",
}
_PERCENT_FIELDS: Final = (
    "probability",
    "low",
    "high",
    "probability_180d",
    "churn_probability",
    "seat_utilization",
)
_PERCENT_WIDGET: Final = 'widget="percentage" digits="[16, 0]"'
# Partner form: action, reasons, and the details on a separate page.
_ACTION_FIELDS: Final = ("band_track_record", "readiness_date", "limit", "motion", "contact_role")
_REASON_FIELDS: Final = ("signals", "counter_reasons", "changes", "note")
_DETAIL_FIELDS: Final = (
    ("rank", "portfolio_rank", "in_weekly_capacity", "tier", "signal", "band"),
    ("expected_date", "expected_early", "expected_late", "probability_180d", "expected_arr"),
    ("churn_probability", "active_seats", "licensed_seats", "seat_utilization", "model", "as_of"),
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
    records = [*_build_views(field_mapping), *_build_list(field_mapping)]
    record_ids = _read_record_ids(client)
    for record in records:
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


def _read_record_ids(client: OdooClient) -> dict[str, int]:
    rows = client.call(
        "ir.model.data",
        "search_read",
        domain=[["module", "=", "expansion"], ["model", "like", "ir.%"]],
        fields=["name", "res_id"],
    )
    return {item["name"]: item["res_id"] for item in rows}


def _update_record(client: OdooClient, record: _ViewRecord, record_id: int) -> Iterator[str]:
    fields = list(record.managed_values)
    (current,) = client.call(record.model, "read", ids=[record_id], fields=fields)
    if any(current[name] != value for name, value in record.managed_values.items()):
        client.call(record.model, "write", ids=[record_id], vals=dict(record.managed_values))
        yield f"{record.subject}, updated"


def _build_views(field_mapping: OdooFieldMapping) -> Iterator[_ViewRecord]:
    yield _build_view(
        "view_account", "account", "base.view_partner_form", _build_account_arch(field_mapping)
    )
    yield _build_view(
        "view_opportunity",
        "opportunity",
        "crm.crm_lead_view_form",
        _build_opportunity_arch(field_mapping),
    )
    yield _build_view(
        "view_account_search",
        "account",
        "base.view_res_partner_filter",
        _build_search_arch(field_mapping),
    )


def _build_view(name: str, kind: Kind, inherited: str, arch: str) -> _ViewRecord:
    model = {"account": "res.partner", "opportunity": "crm.lead", "task": "mail.activity"}[kind]
    title = name.replace("_", " ")
    cells = {"name": f"expansion {title}", "model": model, "inherit_id/id": inherited}
    return _ViewRecord(title, name, "ir.ui.view", cells, {"arch_base": arch})


def _build_list(field_mapping: OdooFieldMapping) -> Iterator[_ViewRecord]:
    rank = field_mapping.fields["account"].get("rank", "name")
    cells = {"name": "expansion list", "model": "res.partner", "priority": "99"}
    yield _ViewRecord(
        "view list",
        "view_list",
        "ir.ui.view",
        cells,
        {"arch_base": _build_list_arch(field_mapping)},
    )
    yield _ViewRecord(
        "list by rank",
        "action_list",
        "ir.actions.act_window",
        {
            "name": "Expansion",
            "res_model": "res.partner",
            "view_mode": "list,form",
            "view_id/id": "expansion.view_list",
            "domain": f"[({rank!r}, '>', 0)]" if rank != "name" else "[]",
            "context": "{'search_default_expansion_in_weekly_capacity': 1}",
        },
    )
    menu = {"name": "Expansion", "parent_id/id": "crm.crm_menu_sales", "sequence": "2"}
    yield _ViewRecord("menu of the list", "menu_list", "ir.ui.menu", menu)


def _build_account_arch(field_mapping: OdooFieldMapping) -> str:
    fields = field_mapping.fields["account"]
    visibility = f' invisible="not {fields["as_of"]}"' if "as_of" in fields else ""
    return (
        '<data><xpath expr="//notebook" position="before">'
        f'<group string="Expansion" name="expansion"{visibility}>'
        f"<group>{_build_probability_element(field_mapping, 'account')}"
        f"{_build_field_elements(field_mapping, 'account', _ACTION_FIELDS)}</group>"
        f"<group>{_build_field_elements(field_mapping, 'account', _REASON_FIELDS)}</group>"
        '</group></xpath><xpath expr="//notebook" position="inside">'
        f'<page string="Expansion" name="expansion_details"{visibility}><group>'
        + "".join(
            f"<group>{_build_field_elements(field_mapping, 'account', part)}</group>"
            for part in _DETAIL_FIELDS
        )
        + "</group></page></xpath></data>"
    )


def _build_opportunity_arch(field_mapping: OdooFieldMapping) -> str:
    visibility = f' invisible="not {FIELD_PREFIX}key"'
    return (
        '<data><xpath expr="//notebook" position="before">'
        f'<field name="{FIELD_PREFIX}key" invisible="1"/>'
        f'<group string="Expansion" name="expansion"{visibility}>'
        f"<group>{_build_probability_element(field_mapping, 'opportunity')}"
        f"{_build_field_elements(field_mapping, 'opportunity', _ACTION_FIELDS)}</group><group>"
        f"{_build_field_elements(field_mapping, 'opportunity', ('signals', 'state'))}</group>"
        "</group></xpath></data>"
    )


def _build_search_arch(field_mapping: OdooFieldMapping) -> str:
    fields = field_mapping.fields["account"]
    filters = ""
    for name, title, condition in (
        ("in_weekly_capacity", "Expansion: this week", "=', True"),
        ("tier", "Expansion: tier 1", "=', 1"),
    ):
        if name in fields:
            domain = quoteattr(f"[('{fields[name]}', '{condition})]")
            filters += f'<filter name="expansion_{name}" string="{title}" domain={domain}/>'
    own_accounts = quoteattr("[('user_id', '=', uid)]")
    filters += (
        f'<filter name="expansion_mine" string="Expansion: my accounts" domain={own_accounts}/>'
    )
    return f'<data><xpath expr="//search" position="inside"><separator/>{filters}</xpath></data>'


def _build_list_arch(field_mapping: OdooFieldMapping) -> str:
    field_names = (
        "rank",
        "probability",
        "readiness_date",
        "limit",
        "motion",
        "contact_role",
        "signals",
    )
    columns = {name: _build_field_element(field_mapping, "account", name) for name in field_names}
    columns["rank"] += '<field name="display_name" string="Account" width="130px"/>'
    rank = field_mapping.fields["account"].get("rank")
    order = f' default_order="{rank}"' if rank else ""
    return (
        f'<list string="Expansion" create="0"{order}>{"".join(columns.values())}'
        '<field name="user_id" string="Salesperson" widget="many2one_avatar_user"/></list>'
    )


def _build_probability_element(field_mapping: OdooFieldMapping, kind: Kind) -> str:
    """Build one line with the probability and its interval, such as 68% (44% to 88%)."""
    fields = field_mapping.fields[kind]
    if "probability" not in fields:
        return ""
    visibility = f'invisible="not {fields["probability"]}"'
    attributes = f'{_PERCENT_WIDGET} readonly="1" nolabel="1" class="oe_inline"'
    element = f'<field name="{fields["probability"]}" {attributes}/>'
    if "low" in fields and "high" in fields:
        low, high = (f'<field name="{fields[end]}" {attributes}/>' for end in ("low", "high"))
        element += f'<span class="ms-2 text-muted">{low} to {high}</span>'
    heading = (
        f'<label for="{fields["probability"]}" string="{_LABELS["probability"]}" {visibility}/>'
    )
    return f"{heading}<div {visibility}>{element}</div>"


def _build_field_elements(
    field_mapping: OdooFieldMapping, kind: Kind, field_names: tuple[str, ...]
) -> str:
    return "".join(_build_field_element(field_mapping, kind, name) for name in field_names)


def _build_field_element(field_mapping: OdooFieldMapping, kind: Kind, field_name: str) -> str:
    odoo_name = field_mapping.fields[kind].get(
        "expansion_signal" if field_name == "signal" else field_name
    )
    if odoo_name is None:
        return ""
    widget = f" {_PERCENT_WIDGET}" if field_name in _PERCENT_FIELDS else ""
    label = format_label(FIELD_PREFIX + field_name)
    return (
        f'<field name="{odoo_name}" string="{label}" readonly="1"{widget}'
        f' invisible="not {odoo_name}"/>'
    )
