"""HubSpot target: companies, deals and tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from typing import Final

from serving.delivery.crm.base import (
    AccessDeniedError,
    BatchRejectedError,
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
from serving.delivery.crm.hubspot import (
    activity,
    owners,
    pipeline,
    preflight,
    provision,
    read,
    write,
)
from serving.delivery.crm.hubspot.client import HubSpotClient
from serving.delivery.crm.hubspot.field_mapping import normalize_fields
from serving.delivery.crm.hubspot.pipeline import PipelineState, StageMapping

__all__ = ["HubSpotTarget"]


class HubSpotTarget:
    """Implementation of :class:`serving.delivery.crm.base.CrmTarget` for HubSpot.

    Parameters
    ----------
    client : serving.delivery.crm.hubspot.client.HubSpotClient
        API client.
    rate_limit : serving.delivery.crm.base.RateLimit
        Rows per call, and calls per time window.
    stages : serving.delivery.crm.hubspot.pipeline.StageMapping
        Pipeline, and the stage of each opportunity state.
    account_property : str
        Unique company property that holds the account id.
    create_companies : bool
        Whether to create a company for an account that matches none.
    """

    name: Final = "hubspot"

    def __init__(
        self,
        client: HubSpotClient,
        *,
        rate_limit: RateLimit,
        stages: StageMapping,
        account_property: str,
        create_companies: bool,
    ) -> None:
        self.rate_limit = rate_limit
        self._client = client
        self._stages = stages
        self._account_property = account_property
        self._create_companies = create_companies

    def __repr__(self) -> str:
        return f"HubSpotTarget({self._client!r}, pipeline {self._stages.pipeline!r})"

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Return values as HubSpot returns them; the company name is left to HubSpot."""
        normalized = normalize_fields(kind, fields)
        if kind == "account" and not self._create_companies:
            normalized.pop("name", None)
        return normalized

    def read(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Read records; opportunities include open deals that a human created for the company."""
        if not refs:
            return []
        with _convert_batch_rejection(), self._client.replay_responses(("read", tuple(refs))):
            if refs[0].kind == "account":
                return read.read_accounts(self._client, refs, self._account_property)
            if refs[0].kind == "task":
                return read.read_tasks(self._client, refs)
            return read.read_opportunities(self._client, refs, self._pipeline)

    def write(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Update records; new ones are upserted by key, associated and given an owner."""
        if not changes:
            return []
        client, kind = self._client, changes[0].ref.kind
        with client.replay_responses(("write", tuple(changes))):
            if kind == "account":
                return write.write_accounts(
                    client, changes, self._account_property, create_missing=self._create_companies
                )
            if kind == "task":
                return write.write_tasks(client, changes, self._get_owner_ids)
            return write.write_opportunities(client, changes, self._pipeline, self._get_owner_ids)

    def preflight(self, accounts: Sequence[ObjectRef]) -> list[PreflightCheck]:
        """Check token, properties, pipeline, rate limits, companies and owners, without writing."""
        with _convert_batch_rejection():
            id_property = self._account_property
            return list(
                preflight.run_preflight(
                    self._client, accounts, self._stages, id_property, self.rate_limit
                )
            )

    def provision(self) -> list[str]:
        """Create the property group, properties, unique keys and pipeline."""
        with _convert_batch_rejection():
            return provision.provision_portal(self._client, self._stages, self._account_property)

    def fetch_human_touches(self, since: date) -> list[HumanTouch]:
        """Return tasks that humans completed and deals that they moved, since a day."""
        with _convert_batch_rejection():
            touches = [
                *activity.find_completed_tasks(self._client, since),
                *activity.find_moved_deals(self._client, since, self._pipeline),
            ]
        return sorted(
            set(touches), key=lambda touch: (touch.account_id, touch.touched_on, touch.activity)
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @cached_property
    def _pipeline(self) -> PipelineState:
        pipelines = self._client.request(self._client.pipelines.get_all, "deals")["results"]
        return pipeline.resolve_pipeline(pipelines, self._stages)

    def _get_owner_ids(self) -> Mapping[str, str]:
        """Return HubSpot owner ids by e-mail address and name, fetched on first use."""
        return self._owner_ids

    @cached_property
    def _owner_ids(self) -> Mapping[str, str]:
        return owners.fetch_owners(self._client)


@contextmanager
def _convert_batch_rejection() -> Iterator[None]:
    """Convert a batch rejection to a denial, because a read has no rows to reject."""
    try:
        yield
    except BatchRejectedError as error:
        raise AccessDeniedError(f"HubSpot rejects the request: {error}") from None
