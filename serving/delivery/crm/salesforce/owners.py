"""Who gets an opportunity or a task: the user with the CSM's e-mail, else the account's owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serving.delivery.crm.salesforce import soql
from serving.delivery.crm.salesforce.client import Record, SalesforceClient

__all__ = ["OwnerLookup", "is_email", "query_users"]


@dataclass(frozen=True)
class OwnerLookup:
    """Looks up owners; each account, e-mail and user once.

    Attributes
    ----------
    csm_field : str or None
        Account's field that holds its CSM; None: the account's owner is asked only.
    owner_by_account : dict
        Account's id → user's id.
    user_ids : dict
        E-mail, in small letters, or user's id → ids of the active users who have it.
    """

    client: SalesforceClient
    csm_field: str | None
    owner_by_account: dict[str, str | None] = field(default_factory=dict)
    user_ids: dict[str, list[str]] = field(default_factory=dict)

    def find_owners(self, account_ids: Sequence[str]) -> dict[str, str | None]:
        """Give account's id → user's id; None where no active user is to be found.

        A task of nobody's is given to the user that we log in as: that is Salesforce's own rule.
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
        return {account: self.owner_by_account[account] for account in account_ids}

    def _select_owner(self, record: Record) -> str | None:
        for name in (self._read_csm_email(record), record["OwnerId"]):
            matches = self.user_ids.get(name or "", [])
            if len(matches) == 1:
                return matches[0]
        return None

    def _load_users(self, records: Sequence[Record]) -> None:
        """Ask for the users that are not known yet."""
        emails = {
            email for record in records if (email := self._read_csm_email(record))
        } - self.user_ids.keys()
        ids = {record["OwnerId"] for record in records if record["OwnerId"]} - self.user_ids.keys()
        users_found = query_users(self.client, emails=sorted(emails), ids=sorted(ids))
        self.user_ids.update({name: [] for name in emails | ids})
        for user in users_found:
            for name in {str(user["Email"]).lower(), user["Id"]} & (emails | ids):
                self.user_ids[name].append(user["Id"])

    def _read_csm_email(self, record: Record) -> str | None:
        email = str(record.get(self.csm_field) or "").strip().lower() if self.csm_field else ""
        return email if is_email(email) else None


def query_users(
    client: SalesforceClient, *, emails: Sequence[str], ids: Sequence[str] = ()
) -> list[Record]:
    """Give the active users with these e-mails or ids: ``Id`` and ``Email``."""
    conditions = [
        soql.in_list(name, some) for name, some in (("Email", emails), ("Id", ids)) if some
    ]
    if not conditions:
        return []
    is_match = f"({' OR '.join(conditions)})"
    return client.query(soql.build_query(["Id", "Email"], "User", "IsActive = true", is_match))


def is_email(text: str) -> bool:
    """Whether a CSM is named by an e-mail, by which a user can be found."""
    return "@" in text
