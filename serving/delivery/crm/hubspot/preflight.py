"""Preflight checks: access token, properties, pipeline, rate limits, companies and owners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from serving.delivery.crm.base import (
    AccessDeniedError,
    BatchRejectedError,
    Kind,
    ObjectRef,
    PreflightCheck,
    RateLimit,
)
from serving.delivery.crm.hubspot import batch_api, owners, pipeline, provision
from serving.delivery.crm.hubspot.client import HubSpotClient
from serving.delivery.crm.hubspot.field_mapping import OBJECT_TYPES, PROPERTIES
from serving.delivery.crm.hubspot.pipeline import StageMapping

__all__ = ["PROVISION_SCOPES", "SCOPES", "run_preflight"]

# Required by the weekly run; tasks use the contacts scopes.
SCOPES: Final = (
    "crm.objects.companies.read",
    "crm.objects.companies.write",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.deals.read",
    "crm.objects.deals.write",
    "crm.objects.owners.read",
    "crm.schemas.companies.read",
    "crm.schemas.contacts.read",
    "crm.schemas.deals.read",
)
# Also required for provisioning, once.
PROVISION_SCOPES: Final = (
    "crm.schemas.companies.write",
    "crm.schemas.contacts.write",
    "crm.schemas.deals.write",
)
_MAX_EXAMPLES: Final = 5
_CSM_PROPERTY: Final = PROPERTIES["account"]["csm"].name


def run_preflight(
    client: HubSpotClient,
    accounts: Sequence[ObjectRef],
    stages: StageMapping,
    account_property: str,
    rate_limit: RateLimit,
) -> Iterator[PreflightCheck]:
    """Yield one check per subject, without writing; subjects that cannot be read are skipped."""
    yield _check_token(client)
    existing_properties: dict[Kind, Mapping[str, Mapping[str, Any]]] = {}
    for kind, object_type in OBJECT_TYPES.items():
        try:
            existing_properties[kind] = provision.fetch_properties(client, object_type)
        except AccessDeniedError as error:
            yield PreflightCheck(f"properties of {object_type}", passed=False, message=str(error))
            continue
        yield _check_properties(kind, existing_properties[kind], account_property)
    yield _check_pipeline(client, stages)
    yield _check_rate_limits(client, len(accounts), rate_limit)
    if "account" in existing_properties:
        yield from _check_companies(
            client, accounts, existing_properties["account"], account_property
        )


def _check_token(client: HubSpotClient) -> PreflightCheck:
    try:
        token_info = client.get_token_info()
    except AccessDeniedError as error:
        return PreflightCheck("access token", passed=False, message=str(error))
    except BatchRejectedError as error:
        message = f"HubSpot does not report the token's scopes ({error}); see the checks below"
        return PreflightCheck("access token", passed=True, message=message)
    scopes = set(token_info.get("scopes") or [])
    missing = tuple(scope for scope in SCOPES if scope not in scopes)
    portal = f"portal {token_info.get('hubId', '?')}"
    if missing:
        return PreflightCheck(
            "access token",
            passed=False,
            message=f"{portal}: scopes are missing; add them to the token",
            examples=missing,
        )
    removable = tuple(scope for scope in PROVISION_SCOPES if scope in scopes)
    hint = "; after setup, the scopes below can be removed" if removable else ""
    return PreflightCheck(
        "access token",
        passed=True,
        message=f"{portal}: valid, with all required scopes{hint}",
        examples=removable,
    )


def _check_properties(
    kind: Kind, existing: Mapping[str, Mapping[str, Any]], account_property: str
) -> PreflightCheck:
    object_type = OBJECT_TYPES[kind]
    missing, conflicts = provision.diff_properties(
        object_type, provision.build_property_definitions(kind, account_property), existing
    )
    if conflicts:
        details = "; ".join(f"{conflict.name} {conflict.problem}" for conflict in conflicts)
        return PreflightCheck(f"properties of {object_type}", passed=False, message=details)
    if missing:
        names = tuple(definition["name"] for definition in missing)
        message = f"{len(names)} are missing; run: expansion crm setup"
        return PreflightCheck(
            f"properties of {object_type}", passed=False, message=message, examples=names[:5]
        )
    return PreflightCheck(
        f"properties of {object_type}", passed=True, message="all present, with the right types"
    )


def _check_pipeline(client: HubSpotClient, stages: StageMapping) -> PreflightCheck:
    try:
        pipeline.resolve_pipeline(
            client.request(client.pipelines.get_all, "deals")["results"], stages
        )
    except AccessDeniedError as error:
        return PreflightCheck("pipeline", passed=False, message=str(error))
    return PreflightCheck("pipeline", passed=True, message=f"{stages.pipeline!r} has all stages")


def _check_rate_limits(
    client: HubSpotClient, account_count: int, rate_limit: RateLimit
) -> PreflightCheck:
    headers = client.rate_limit_headers
    max_calls, daily_remaining = (
        headers.get("x-hubspot-ratelimit-max"),
        headers.get("x-hubspot-ratelimit-daily-remaining"),
    )
    # One read and one write per account, doubled for deals and tasks.
    needed = 4 * (-(-account_count // batch_api.BATCH_SIZE))
    if (
        max_calls is not None
        and rate_limit.max_calls is not None
        and int(max_calls) < rate_limit.max_calls
    ):
        message = f"HubSpot allows {max_calls} calls per 10 s, fewer than crm.hubspot.plan"
        return PreflightCheck("rate limits", passed=False, message=message)
    if daily_remaining is not None and int(daily_remaining) < needed:
        message = f"{daily_remaining} calls are left today; a run needs about {needed:,}"
        return PreflightCheck("rate limits", passed=False, message=message)
    daily_note = f"; {int(daily_remaining):,} calls are left today" if daily_remaining else ""
    return PreflightCheck(
        "rate limits", passed=True, message=f"a run needs about {needed:,} calls{daily_note}"
    )


def _check_companies(
    client: HubSpotClient,
    accounts: Sequence[ObjectRef],
    existing: Mapping[str, Mapping[str, Any]],
    account_property: str,
) -> Iterator[PreflightCheck]:
    readable = [name for name in (_CSM_PROPERTY,) if name in existing]
    company_ids = [ref.crm_id for ref in accounts if ref.crm_id and ref.crm_id.isdecimal()]
    companies_by_id = batch_api.read_records(client, OBJECT_TYPES["account"], company_ids, readable)
    keys = [ref.key for ref in accounts if ref.crm_id not in companies_by_id]
    has_unique_key = existing.get(account_property, {}).get("hasUniqueValue")
    companies_by_key = (
        batch_api.read_records(
            client, OBJECT_TYPES["account"], keys, readable, id_property=account_property
        )
        if has_unique_key
        else {}
    )
    unmatched = sorted(key for key in keys if key not in companies_by_key)
    message = f"{len(accounts) - len(unmatched):,} of {len(accounts):,} accounts have a company"
    if unmatched and not has_unique_key:
        message += f"; {account_property} is missing or not unique: run expansion crm setup"
    elif unmatched:
        message += f"; the others are not written: set {account_property} or accounts.crm_id"
    yield PreflightCheck("companies", not unmatched, message, tuple(unmatched[:_MAX_EXAMPLES]))
    yield _check_owners(client, [*companies_by_id.values(), *companies_by_key.values()])


def _check_owners(client: HubSpotClient, companies: Sequence[batch_api.Record]) -> PreflightCheck:
    try:
        owner_ids = owners.fetch_owners(client)
    except AccessDeniedError as error:
        return PreflightCheck("owners", passed=False, message=str(error))
    csms = {
        str(name) for company in companies if (name := company["properties"].get(_CSM_PROPERTY))
    }
    missing = tuple(sorted(csm for csm in csms if owners.find_owner(owner_ids, csm) is None))
    if missing:
        message = (
            f"{len(missing)} of {len(csms)} CSMs match no HubSpot owner by e-mail or name: their"
            " deals and tasks have no owner"
        )
        return PreflightCheck(
            "owners", passed=False, message=message, examples=missing[:_MAX_EXAMPLES]
        )
    return PreflightCheck("owners", passed=True, message=f"all {len(csms)} CSMs match an owner")
