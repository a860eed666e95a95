"""What a CSM sees in Odoo: the line on the account and the opportunity, and the list by rank.

Our fields are shown to be read. Whoever wants other pages inherits from ours, as from any of
Odoo's: a later setup replaces what stands in ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from serving.crm.odoo.client import Client
from serving.crm.odoo.names import PREFIX, Names
from serving.crm.target import Kind

__all__ = ["label", "make"]

_LABELS: Final = {
    "account_id": "Account id",
    "key": "Key",
    "as_of": "As of",
    "signal": "Expansion",
    "rank": "Place",
    "book_rank": "Place in the book",
    "this_week": "This week",
    "probability": "Chance",
    "low": "Chance, lower end",
    "high": "Chance, upper end",
    "band": "Band",
    "band_told": "In the past",
    "readiness_date": "Talk from",
    "expected_date": "Expected",
    "expected_early": "Expected, at the earliest",
    "expected_late": "Expected, at the latest",
    "probability_180d": "Chance in 180 days",
    "expected_arr": "Expected revenue a year",
    "churn_probability": "Chance to leave",
    "limit": "Runs into",
    "buyer": "Talk to",
    "ask": "Ask now",
    "signals": "Why",
    "holds_back": "But",
    "changed": "New",
    "seat_utilization": "Seats in use",
    "note": "Note",
    "state": "Pressure",
    "subject": "To do",
}
_SHARES: Final = (
    "probability",
    "low",
    "high",
    "probability_180d",
    "churn_probability",
    "seat_utilization",
)
_SHARE: Final = 'widget="percentage" digits="[16, 0]"'
# On the account: what to do, why, and the rest on a page of its own.
_DO: Final = ("band_told", "readiness_date", "limit", "motion", "buyer")
_WHY: Final = ("signals", "holds_back", "changed", "note")
_REST: Final = (
    ("rank", "book_rank", "this_week", "tier", "signal", "band"),
    ("expected_date", "expected_early", "expected_late", "probability_180d", "expected_arr"),
    ("churn_probability", "active_seats", "licensed_seats", "seat_utilization", "model", "as_of"),
)


@dataclass(frozen=True)
class _Thing:
    """A record of Odoo's own tables that goes by an external id."""

    about: str
    name: str
    model: str
    cells: Mapping[str, str]
    kept: Mapping[str, Any] = field(default_factory=dict)  # brought up to date by every setup


def label(theirs: str) -> str:
    """Say a field's name as a heading.

    Examples
    --------
    >>> label("x_expansion_readiness_date"), label("x_expansion_licensed_seats")
    ('Talk from', 'Licensed seats')
    """
    bare = theirs.removeprefix(PREFIX)
    return _LABELS.get(bare, bare.replace("_", " ").capitalize())


def make(client: Client, names: Names) -> Iterator[str]:
    """Make pages, the list and its menu where they are missing; mend ours where they differ."""
    things = [*_views(names), *_list(names)]
    known = _known(client)
    for thing in things:
        if thing.name not in known:
            (known[thing.name],) = client.load(
                thing.model, [{"id": f"expansion.{thing.name}", **thing.cells, **thing.kept}], {}
            )
            yield thing.about
        elif thing.kept:
            yield from _mend(client, thing, known[thing.name])
    menu, action = known["menu_list"], f"ir.actions.act_window,{known['action_list']}"
    if client.call("ir.ui.menu", "read", ids=[menu], fields=["action"])[0]["action"] != action:
        client.call("ir.ui.menu", "write", ids=[menu], vals={"action": action})


def _known(client: Client) -> dict[str, int]:
    found = client.call(
        "ir.model.data",
        "search_read",
        domain=[["module", "=", "expansion"], ["model", "like", "ir.%"]],
        fields=["name", "res_id"],
    )
    return {item["name"]: item["res_id"] for item in found}


def _mend(client: Client, thing: _Thing, identity: int) -> Iterator[str]:
    fields = list(thing.kept)
    (present,) = client.call(thing.model, "read", ids=[identity], fields=fields)
    if any(present[name] != value for name, value in thing.kept.items()):
        client.call(thing.model, "write", ids=[identity], vals=dict(thing.kept))
        yield f"{thing.about}, brought up to date"


def _views(names: Names) -> Iterator[_Thing]:
    yield _view("view_account", "account", "base.view_partner_form", _account(names))
    yield _view("view_opportunity", "opportunity", "crm.crm_lead_view_form", _opportunity(names))
    yield _view("view_account_search", "account", "base.view_res_partner_filter", _search(names))


def _view(name: str, kind: Kind, base: str, arch: str) -> _Thing:
    model = {"account": "res.partner", "opportunity": "crm.lead", "task": "mail.activity"}[kind]
    title = name.replace("_", " ")
    cells = {"name": f"expansion {title}", "model": model, "inherit_id/id": base}
    return _Thing(title, name, "ir.ui.view", cells, {"arch_base": arch})


