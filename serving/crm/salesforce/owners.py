"""Who gets an opportunity or a task: the user with the CSM's e-mail, else the account's owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serving.crm.salesforce import soql
from serving.crm.salesforce.client import Client, Record

__all__ = ["Owners", "is_email", "users"]


@dataclass(frozen=True)
class Owners:
    """Looks up owners; each account, e-mail and user once.

    Attributes
    ----------
    csm : str or None
        Account's field that holds its CSM; None: the account's owner is asked only.
    known : dict
        Account's id → user's id.
    users : dict
        E-mail, in small letters, or user's id → ids of the active users who have it.
    """

    client: Client
    csm: str | None
    known: dict[str, str | None] = field(default_factory=dict)
    users: dict[str, list[str]] = field(default_factory=dict)

    def of(self, accounts: Sequence[str]) -> dict[str, str | None]:
        """Give account's id → user's id; None where no active user is to be found.

        A task of nobody's is given to the user that we log in as: that is Salesforce's own rule.
        """
        new = sorted(set(accounts) - self.known.keys())
        if new:
            fields = ["Id", "OwnerId", *([self.csm] if self.csm else [])]
            records = [r for r in self.client.retrieve("Account", new, fields) if r is not None]
            self._look_up(records)
            self.known.update(dict.fromkeys(new))
            self.known.update({record["Id"]: self._owner(record) for record in records})
        return {account: self.known[account] for account in accounts}

    def _owner(self, record: Record) -> str | None:
        for name in (self._email(record), record["OwnerId"]):
            found = self.users.get(name or "", [])
            if len(found) == 1:
                return found[0]
        return None

    def _look_up(self, records: Sequence[Record]) -> None:
        """Ask for the users that are not known yet."""
        emails = {email for record in records if (email := self._email(record))} - self.users.keys()
        ids = {record["OwnerId"] for record in records if record["OwnerId"]} - self.users.keys()
        found = users(self.client, emails=sorted(emails), ids=sorted(ids))
        self.users.update({name: [] for name in emails | ids})
        for user in found:
            for name in {str(user["Email"]).lower(), user["Id"]} & (emails | ids):
                self.users[name].append(user["Id"])

    def _email(self, record: Record) -> str | None:
        told = str(record.get(self.csm) or "").strip().lower() if self.csm else ""
        return told if is_email(told) else None


def users(client: Client, *, emails: Sequence[str], ids: Sequence[str] = ()) -> list[Record]:
    """Give the active users with these e-mails or ids: ``Id`` and ``Email``."""
    either = [soql.among(name, some) for name, some in (("Email", emails), ("Id", ids)) if some]
    if not either:
        return []
    fits = f"({' OR '.join(either)})"
    return client.query(soql.select(["Id", "Email"], "User", "IsActive = true", fits))


def is_email(text: str) -> bool:
    """Whether a CSM is named by an e-mail, by which a user can be found."""
    return "@" in text
