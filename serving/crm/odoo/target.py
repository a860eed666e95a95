"""Odoo as a target: partners carry the line, opportunities and activities what is to be done.

Values of what exists are set by ``web_save_multi``, all rows of a call in one transaction, as
Odoo's own pages do it: ten times as fast as ``load``, and in JSON's types. What does not exist yet
is made by ``load`` under an external id, which Odoo's database keeps unique: asked twice, or by two
at once, it is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import cached_property
from typing import Any, Final

from serving.crm.odoo import checkup, setup, work
from serving.crm.odoo.client import Client
from serving.crm.odoo.names import ACCOUNT, KEY, MODELS, Names, external_id
from serving.crm.odoo.reading import Reader, number
from serving.crm.target import (
    Accepted,
    Answer,
    BatchRefused,
    Change,
    Denied,
    Fields,
    Finding,
    Found,
    Kind,
    Pace,
    Ref,
    Refused,
    Value,
    Worked,
)

__all__ = ["Odoo"]

# No mail to whoever a task is for, nor does our user follow all it makes: the list is weekly.
_QUIET: Final = {"mail_create_nosubscribe": True, "mail_activity_quick_update": True}


class Odoo:
    """Odoo 19 or later behind its JSON-2 API.

    ``make_partners`` lets an account that no partner matches get one.
    """

    name = "odoo"

    def __init__(
        self,
        client: Client,
        names: Names,
        *,
        match: str = "ref",
        team: str = "Expansion",
        tag: str = "Expansion",
        activity: str = "Expansion",
        make_partners: bool = False,
        pace: Pace = Pace(),  # noqa: B008 - frozen
    ) -> None:
        self._client, self._names, self._pace = client, names, pace
        self._reader = Reader(client, names, match, team, tag)
        self._match, self._team, self._tag, self._activity = match, team, tag, activity
        self._make_partners = make_partners

    def __repr__(self) -> str:
        return f"Odoo({self._client!r})"

    @property
    def pace(self) -> Pace:
        """As the settings say."""
        return self._pace

    def shape(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as Odoo gives them back: 0 and false are what it has for nothing."""
        return self._names.shape(kind, fields)

    def read(self, refs: Sequence[Ref]) -> list[Found | None]:
        """Give what stands in Odoo, archived or not; see :mod:`serving.crm.odoo.reading`."""
        if not refs:
            return []
        if refs[0].kind == "account":
            return self._reader.accounts(refs)
        return self._reader.keyed(refs[0].kind, refs)

    def write(self, changes: Sequence[Change]) -> list[Answer]:
        """Make what is not there, then set the fields of the others, each in one call."""
        new = [change for change in changes if change.ref.crm_id is None]
        old = [change for change in changes if change.ref.crm_id is not None]
        made = iter(self._make(new) if new else [])
        # What was made cannot be taken back, so that a refusal is then each row's own.
        put = iter(self._set_each(old) if new and old else self._set(old))
        return [next(made if change.ref.crm_id is None else put) for change in changes]

    def check(self, accounts: Sequence[Ref]) -> list[Finding]:
        """Look at the key, permissions, modules, fields, the team, and the accounts' partners."""
        return checkup.look(self._client, self._reader, accounts, activity=self._activity)

    def setup(self) -> list[str]:
        """Make fields, views, the team, the tag and the type of activity; needs an admin's key."""
        return setup.make(
            self._client,
            self._names,
            team=self._team,
            tag=self._tag,
            activity=self._activity,
        )

    def worked(self, since: date) -> list[Worked]:
        """Tell of activities done, and of opportunities moved, won or lost, from a day on, UTC."""
        return work.done(self._client, since)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _set(self, changes: Sequence[Change]) -> list[Answer]:
        """Set fields of records that exist."""
        known = [change for change in changes if number(change.ref.crm_id) is not None]
        if known:
            ids = [int(change.ref.crm_id or 0) for change in known]
            rows = [self._values(change) for change in known]
            self._client.save(MODELS[known[0].ref.kind], ids, rows)
        return [_told(change.ref) for change in changes]

    def _set_each(self, changes: Sequence[Change]) -> list[Answer]:
        try:
            return self._set(changes)
        except BatchRefused:
            return [_one(self._set, change) for change in changes]

    def _make(self, changes: Sequence[Change]) -> list[Answer]:
        make: dict[Kind, Callable[[Sequence[Change]], list[Answer]]] = {
            "account": self._make_accounts,
            "opportunity": self._make_opportunities,
            "task": self._make_tasks,
        }
        return make[changes[0].ref.kind](changes)

    def _make_accounts(self, changes: Sequence[Change]) -> list[Answer]:
        matched = self._reader.matches([change.ref.account_id for change in changes])
        rows = {
            change.ref.key: {
                "is_company": "1",
                "name": change.ref.account_id,
                self._match: change.ref.account_id,
            }
            for change in changes
            if self._make_partners and change.ref.account_id not in matched
        }
        ids = self._load("account", [change for change in changes if change.ref.key in rows], rows)
        return [
            Accepted(ids[change.ref.key])
            if change.ref.key in ids
            else Refused(_unmatched(self._match, change.ref, matched))
            for change in changes
        ]

    def _make_opportunities(self, changes: Sequence[Change]) -> list[Answer]:
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
        return self._made("opportunity", changes, rows, "its account has no partner in Odoo yet")

    def _make_tasks(self, changes: Sequence[Change]) -> list[Answer]:
        leads = _parents(changes, lambda ref: ref.opportunity_crm_id)
        partners = _parents(changes, lambda ref: ref.account_crm_id)
        owners = {
            "crm.lead": self._owners("crm.lead", list(leads.values())),
            "res.partner": self._owners("res.partner", list(partners.values())),
        }
        rows = {}
        for key in {**partners, **leads}:
            on = ("crm.lead", leads[key]) if key in leads else ("res.partner", partners[key])
            owner = owners[on[0]].get(on[1]) or owners["res.partner"].get(partners.get(key, 0), "")
            rows[key] = {
                "res_model_id/id": _MODEL_IDS[on[0]],
                "res_id": str(on[1]),
                "user_id/.id": owner,
                "activity_type_id/.id": str(self._activity_id),
            }
        return self._made("task", changes, rows, "its account has no partner in Odoo yet")

    def _made(
        self, kind: Kind, changes: Sequence[Change], rows: dict[str, dict[str, str]], else_: str
    ) -> list[Answer]:
        ids = self._load(kind, [change for change in changes if change.ref.key in rows], rows)
        return [
            Accepted(ids[change.ref.key]) if change.ref.key in ids else Refused(else_)
            for change in changes
        ]

    def _load(
        self, kind: Kind, changes: Sequence[Change], rows: dict[str, dict[str, str]]
    ) -> dict[str, str]:
        """Make records; their ids by key."""
        if not changes:
            return {}
        data = [
            {
                "id": external_id(kind, change.ref.key),
                **rows[change.ref.key],
                **_keys(change.ref),
                **self._names.cells(kind, change.fields),
            }
            for change in changes
        ]
        ids = self._client.load(MODELS[kind], data, dict(_QUIET))
        return {change.ref.key: str(made) for change, made in zip(changes, ids, strict=True)}

    def _values(self, change: Change) -> dict[str, Any]:
        return {**_keys(change.ref), **self._names.values(change.ref.kind, change.fields)}

    def _owners(self, model: str, ids: Sequence[int]) -> dict[int, str]:
        """Whoever looks after a record, as the id of a user; nobody where nobody does."""
        if not ids:
            return {}
        read = self._client.call(model, "read", ids=sorted(set(ids)), fields=["user_id"])
        return {item["id"]: str(item["user_id"][0]) for item in read if item["user_id"]}

    @cached_property
    def _team_id(self) -> int:
        return self._called("crm.team", self._team)

    @cached_property
    def _activity_id(self) -> int:
        return self._called("mail.activity.type", self._activity)

    def _called(self, model: str, name: str) -> int:
        found = self._client.call(model, "search", domain=[["name", "=", name]], limit=1)
        if not found:
            raise Denied(f"Odoo has no {model} called {name!r}: run expansion crm setup")
        return int(found[0])


