"""Owner lookup: the user with the CSM's e-mail address, otherwise the account owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serving.delivery.crm.salesforce import soql
from serving.delivery.crm.salesforce.client import Record, SalesforceClient

__all__ = ["OwnerLookup", "is_email", "query_users"]


@dataclass(frozen=True)
class OwnerLookup:
    """Looks up record owners, and caches accounts and users.

    Attributes
    ----------
    csm_field : str or None
        Account field that holds the CSM; None uses the account owner only.
    owner_by_account : dict
        Account record id → user id.
    user_ids_by_key : dict
        Lower-case e-mail address or user id → ids of matching active users.
    """

    client: SalesforceClient
    csm_field: str | None
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
        emails = {
            email for record in records if (email := self._read_csm_email(record))
        } - self.user_ids_by_key.keys()
        ids = {
            record["OwnerId"] for record in records if record["OwnerId"]
        } - self.user_ids_by_key.keys()
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
        soql.in_list(name, values) for name, values in (("Email", emails), ("Id", ids)) if values
    ]
    if not conditions:
        return []
    condition = f"({' OR '.join(conditions)})"
    return client.query(soql.build_query(["Id", "Email"], "User", "IsActive = true", condition))


def is_email(text: str) -> bool:
    """Return whether a CSM is given as an e-mail address."""
    return "@" in text
