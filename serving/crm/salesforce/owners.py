"""Who gets an opportunity or a task: the user with the CSM's e-mail, else the account's owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serving.crm.salesforce import soql
from serving.crm.salesforce.client import Client, Record

__all__ = ["Owners", "is_email", "users"]


@dataclass(frozen=True)
class Owners:
    """Looks up owners, each account once.

    Attributes
    ----------
    csm : str or None
        Account's field that holds its CSM; None: the account's owner is asked only.
    """

    client: Client
    csm: str | None
    known: dict[str, str | None] = field(default_factory=dict)

    def of(self, accounts: Sequence[str]) -> dict[str, str | None]:
        """Give account's id → user's id; None where no active user is to be found.

        A task of nobody's is given to the user that we log in as: that is Salesforce's own rule.
        """
        new = sorted(set(accounts) - self.known.keys())
        if new:
            fields = ["Id", "OwnerId", *([self.csm] if self.csm else [])]
            records = [r for r in self.client.retrieve("Account", new, fields) if r is not None]
            self.known.update(dict.fromkeys(new))
            self.known.update(self._owners(records))
        return {account: self.known[account] for account in accounts}

    def _owners(self, records: Sequence[Record]) -> dict[str, str | None]:
        emails = {record["Id"]: self._email(record) for record in records}
        found = users(
            self.client,
            emails=sorted({email for email in emails.values() if email}),
            ids=sorted({record["OwnerId"] for record in records if record["OwnerId"]}),
        )
        active = {user["Id"] for user in found}
        by_email: dict[str, list[str]] = {}
        for user in found:
            by_email.setdefault(str(user["Email"]).lower(), []).append(user["Id"])
        sole = {email: ids[0] for email, ids in by_email.items() if len(ids) == 1}
        return {
            record["Id"]: sole.get(emails[record["Id"]] or "")
            or (record["OwnerId"] if record["OwnerId"] in active else None)
            for record in records
        }

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
