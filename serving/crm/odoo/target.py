"""Odoo as a target: partners carry the line, opportunities and activities what is to be done.

Values of what exists are set by ``web_save_multi``, all rows of a call in one transaction, as
Odoo's own pages do it: ten times as fast as ``load``, and in JSON's types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from serving.crm.odoo import checkup, setup, work
from serving.crm.odoo.client import Client
from serving.crm.odoo.making import Maker, keys
from serving.crm.odoo.names import MODELS, Names
from serving.crm.odoo.reading import Reader, number
from serving.crm.target import (
    Accepted,
    Answer,
    BatchRefused,
    Change,
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
        self._maker = Maker(client, names, self._reader, activity, make_partners)
        self._team, self._tag, self._activity = team, tag, activity

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
        made = iter(self._maker.make(new) if new else [])
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

    def _values(self, change: Change) -> dict[str, Any]:
        return {**keys(change.ref), **self._names.values(change.ref.kind, change.fields)}


def _told(ref: Ref) -> Answer:
    if number(ref.crm_id) is None:
        return Refused(f"Odoo's ids are whole numbers, found {ref.crm_id!r}; mend accounts.crm_id")
    return Accepted(str(ref.crm_id))


def _one(put: Callable[[Sequence[Change]], list[Answer]], change: Change) -> Answer:
    try:
        return put([change])[0]
    except BatchRefused as refusal:
        return Refused(str(refusal))
