"""Salesforce target: accounts hold the list row; opportunities and tasks hold the work."""

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
    """Implementation of the CRM target for one Salesforce org, over its REST API.

    Parameters
    ----------
    folder : pathlib.Path
        Folder for the metadata package that ``provision`` writes.
    match_field : str
        Account field that holds our account ids.
    today : callable
        Current UTC day, from which default close dates are counted.
    rows_per_call : int
        Records per call, at most 200 (sObject Collections).
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
        return f"SalesforceTarget({self._client!r})"

    @property
    def rate_limit(self) -> RateLimit:
        """Rows per call from the settings; Salesforce limits requests per day, not per second."""
        return self._rate_limit

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Return values as Salesforce returns them; see ``field_mapping``."""
        return self._field_mapping.normalize(kind, fields)

    def read(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Read records; see :mod:`serving.delivery.crm.salesforce.read`."""
        return self._reader.read_objects(refs) if refs else []

    def write(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Update existing records and create missing ones, one call each."""
        return self._writer.write_changes(changes) if changes else []

    def preflight(self, accounts: Sequence[ObjectRef]) -> list[PreflightCheck]:
        """Check login, daily requests, permissions, fields, picklists, accounts and owners."""
        return preflight.run_preflight(
            self._client, self._field_mapping, self._reader, self._create_options, accounts
        )

    def provision(self) -> list[str]:
        """Write the metadata package if fields are missing, for an administrator to deploy."""
        if not preflight.find_missing_fields(self._client, self._field_mapping):
            return []
        return provision.write_package(
            self._folder, self._field_mapping, self._client.version, self._create_options
        )

    def fetch_human_touches(self, since: date) -> list[HumanTouch]:
        """Return completed tasks and moved, won or lost opportunities, since a UTC day."""
        return activity.find_human_touches(self._client, since)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
