"""HubSpot target: companies, deals and tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Final

from data.errors import SettingsError
from serving.delivery.crm import base
from serving.delivery.crm.hubspot import activity, preflight, provision, read, write
from serving.delivery.crm.hubspot.client import API_URL, TIMEOUT_SECONDS, HubSpotClient
from serving.delivery.crm.hubspot.field_mapping import (
    FIELD_MAPPING,
    PipelineState,
    resolve_pipeline,
)

if TYPE_CHECKING:
    from data.config.delivery import HubSpotConfig
    from data.config.settings import Settings

__all__ = ["HubSpotTarget", "create_target"]

# Calls per app in ten seconds, by plan.
_CALLS_PER_TEN_SECONDS: Final = {
    "free": 100,
    "starter": 100,
    "professional": 190,
    "enterprise": 190,
}


def create_target(
    settings: Settings, *, url: str = API_URL, timeout_seconds: float = TIMEOUT_SECONDS
) -> HubSpotTarget:
    """Create the HubSpot target from the ``[crm.hubspot]`` settings.

    Raises
    ------
    data.errors.SettingsError
        If the access token is not set.
    """
    config = settings.crm.hubspot
    if config.token is None:
        raise SettingsError(
            'crm.hubspot: expected a token; write token = "${HUBSPOT_TOKEN}" under [crm.hubspot],'
            " and export that variable."
        )
    client = HubSpotClient(
        config.token.get_secret_value(),
        url,
        rate_limit=base.RateLimit(100, _CALLS_PER_TEN_SECONDS[config.plan], window_seconds=10.0),
        timeout_seconds=timeout_seconds,
    )
    return HubSpotTarget(client, config)


class HubSpotTarget:
    """Implementation of :class:`serving.delivery.crm.base.CrmTarget` for HubSpot."""

    name: Final = "hubspot"

    def __init__(self, client: HubSpotClient, config: HubSpotConfig) -> None:
        self._client, self._config = client, config
        self.rate_limit = client.rate_limit

    def normalize(self, kind: base.Kind, fields: base.Fields) -> dict[str, base.Value]:
        """Return values as HubSpot returns them; the company name is left to HubSpot."""
        normalized = FIELD_MAPPING.normalize(kind, fields)
        if kind == "account" and not self._config.create_companies:
            normalized.pop("name", None)
        return normalized

    def read(self, refs: Sequence[base.ObjectRef]) -> list[base.RemoteObject | None]:
        """Read records; opportunities include open deals that a human created for the company."""
        client, kind = self._client, refs[0].kind
        with _convert_batch_rejection(), client.replay_responses(("read", tuple(refs))):
            if kind == "account":
                return read.read_accounts(client, refs, self._config.account_property)
            if kind == "task":
                return read.read_tasks(client, refs)
            return read.read_opportunities(client, refs, self._pipeline)

    def write(self, changes: Sequence[base.FieldChange]) -> list[base.WriteResult]:
        """Update records; new ones are upserted by key, associated and given an owner."""
        client, kind = self._client, changes[0].ref.kind
        with client.replay_responses(("write", tuple(changes))):
            if kind == "account":
                return write.write_accounts(client, changes, self._config)
            if kind == "task":
                return write.write_tasks(client, changes)
            return write.write_opportunities(client, changes, self._pipeline)

    def preflight(self, accounts: Sequence[base.ObjectRef]) -> list[base.PreflightCheck]:
        """Check token, properties, pipeline, rate limits, companies and owners, without writing."""
        with _convert_batch_rejection():
            return list(preflight.run_preflight(self._client, accounts, self._config))

    def provision(self) -> list[str]:
        """Create the property group, properties, unique keys and pipeline."""
        with _convert_batch_rejection():
            return provision.provision_portal(self._client, self._config)

    def fetch_human_touches(self, since: date) -> list[base.HumanTouch]:
        """Return tasks that humans completed and deals that they moved, since a day."""
        with _convert_batch_rejection():
            tasks = set(activity.find_completed_tasks(self._client, since))
            return sorted(
                tasks.union(activity.find_moved_deals(self._client, since, self._pipeline))
            )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @cached_property
    def _pipeline(self) -> PipelineState:
        pipelines = self._client.request(self._client.pipelines.get_all, "deals")["results"]
        return resolve_pipeline(pipelines, self._config)


@contextmanager
def _convert_batch_rejection() -> Iterator[None]:
    """Convert a batch rejection to a denial, because a read has no rows to reject."""
    try:
        yield
    except base.BatchRejectedError as error:
        raise base.AccessDeniedError(f"HubSpot rejects the request: {error}") from None
