"""Salesforce as a target: accounts carry the line, opportunities and tasks what is to be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from serving.delivery.crm.base import (
    FieldChange,
    Fields,
    HumanTouch,
    Kind,
    ObjectRef,
    PreflightCheck,
    RateLimit,
    RemoteObject,
    Value,
    WriteResult,
)
from serving.delivery.crm.salesforce import activity, preflight, provision
from serving.delivery.crm.salesforce.client import SalesforceClient
from serving.delivery.crm.salesforce.create import CreateOptions, SalesforceRecordFactory
from serving.delivery.crm.salesforce.field_mapping import KEY_FIELDS, SalesforceFieldMapping
from serving.delivery.crm.salesforce.owners import OwnerLookup
from serving.delivery.crm.salesforce.read import AdoptionFilter, SalesforceReader
from serving.delivery.crm.salesforce.write import SalesforceWriter

__all__ = ["SalesforceTarget"]


class SalesforceTarget:
    """One org behind its REST API.

    Parameters
    ----------
    folder : pathlib.Path
        Where ``provision`` puts the package for the org's admin.
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
        client: SalesforceClient,
        field_mapping: SalesforceFieldMapping,
        *,
        folder: Path,
        today: Callable[[], date],
        match_field: str = KEY_FIELDS["account"],
        create_options: CreateOptions = CreateOptions(),  # noqa: B008 - frozen
        rows_per_call: int = 200,
    ) -> None:
        self._client, self._field_mapping, self._create_options, self._folder = (
            client,
            field_mapping,
            create_options,
            folder,
        )
        self._rate_limit = RateLimit(rows_per_call)
        self._reader = SalesforceReader(
            client,
            field_mapping,
            match_field,
            AdoptionFilter(create_options.type, create_options.record_type),
        )
        csm_field = field_mapping.fields["account"].get("csm")
        owners = OwnerLookup(client, csm_field.name if csm_field else None)
        factory = SalesforceRecordFactory(client, self._reader, owners, create_options, today)
        self._writer = SalesforceWriter(client, field_mapping, self._reader, factory)

    def __repr__(self) -> str:
        return f"Salesforce({self._client!r})"

    @property
    def rate_limit(self) -> RateLimit:
        """As many rows in a call as the settings say; Salesforce limits the day, not the second."""
        return self._rate_limit

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as Salesforce gives them back: see ``names``."""
        return self._field_mapping.normalize(kind, fields)

    def read(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Give what stands in Salesforce; see :mod:`serving.delivery.crm.salesforce.read`."""
        return self._reader.read_objects(refs) if refs else []

    def write(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Set fields of what is there, and make what is not, each in one call."""
        return self._writer.write_changes(changes) if changes else []

    def preflight(self, accounts: Sequence[ObjectRef]) -> list[PreflightCheck]:
        """Look at the login, the day's requests, fields, stages, owners and the accounts."""
        return preflight.run_preflight(
            self._client, self._field_mapping, self._reader, self._create_options, accounts
        )

    def provision(self) -> list[str]:
        """Write the package of fields that an admin deploys, where any is missing."""
        if not preflight.find_missing_fields(self._client, self._field_mapping):
            return []
        return provision.write_package(
            self._folder, self._field_mapping, self._client.version, self._create_options
        )

    def fetch_human_touches(self, since: date) -> list[HumanTouch]:
        """Tell of tasks done, and of opportunities moved, won or lost, from a day on, UTC."""
        return activity.find_human_touches(self._client, since)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