def _list(names: Names) -> Iterator[_Thing]:
    rank = names.fields["account"].get("rank", "name")
    cells = {"name": "expansion list", "model": "res.partner", "priority": "99"}
    yield _Thing("view list", "view_list", "ir.ui.view", cells, {"arch_base": _columns(names)})
    yield _Thing(
        "list by place",
        "action_list",
        "ir.actions.act_window",
        {
            "name": "Expansion",
            "res_model": "res.partner",
            "view_mode": "list,form",
            "view_id/id": "expansion.view_list",
            "domain": f"[({rank!r}, '>', 0)]" if rank != "name" else "[]",
            "context": "{'search_default_expansion_this_week': 1}",
        },
    )
    menu = {"name": "Expansion", "parent_id/id": "crm.crm_menu_sales", "sequence": "2"}
    yield _Thing("menu of the list", "menu_list", "ir.ui.menu", menu)


def _account(names: Names) -> str:
    at = names.fields["account"]
    shown = f' invisible="not {at["as_of"]}"' if "as_of" in at else ""
    return (
        '<data><xpath expr="//notebook" position="before">'
        f'<group string="Expansion" name="expansion"{shown}>'
        f"<group>{_chance(names, 'account')}{_fields(names, 'account', _DO)}</group>"
        f"<group>{_fields(names, 'account', _WHY)}</group>"
        '</group></xpath><xpath expr="//notebook" position="inside">'
        f'<page string="Expansion" name="expansion_figures"{shown}><group>'
        + "".join(f"<group>{_fields(names, 'account', part)}</group>" for part in _REST)
        + "</group></page></xpath></data>"
    )


def _opportunity(names: Names) -> str:
    shown = f' invisible="not {PREFIX}key"'
    return (
        '<data><xpath expr="//notebook" position="before">'
        f'<field name="{PREFIX}key" invisible="1"/>'
        f'<group string="Expansion" name="expansion"{shown}>'
        f"<group>{_chance(names, 'opportunity')}{_fields(names, 'opportunity', _DO)}</group>"
        f"<group>{_fields(names, 'opportunity', ('signals', 'state'))}</group>"
        "</group></xpath></data>"
    )


def _search(names: Names) -> str:
    at = names.fields["account"]
    filters = ""
    for name, title, condition in (
        ("this_week", "Expansion: this week", "=', True"),
        ("tier", "Expansion: tier 1", "=', 1"),
    ):
        if name in at:
            domain = quoteattr(f"[('{at[name]}', '{condition})]")
            filters += f'<filter name="expansion_{name}" string="{title}" domain={domain}/>'
    mine = quoteattr("[('user_id', '=', uid)]")
    filters += f'<filter name="expansion_mine" string="Expansion: my accounts" domain={mine}/>'
    return f'<data><xpath expr="//search" position="inside"><separator/>{filters}</xpath></data>'


def _columns(names: Names) -> str:
    shown = ("rank", "probability", "readiness_date", "limit", "motion", "buyer", "signals")
    columns = {ours: _field(names, "account", ours) for ours in shown}
    columns["rank"] += '<field name="display_name" string="Account" width="130px"/>'
    rank = names.fields["account"].get("rank")
    order = f' default_order="{rank}"' if rank else ""
    return (
        f'<list string="Expansion" create="0"{order}>{"".join(columns.values())}'
        '<field name="user_id" string="Salesperson" widget="many2one_avatar_user"/></list>'
    )


def _chance(names: Names, kind: Kind) -> str:
    """The chance and its interval in one line: 68% (44% to 88%)."""
    at = names.fields[kind]
    if "probability" not in at:
        return ""
    shown = f'invisible="not {at["probability"]}"'
    chance = (
        f'<field name="{at["probability"]}" {_SHARE} readonly="1" nolabel="1" class="oe_inline"/>'
    )
    if "low" in at and "high" in at:
        low, high = (
            f'<field name="{at[end]}" {_SHARE} readonly="1" nolabel="1" class="oe_inline"/>'
            for end in ("low", "high")
        )
        chance += f'<span class="ms-2 text-muted">{low} to {high}</span>'
    heading = f'<label for="{at["probability"]}" string="{_LABELS["probability"]}" {shown}/>'
    return f"{heading}<div {shown}>{chance}</div>"


def _fields(names: Names, kind: Kind, which: tuple[str, ...]) -> str:
    return "".join(_field(names, kind, ours) for ours in which)


def _field(names: Names, kind: Kind, ours: str) -> str:
    theirs = names.fields[kind].get("expansion_signal" if ours == "signal" else ours)
    if theirs is None:
        return ""
    widget = f" {_SHARE}" if ours in _SHARES else ""
    return (
        f'<field name="{theirs}" string="{label(PREFIX + ours)}" readonly="1"{widget}'
        f' invisible="not {theirs}"/>'
    )
