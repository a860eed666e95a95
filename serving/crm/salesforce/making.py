"""What a record needs once, when it is made; from then on it is a human's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, TypeAlias

from serving.crm.salesforce import soql
from serving.crm.salesforce.client import Client
from serving.crm.salesforce.names import record_id
from serving.crm.salesforce.owners import Owners
from serving.crm.salesforce.reading import Reader
from serving.crm.target import Change, Denied, Ref, Refused

__all__ = ["Maker", "Making"]

Base: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Making:
    """How the settings say that records are made.

    Attributes
    ----------
    stage : str
        Of an opportunity.
    type, record_type : str or None
        Of an opportunity.
    close_days : int
        After so many days an opportunity is set to close, where no date is expected.
    status, priority : str
        Of a task.
    accounts : bool
        Whether an account that no record matches gets one.
    """

    stage: str = "Prospecting"
    type: str | None = "Expansion"
    record_type: str | None = None
    close_days: int = 60
    status: str = "Not Started"
    priority: str = "Normal"
    accounts: bool = False


@dataclass
class Maker:
    """Says of each change what its record needs beside our fields; ``today`` is in UTC."""

    client: Client
    reader: Reader
    owners: Owners
    making: Making
    today: Callable[[], date]

    def bases(self, changes: Sequence[Change]) -> list[Base | Refused]:
        """Give the first fields of each record, or why there will be none."""
        kind = changes[0].ref.kind
        if kind == "account":
            return [self._account(change.ref) for change in changes]
        accounts = [record_id("account", change.ref.account_crm_id) for change in changes]
        owners = self.owners.of([account for account in accounts if account])
        make = self._opportunity if kind == "opportunity" else self._task
        return [
            Refused("its account has no record in Salesforce yet")
            if account is None
            else {**make(change, account), **_owner(owners[account])}
            for change, account in zip(changes, accounts, strict=True)
        ]

    def _account(self, ref: Ref) -> Base | Refused:
        if several := self.reader.several.get(ref.key):
            return Refused(
                f"{len(several)} accounts have {self.reader.match} = {ref.key}"
                f" ({', '.join(several[:3])}); clear it in all but one, or merge them"
            )
        if not self.making.accounts:
            return Refused(
                f"no account has {self.reader.match} = {ref.key}; set it there, name the record's"
                " id in accounts.crm_id, or let accounts be made: crm.salesforce.make_accounts"
            )
        return {"Name": ref.key, self.reader.match: ref.key}

    def _opportunity(self, change: Change, account: str) -> Base:
        record_type = {"RecordTypeId": self._record_type} if self.making.record_type else {}
        kind = {"Type": self.making.type} if self.making.type else {}
        return {
            "AccountId": account,
            "StageName": self.making.stage,
            "CloseDate": self._close_date(change),
            **record_type,
            **kind,
        }

    def _task(self, change: Change, account: str) -> Base:
        return {
            "WhatId": record_id("opportunity", change.ref.opportunity_crm_id) or account,
            "Status": self.making.status,
            "Priority": self.making.priority,
        }

    def _close_date(self, change: Change) -> str:
        """Salesforce wants a day: the expected one, or a guess that a human will mend."""
        usual = str(self.today() + timedelta(days=self.making.close_days))
        expected = change.fields.get("expected_close_date") or usual
        return max(str(expected), str(self.today()))

    @cached_property
    def _record_type(self) -> str:
        name = self.making.record_type or ""
        of_opportunities = soql.equals("SobjectType", "Opportunity")
        named = soql.equals("DeveloperName", name)
        found = self.client.query(
            soql.select(["Id"], "RecordType", of_opportunities, "IsActive = true", named)
        )
        if not found:
            raise Denied(
                f"Salesforce has no active record type {name!r} of opportunities that we may use;"
                " make it, or mend crm.salesforce.record_type"
            )
        return str(found[0]["Id"])


def _owner(user: str | None) -> Base:
    return {"OwnerId": user} if user else {}
