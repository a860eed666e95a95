"""Making what does not stand in Odoo yet: partners, opportunities, activities.

By ``load`` under an external id, which Odoo's database keeps unique: asked twice, or by two at
once, it is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from serving.crm.odoo.client import Client
from serving.crm.odoo.names import ACCOUNT, KEY, MODELS, Names, external_id
from serving.crm.odoo.reading import Reader, number
from serving.crm.target import Accepted, Answer, Change, Denied, Kind, Ref, Refused

__all__ = ["Maker", "keys"]

# No mail to whoever a task is for, nor does our user follow all it makes: the list is weekly.
_QUIET: Final = {"mail_create_nosubscribe": True, "mail_activity_quick_update": True}
# The external ids of Odoo's models, which it makes for every one.
_MODEL_IDS: Final = {"crm.lead": "crm.model_crm_lead", "res.partner": "base.model_res_partner"}
_NO_PARTNER: Final = Refused("its account has no partner in Odoo yet")
Row = dict[str, str]  # column -> text, as in a spreadsheet


@dataclass(frozen=True)
class Maker:
    """Makes records; ``activity`` is the name of our type of activity."""

    client: Client
    names: Names
    reader: Reader
    activity: str
    make_partners: bool

    def make(self, changes: Sequence[Change]) -> list[Answer]:
        """Make an object for each change, all of one kind; those that exist get the fields."""
        make: dict[Kind, Callable[[Sequence[Change]], list[Answer]]] = {
            "account": self._accounts,
            "opportunity": self._opportunities,
            "task": self._tasks,
        }
        return make[changes[0].ref.kind](changes)

    def _accounts(self, changes: Sequence[Change]) -> list[Answer]:
        match = self.reader.match
        matched = self.reader.matches([change.ref.account_id for change in changes])
        rows = {
            ref.key: {"is_company": "1", "name": ref.account_id, match: ref.account_id}
            for ref in (change.ref for change in changes)
            if self.make_partners and ref.account_id not in matched
        }
        return self._load(changes, rows, lambda ref: Refused(_unmatched(match, ref, matched)))

    def _opportunities(self, changes: Sequence[Change]) -> list[Answer]:
        at = _parents(changes, lambda ref: ref.account_crm_id)
        owners = self._owners("res.partner", list(at.values()))
        rows = {
            key: {
                "type": "opportunity",
                "partner_id/.id": str(partner),
                "team_id/.id": str(self._team_id),
                "user_id/.id": owners.get(partner, ""),
            }
            for key, partner in at.items()
        }
        return self._load(changes, rows, lambda _: _NO_PARTNER)

    def _tasks(self, changes: Sequence[Change]) -> list[Answer]:
        leads = _parents(changes, lambda ref: ref.opportunity_crm_id)
        partners = _parents(changes, lambda ref: ref.account_crm_id)
        of_lead = self._owners("crm.lead", list(leads.values()))
        of_partner = self._owners("res.partner", list(partners.values()))
        rows = {}
        for key in {**partners, **leads}:
            lead, partner = leads.get(key), partners.get(key)
            rows[key] = {
                "res_model_id/id": _MODEL_IDS["crm.lead" if lead else "res.partner"],
                "res_id": str(lead or partner),
                "user_id/.id": of_lead.get(lead) or of_partner.get(partner, ""),
                "activity_type_id/.id": str(self._activity_id),
            }
        return self._load(changes, rows, lambda _: _NO_PARTNER)

    def _load(
        self,
        changes: Sequence[Change],
        rows: Mapping[str, Row],
        refuse: Callable[[Ref], Refused],
    ) -> list[Answer]:
        """Make records of those changes that have a row to begin with; refuse the others."""
        able = [change for change in changes if change.ref.key in rows]
        ids = dict[str, str]()
        if able:
            data = [self._row(change, rows[change.ref.key]) for change in able]
            made = self.client.load(MODELS[able[0].ref.kind], data, dict(_QUIET))
            ids = {change.ref.key: str(new) for change, new in zip(able, made, strict=True)}
        return [
            Accepted(ids[ref.key]) if ref.key in ids else refuse(ref)
            for ref in (change.ref for change in changes)
        ]

    def _row(self, change: Change, beginning: Row) -> Row:
        ref = change.ref
        told = self.names.cells(ref.kind, change.fields)
        return {"id": external_id(ref.kind, ref.key), **beginning, **keys(ref), **told}

    def _owners(self, model: str, ids: Sequence[int]) -> dict[int | None, str]:
        """Whoever looks after a record, as the id of a user; nobody where nobody does."""
        if not ids:
            return {}
        read = self.client.call(model, "read", ids=sorted(set(ids)), fields=["user_id"])
        return {item["id"]: str(item["user_id"][0]) for item in read if item["user_id"]}

    @cached_property
    def _team_id(self) -> int:
        return self._called("crm.team", self.reader.team)

    @cached_property
    def _activity_id(self) -> int:
        return self._called("mail.activity.type", self.activity)

    def _called(self, model: str, name: str) -> int:
        found = self.client.call(model, "search", domain=[["name", "=", name]], limit=1)
        if not found:
            raise Denied(f"Odoo has no {model} called {name!r}: run expansion crm setup")
        return int(found[0])


def keys(ref: Ref) -> Row:
    """Give what an object is known by; an account goes by its partner."""
    return {} if ref.kind == "account" else {KEY: ref.key, ACCOUNT: ref.account_id}


def _parents(changes: Sequence[Change], of: Callable[[Ref], str | None]) -> dict[str, int]:
    """What each change hangs on, by its key."""
    pairs = ((change.ref.key, number(of(change.ref))) for change in changes)
    return {key: parent for key, parent in pairs if parent is not None}


def _unmatched(match: str, ref: Ref, matched: dict[str, list[int]]) -> str:
    if several := matched.get(ref.account_id):
        ids = ", ".join(map(str, several[:3]))
        return f"several partners have {match} = {ref.account_id} (ids {ids}); clear all but one"
    return (
        f"no partner has {match} = {ref.account_id}; set it there, name the partner's id in"
        " accounts.crm_id, or let partners be made with crm.odoo.make_partners"
    )
