"""Salesforce as a target: accounts carry the line, opportunities and tasks what is to be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from serving.crm.salesforce import checkup, package, work
from serving.crm.salesforce.client import Client
from serving.crm.salesforce.making import Maker, Making
from serving.crm.salesforce.names import KEYS, Names
from serving.crm.salesforce.owners import Owners
from serving.crm.salesforce.reading import Adoption, Reader
from serving.crm.salesforce.writing import Writer
from serving.crm.target import (
    Answer,
    Change,
    Fields,
    Finding,
    Found,
    Kind,
    Pace,
    Ref,
    Value,
    Worked,
)

__all__ = ["Salesforce"]


class Salesforce:
    """One org behind its REST API.

    Parameters
    ----------
    folder : pathlib.Path
        Where ``setup`` puts the package for the org's admin.
    match : str
        Account's field that holds our account ids.
    today : callable
        The day, UTC: from it an opportunity's first close date is counted.
    rows_per_call : int
        At most 200: so many records Salesforce takes in one call.
    """

    name = "salesforce"

    def __init__(
        self,
        client: Client,
        names: Names,
        *,
        folder: Path,
        today: Callable[[], date],
        match: str = KEYS["account"],
        making: Making = Making(),  # noqa: B008 - frozen
        rows_per_call: int = 200,
    ) -> None:
        self._client, self._names, self._making, self._folder = client, names, making, folder
        self._pace = Pace(rows_per_call)
        self._reader = Reader(client, names, match, Adoption(making.type, making.record_type))
        csm = names.columns["account"].get("csm")
        owners = Owners(client, csm.name if csm else None)
        maker = Maker(client, self._reader, owners, making, today)
        self._writer = Writer(client, names, self._reader, maker)

    def __repr__(self) -> str:
        return f"Salesforce({self._client!r})"

    @property
    def pace(self) -> Pace:
        """As many rows in a call as the settings say; Salesforce limits the day, not the second."""
        return self._pace

    def shape(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as Salesforce gives them back: see ``names``."""
        return self._names.shape(kind, fields)

    def read(self, refs: Sequence[Ref]) -> list[Found | None]:
        """Give what stands in Salesforce; see :mod:`serving.crm.salesforce.reading`."""
        return self._reader.found(refs) if refs else []

    def write(self, changes: Sequence[Change]) -> list[Answer]:
        """Set fields of what is there, and make what is not, each in one call."""
        return self._writer.write(changes) if changes else []

    def check(self, accounts: Sequence[Ref]) -> list[Finding]:
        """Look at the login, the day's requests, fields, stages, owners and the accounts."""
        return checkup.look(self._client, self._names, self._reader, self._making, accounts)

    def setup(self) -> list[str]:
        """Write the package of fields that an admin deploys, where any is missing."""
        if not checkup.missing(self._client, self._names):
            return []
        return package.write(self._folder, self._names, self._client.version, self._making)

    def worked(self, since: date) -> list[Worked]:
        """Tell of tasks done, and of opportunities moved, won or lost, from a day on, UTC."""
        return work.done(self._client, since)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
