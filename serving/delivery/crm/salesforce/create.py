"""Initial fields of new Salesforce records; afterwards humans maintain them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, TypeAlias

from serving.delivery.crm.base import AccessDeniedError, FieldChange, ObjectRef, Rejected
from serving.delivery.crm.salesforce import soql
from serving.delivery.crm.salesforce.client import SalesforceClient
from serving.delivery.crm.salesforce.field_mapping import normalize_record_id
from serving.delivery.crm.salesforce.owners import OwnerLookup
from serving.delivery.crm.salesforce.read import SalesforceReader

__all__ = ["CreateOptions", "SalesforceRecordFactory"]

InitialFields: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class CreateOptions:
    """Settings for new records.

    Attributes
    ----------
    stage : str
        Stage of an opportunity.
    type, record_type : str or None
        Type and record type of an opportunity.
    close_days : int
        Days until the close date of an opportunity without an expected date.
    status, priority : str
        Status and priority of a task.
    create_accounts : bool
        Whether to create an account that no record matches.
    """

    stage: str = "Prospecting"
    type: str | None = "Expansion"
    record_type: str | None = None
    close_days: int = 60
    status: str = "Not Started"
    priority: str = "Normal"
    create_accounts: bool = False


@dataclass
class SalesforceRecordFactory:
    """Builds the initial fields of new records; ``today`` is in UTC."""

    client: SalesforceClient
    reader: SalesforceReader
    owners: OwnerLookup
    options: CreateOptions
    today: Callable[[], date]

    def build_initial_fields(
        self, changes: Sequence[FieldChange]
    ) -> list[InitialFields | Rejected]:
        """Build the initial fields of each record, or its rejection."""
        kind = changes[0].ref.kind
        if kind == "account":
            return [self._build_account(change.ref) for change in changes]
        account_ids = [
            normalize_record_id("account", change.ref.account_crm_id) for change in changes
        ]
        owner_ids = self.owners.find_owners(
            [account_id for account_id in account_ids if account_id]
        )
        build = self._build_opportunity if kind == "opportunity" else self._build_task
        return [
            Rejected("the account has no record in Salesforce yet")
            if account_id is None
            else {**build(change, account_id), **_build_owner_field(owner_ids[account_id])}
            for change, account_id in zip(changes, account_ids, strict=True)
        ]

    def _build_account(self, ref: ObjectRef) -> InitialFields | Rejected:
        if ambiguous := self.reader.ambiguous.get(ref.key):
            return Rejected(
                f"{len(ambiguous)} accounts have {self.reader.match_field} = {ref.key}"
                f" ({', '.join(ambiguous[:3])}); clear it in all but one, or merge them"
            )
        if not self.options.create_accounts:
            return Rejected(
                f"no account has {self.reader.match_field} = {ref.key}; set it, set the record id"
                " in accounts.crm_id, or enable crm.salesforce.create_accounts"
            )
        return {"Name": ref.key, self.reader.match_field: ref.key}

    def _build_opportunity(self, change: FieldChange, account_id: str) -> InitialFields:
        record_type = {"RecordTypeId": self._record_type_id} if self.options.record_type else {}
        type_field = {"Type": self.options.type} if self.options.type else {}
        return {
            "AccountId": account_id,
            "StageName": self.options.stage,
            "CloseDate": self._choose_close_date(change),
            **record_type,
            **type_field,
        }

    def _build_task(self, change: FieldChange, account_id: str) -> InitialFields:
        return {
            "WhatId": normalize_record_id("opportunity", change.ref.opportunity_crm_id)
            or account_id,
            "Status": self.options.status,
            "Priority": self.options.priority,
        }

    def _choose_close_date(self, change: FieldChange) -> str:
        """Return the required close date: the expected one, or a default; never in the past."""
        default = str(self.today() + timedelta(days=self.options.close_days))
        expected = change.fields.get("expected_close_date") or default
        return max(str(expected), str(self.today()))

    @cached_property
    def _record_type_id(self) -> str:
        name = self.options.record_type or ""
        is_for_opportunities = soql.equals("SobjectType", "Opportunity")
        has_name = soql.equals("DeveloperName", name)
        records = self.client.query(
            soql.build_query(
                ["Id"], "RecordType", is_for_opportunities, "IsActive = true", has_name
            )
        )
        if not records:
            raise AccessDeniedError(
                f"Salesforce has no active record type {name!r} of opportunities that we may use;"
                " create it, or fix crm.salesforce.record_type"
            )
        return str(records[0]["Id"])


def _build_owner_field(user_id: str | None) -> InitialFields:
    return {"OwnerId": user_id} if user_id else {}
