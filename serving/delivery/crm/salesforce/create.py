"""Initial fields and owners of new Salesforce records; afterwards humans maintain them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Any, TypeAlias

from data.config.delivery import SalesforceConfig
from serving.delivery.crm.base import AccessDeniedError, FieldChange, ObjectRef, Rejected
from serving.delivery.crm.salesforce.client import (
    Record,
    SalesforceClient,
    build_query,
    equals,
    in_list,
)
from serving.delivery.crm.salesforce.field_mapping import normalize_record_id
from serving.delivery.crm.salesforce.read import SalesforceReader

__all__ = ["OwnerLookup", "SalesforceRecordFactory", "is_email", "query_users"]

InitialFields: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class OwnerLookup:
    """Looks up the user with the CSM's e-mail address, otherwise the account owner.

    Accounts are cached by record id, active users by lower-case e-mail address and user id.
    """

    client: SalesforceClient
    csm_field: str | None  # None uses the account owner only
    owner_by_account: dict[str, str | None] = field(default_factory=dict)
    user_ids_by_key: dict[str, list[str]] = field(default_factory=dict)

    def find_owners(self, account_ids: Sequence[str]) -> dict[str, str | None]:
        """Return account record id → user id; None without an active user.

        Salesforce then assigns the record to the integration user.
        """
        missing = sorted(set(account_ids) - self.owner_by_account.keys())
        if missing:
            fields = ["Id", "OwnerId", *([self.csm_field] if self.csm_field else [])]
            records = [r for r in self.client.retrieve("Account", missing, fields) if r is not None]
            self._load_users(records)
            self.owner_by_account.update(dict.fromkeys(missing))
            self.owner_by_account.update(
                {record["Id"]: self._select_owner(record) for record in records}
            )
        return {account_id: self.owner_by_account[account_id] for account_id in account_ids}

    def _select_owner(self, record: Record) -> str | None:
        for name in (self._read_csm_email(record), record["OwnerId"]):
            matches = self.user_ids_by_key.get(name or "", [])
            if len(matches) == 1:
                return matches[0]
        return None

    def _load_users(self, records: Sequence[Record]) -> None:
        """Query users that are not cached yet."""
        emails = {email for record in records if (email := self._read_csm_email(record))}
        ids = {record["OwnerId"] for record in records if record["OwnerId"]}
        emails, ids = emails - self.user_ids_by_key.keys(), ids - self.user_ids_by_key.keys()
        users = query_users(self.client, emails=sorted(emails), ids=sorted(ids))
        self.user_ids_by_key.update({name: [] for name in emails | ids})
        for user in users:
            for name in {str(user["Email"]).lower(), user["Id"]} & (emails | ids):
                self.user_ids_by_key[name].append(user["Id"])

    def _read_csm_email(self, record: Record) -> str | None:
        email = str(record.get(self.csm_field) or "").strip().lower() if self.csm_field else ""
        return email if is_email(email) else None


def query_users(
    client: SalesforceClient, *, emails: Sequence[str], ids: Sequence[str] = ()
) -> list[Record]:
    """Query active users by e-mail address or id, with ``Id`` and ``Email``."""
    conditions = [
        in_list(name, values) for name, values in (("Email", emails), ("Id", ids)) if values
    ]
    if not conditions:
        return []
    condition = f"({' OR '.join(conditions)})"
    return client.query(build_query(["Id", "Email"], "User", "IsActive = true", condition))


def is_email(text: str) -> bool:
    """Return whether a CSM is given as an e-mail address."""
    return "@" in text


@dataclass
class SalesforceRecordFactory:
    """Builds the initial fields of new records; ``today`` is in UTC."""

    client: SalesforceClient
    reader: SalesforceReader
    owners: OwnerLookup
    config: SalesforceConfig
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
        owner_ids = self.owners.find_owners([name for name in account_ids if name])
        build = self._build_opportunity if kind == "opportunity" else self._build_task
        results: list[InitialFields | Rejected] = []
        for change, account_id in zip(changes, account_ids, strict=True):
            if account_id is None:
                results.append(Rejected("the account has no record in Salesforce yet"))
                continue
            user_id = owner_ids[account_id]
            owner = {"OwnerId": user_id} if user_id else {}
            results.append({**build(change, account_id), **owner})
        return results

    def _build_account(self, ref: ObjectRef) -> InitialFields | Rejected:
        match_field = self.config.match
        if ambiguous := self.reader.ambiguous.get(ref.key):
            return Rejected(
                f"{len(ambiguous)} accounts have {match_field} = {ref.key}"
                f" ({', '.join(ambiguous[:3])}); clear it in all but one, or merge them"
            )
        if not self.config.create_accounts:
            return Rejected(
                f"no account has {match_field} = {ref.key}; set it, set the record id in"
                " accounts.crm_id, or enable crm.salesforce.create_accounts"
            )
        return {"Name": ref.key, match_field: ref.key}

    def _build_opportunity(self, change: FieldChange, account_id: str) -> InitialFields:
        record_type = {"RecordTypeId": self._record_type_id} if self.config.record_type else {}
        type_field = {"Type": self.config.type} if self.config.type else {}
        return {
            "AccountId": account_id,
            "StageName": self.config.stage,
            "CloseDate": self._choose_close_date(change),
            **record_type,
            **type_field,
        }

    def _build_task(self, change: FieldChange, account_id: str) -> InitialFields:
        opportunity_id = normalize_record_id("opportunity", change.ref.opportunity_crm_id)
        return {
            "WhatId": opportunity_id or account_id,
            "Status": self.config.task_status,
            "Priority": self.config.task_priority,
        }

    def _choose_close_date(self, change: FieldChange) -> str:
        """Return the required close date: the expected one, or a default; never in the past."""
        default = str(self.today() + timedelta(days=self.config.close_days))
        expected = change.fields.get("expected_close_date") or default
        return max(str(expected), str(self.today()))

    @cached_property
    def _record_type_id(self) -> str:
        name = self.config.record_type or ""
        conditions = (
            equals("SobjectType", "Opportunity"),
            "IsActive = true",
            equals("DeveloperName", name),
        )
        records = self.client.query(build_query(["Id"], "RecordType", *conditions))
        if not records:
            raise AccessDeniedError(
                f"Salesforce has no active record type {name!r} of opportunities that we may use;"
                " create it, or fix crm.salesforce.record_type"
            )
        return str(records[0]["Id"])
