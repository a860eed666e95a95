"""Preflight checks: access token, properties, pipeline, rate limits, companies and owners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from data.config.delivery import HubSpotConfig
from serving.delivery.crm.base import (
    AccessDeniedError,
    BatchRejectedError,
    Kind,
    ObjectRef,
    PreflightCheck,
)
from serving.delivery.crm.hubspot.client import HubSpotClient, find_owner
from serving.delivery.crm.hubspot.field_mapping import OBJECT_TYPES, PROPERTIES, resolve_pipeline
from serving.delivery.crm.hubspot.provision import (
    build_property_definitions,
    diff_properties,
    fetch_properties,
)
from serving.delivery.crm.hubspot.records import BATCH_SIZE, Record, read_records

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
_CSM_PROPERTY: Final = PROPERTIES["account"]["csm"].name


def run_preflight(
    client: HubSpotClient, accounts: Sequence[ObjectRef], config: HubSpotConfig
) -> Iterator[PreflightCheck]:
    """Yield one check per subject, without writing; subjects that cannot be read are skipped."""
    yield _run_check("access token", lambda: _check_token(client))
    existing: dict[Kind, Mapping[str, Mapping[str, Any]]] = {}
    for kind, object_type in OBJECT_TYPES.items():
        try:
            existing[kind] = fetch_properties(client, object_type)
        except AccessDeniedError as error:
            yield PreflightCheck(f"properties of {object_type}", False, str(error))
            continue
        yield _check_properties(kind, existing[kind], config.account_property)
    yield _run_check("pipeline", lambda: _check_pipeline(client, config))
    yield _check_rate_limits(client, len(accounts))
    if "account" in existing:
        companies = _read_companies(client, accounts, existing["account"], config.account_property)
        yield _check_companies(accounts, companies, existing["account"], config.account_property)
        yield _run_check("owners", lambda: _check_owners(client, companies.values()))


def _run_check(subject: str, check: Callable[[], PreflightCheck]) -> PreflightCheck:
    """Run a check that fails if its request is denied."""
    try:
        return check()
    except AccessDeniedError as error:
        return PreflightCheck(subject, False, str(error))


def _check_token(client: HubSpotClient) -> PreflightCheck:
    subject = "access token"
    try:
        token_info = client.get_token_info()
    except BatchRejectedError as error:
        message = f"HubSpot does not report the token's scopes ({error}); see the checks below"
        return PreflightCheck(subject, True, message)
    scopes = set(token_info.get("scopes") or [])
    portal = f"portal {token_info.get('hubId', '?')}"
    if missing := tuple(scope for scope in SCOPES if scope not in scopes):
        message = f"{portal}: scopes are missing; add them to the token"
        return PreflightCheck(subject, False, message, missing)
    removable = tuple(scope for scope in PROVISION_SCOPES if scope in scopes)
    hint = "; after setup, the scopes below can be removed" if removable else ""
    message = f"{portal}: valid, with all required scopes{hint}"
    return PreflightCheck(subject, True, message, removable)


def _check_properties(
    kind: Kind, existing: Mapping[str, Mapping[str, Any]], account_property: str
) -> PreflightCheck:
    subject = f"properties of {OBJECT_TYPES[kind]}"
    missing, conflicts = diff_properties(
        build_property_definitions(kind, account_property), existing
    )
    if conflicts:
        return PreflightCheck(subject, False, "; ".join(conflicts))
    if missing:
        names = tuple(definition["name"] for definition in missing)
        message = f"{len(names)} are missing; run: expansion crm setup"
        return PreflightCheck.fail(subject, message, names)
    return PreflightCheck(subject, True, "all present, with the right types")


def _check_pipeline(client: HubSpotClient, config: HubSpotConfig) -> PreflightCheck:
    resolve_pipeline(client.request(client.pipelines.get_all, "deals")["results"], config)
    return PreflightCheck("pipeline", True, f"{config.pipeline!r} has all stages")


def _check_rate_limits(client: HubSpotClient, account_count: int) -> PreflightCheck:
    subject, headers = "rate limits", client.rate_limit_headers
    allowed, planned = headers.get("x-hubspot-ratelimit-max"), client.rate_limit.max_calls
    daily_remaining = headers.get("x-hubspot-ratelimit-daily-remaining")
    # One read and one write per account, doubled for deals and tasks.
    needed = 4 * (-(-account_count // BATCH_SIZE))
    if allowed is not None and planned is not None and int(allowed) < planned:
        message = f"HubSpot allows {allowed} calls per 10 s, fewer than crm.hubspot.plan"
        return PreflightCheck(subject, False, message)
    if daily_remaining is not None and int(daily_remaining) < needed:
        message = f"{daily_remaining} calls are left today; a run needs about {needed:,}"
        return PreflightCheck(subject, False, message)
    daily_note = f"; {int(daily_remaining):,} calls are left today" if daily_remaining else ""
    return PreflightCheck(subject, True, f"a run needs about {needed:,} calls{daily_note}")


def _read_companies(
    client: HubSpotClient,
    accounts: Sequence[ObjectRef],
    existing: Mapping[str, Mapping[str, Any]],
    account_property: str,
) -> dict[str, Record]:
    """Read the company of each account: by record id, otherwise by its unique key, if it is one."""
    object_type = OBJECT_TYPES["account"]
    readable = [_CSM_PROPERTY] if _CSM_PROPERTY in existing else []
    ids = [ref.crm_id for ref in accounts if ref.crm_id and ref.crm_id.isdecimal()]
    by_id = read_records(client, object_type, ids, readable)
    companies = {ref.key: by_id[ref.crm_id] for ref in accounts if ref.crm_id in by_id}
    if existing.get(account_property, {}).get("hasUniqueValue"):
        keys = [ref.key for ref in accounts if ref.key not in companies]
        companies |= read_records(client, object_type, keys, readable, id_property=account_property)
    return companies


def _check_companies(
    accounts: Sequence[ObjectRef],
    companies: Mapping[str, Record],
    existing: Mapping[str, Mapping[str, Any]],
    account_property: str,
) -> PreflightCheck:
    unmatched = sorted(ref.key for ref in accounts if ref.key not in companies)
    message = f"{len(accounts) - len(unmatched):,} of {len(accounts):,} accounts have a company"
    if unmatched and not existing.get(account_property, {}).get("hasUniqueValue"):
        message += f"; {account_property} is missing or not unique: run expansion crm setup"
    elif unmatched:
        message += f"; the others are not written: set {account_property} or accounts.crm_id"
    if unmatched:
        return PreflightCheck.fail("companies", message, unmatched)
    return PreflightCheck("companies", True, message)


def _check_owners(client: HubSpotClient, companies: Iterable[Record]) -> PreflightCheck:
    owner_ids = client.fetch_owners()
    csms = {
        str(name) for company in companies if (name := company["properties"].get(_CSM_PROPERTY))
    }
    missing = tuple(sorted(csm for csm in csms if find_owner(owner_ids, csm) is None))
    if missing:
        message = (
            f"{len(missing)} of {len(csms)} CSMs match no HubSpot owner by e-mail or name: their"
            " deals and tasks have no owner"
        )
        return PreflightCheck.fail("owners", message, missing)
    return PreflightCheck("owners", True, f"all {len(csms)} CSMs match an owner")
