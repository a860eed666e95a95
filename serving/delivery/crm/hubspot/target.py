"""HubSpot as a target: companies, deals and tasks."""

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
    """HubSpot behind its API: a :class:`serving.delivery.crm.base.CrmTarget`.

    Parameters
    ----------
    door : serving.delivery.crm.hubspot.client.HubSpotClient
        To its API.
    rate_limit : serving.delivery.crm.base.RateLimit
        How fast it may be asked.
    stages : serving.delivery.crm.hubspot.pipeline.StageMapping
        Which stage of which pipeline stands for which state.
    account_property : str
        Unique property of companies that holds our account id.
    make_companies : bool
        Whether an account that no company matches gets one.
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
        return f"HubSpot({self._client!r}, pipeline {self._stages.pipeline!r})"

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as HubSpot gives them back; its own name of a company stays its own."""
        normalized = normalize_fields(kind, fields)
        if kind == "account" and not self._create_companies:
            normalized.pop("name", None)
        return normalized

    def read(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Give what stands there; for an opportunity, also what a human opened at the company."""
        if not refs:
            return []
        with _convert_batch_rejection(), self._client.replay_responses(("read", tuple(refs))):
            if refs[0].kind == "account":
                return read.read_accounts(self._client, refs, self._account_property)
            if refs[0].kind == "task":
                return read.read_tasks(self._client, refs)
            return read.read_opportunities(self._client, refs, self._pipeline)

    def write(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Set fields; what is new is made by its key, tied to its company, and given its owner."""
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
        """Look, without writing, at the key, properties, pipeline, limits, companies and owners."""
        with _convert_batch_rejection():
            id_property = self._account_property
            return list(
                preflight.run_preflight(
                    self._client, accounts, self._stages, id_property, self.rate_limit
                )
            )

    def provision(self) -> list[str]:
        """Make the property group, the properties, the unique keys and the pipeline."""
        with _convert_batch_rejection():
            return provision.provision_portal(self._client, self._stages, self._account_property)

    def fetch_human_touches(self, since: date) -> list[HumanTouch]:
        """Tell which tasks humans did, and which opportunities they moved."""
        with _convert_batch_rejection():
            touches = [
                *activity.find_completed_tasks(self._client, since),
                *activity.find_moved_deals(self._client, since, self._pipeline),
            ]
        return sorted(set(touches), key=lambda one: (one.account_id, one.touched_on, one.activity))

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    @cached_property
    def _pipeline(self) -> PipelineState:
        pipelines = self._client(self._client.pipelines.get_all, "deals")["results"]
        return pipeline.resolve_pipeline(pipelines, self._stages)

    def _get_owner_ids(self) -> Mapping[str, str]:
        """HubSpot's owners, by e-mail address and name; asked for where somebody is to own."""
        return self._owner_ids

    @cached_property
    def _owner_ids(self) -> Mapping[str, str]:
        return owners.fetch_owners(self._client)


@contextmanager
def _convert_batch_rejection() -> Iterator[None]:
    """Where nothing is written, a refusal is not about rows."""
    try:
        yield
    except BatchRejectedError as error:
        raise AccessDeniedError(f"HubSpot refuses what it is asked: {error}") from None