# The external ids of Odoo's models, which it makes for every one.
_MODEL_IDS: Final = {"crm.lead": "crm.model_crm_lead", "res.partner": "base.model_res_partner"}


def _keys(ref: Ref) -> dict[str, str]:
    return {} if ref.kind == "account" else {KEY: ref.key, ACCOUNT: ref.account_id}


def _parents(changes: Sequence[Change], of: Callable[[Ref], str | None]) -> dict[str, int]:
    """What each change hangs on, by its key."""
    pairs = ((change.ref.key, number(of(change.ref))) for change in changes)
    return {key: parent for key, parent in pairs if parent is not None}


def _told(ref: Ref) -> Answer:
    if number(ref.crm_id) is None:
        return Refused(f"Odoo's ids are whole numbers, found {ref.crm_id!r}; mend accounts.crm_id")
    return Accepted(str(ref.crm_id))


def _one(put: Callable[[Sequence[Change]], list[Answer]], change: Change) -> Answer:
    try:
        return put([change])[0]
    except BatchRefused as refusal:
        return Refused(str(refusal))


def _unmatched(match: str, ref: Ref, matched: dict[str, list[int]]) -> str:
    if several := matched.get(ref.account_id):
        ids = ", ".join(map(str, several[:3]))
        return f"several partners have {match} = {ref.account_id} (ids {ids}); clear all but one"
    return (
        f"no partner has {match} = {ref.account_id}; set it there, name the partner's id in"
        " accounts.crm_id, or let partners be made with crm.odoo.make_partners"
    )
