"""Preflight checks of a Salesforce org: login, permissions, fields, picklists, accounts, owners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from data.config.delivery import SalesforceConfig
from serving.delivery.crm.base import (
    AccessDeniedError,
    BatchRejectedError,
    ObjectRef,
    PreflightCheck,
)
from serving.delivery.crm.salesforce.client import API_VERSION, SalesforceClient, build_query
from serving.delivery.crm.salesforce.create import is_email, query_users
from serving.delivery.crm.salesforce.field_mapping import (
    KEY_FIELDS,
    SOBJECTS,
    SalesforceFieldMapping,
    normalize_record_id,
)
from serving.delivery.crm.salesforce.provision import PERMISSION_SET, build_field_type
from serving.delivery.crm.salesforce.read import SalesforceReader
from serving.store.upsert import iter_chunks

__all__ = ["find_missing_fields", "run_preflight"]

_BATCH_SIZE: Final = 2_000
_PROVISION_HINT: Final = (
    f"run expansion crm setup, deploy the package, and assign the permission set"
    f" {PERMISSION_SET} to our user"
)
# Metadata type → types in an sObject describe result.
_DESCRIBED_TYPES: Final = {
    "Text": {"string"},
    "LongTextArea": {"textarea"},
    "Date": {"date"},
    "Checkbox": {"boolean"},
    "Number": {"double", "int", "currency"},
    "Percent": {"percent"},
}
Descriptions = Mapping[str, Mapping[str, Any]]  # sObject → describe result, fields by name


def run_preflight(
    client: SalesforceClient, reader: SalesforceReader, accounts: Sequence[ObjectRef]
) -> list[PreflightCheck]:
    """Return one check per subject, without writing."""
    try:
        limits = client.request("GET", "limits")
    except (AccessDeniedError, BatchRejectedError) as error:
        return [PreflightCheck("login", False, str(error))]
    descriptions = _describe_sobjects(client)
    checks = [
        PreflightCheck("login", True, f"{client.url}, API {API_VERSION}"),
        _check_daily_requests(limits),
        _check_permissions(descriptions, reader.config),
        _check_fields(reader.field_mapping, descriptions),
    ]
    picklists = list(_check_picklists(descriptions, reader.config))
    if not all(check.passed for check in checks):
        return [*checks, *picklists]
    matching = [_check_accounts(client, reader, accounts), _check_owners(client, reader)]
    return [*checks, *picklists, *matching]


def find_missing_fields(
    client: SalesforceClient, field_mapping: SalesforceFieldMapping
) -> list[str]:
    """Return fields that are missing or have the wrong definition."""
    return list(_find_field_problems(field_mapping, _describe_sobjects(client)))


def _describe_sobjects(client: SalesforceClient) -> Descriptions:
    descriptions = {}
    for sobject in SOBJECTS.values():
        description = client.request("GET", f"sobjects/{sobject}/describe")
        fields = {field["name"]: field for field in description["fields"]}
        descriptions[sobject] = {**description, "fields": fields}
    return descriptions


def _check_permissions(descriptions: Descriptions, config: SalesforceConfig) -> PreflightCheck:
    """Check that our user may read, update and create the required objects."""
    creatable = sorted(
        sobject for sobject in descriptions if sobject != "Account" or config.create_accounts
    )
    required = [
        (sobject, permission)
        for sobject in descriptions
        for permission in ("queryable", "updateable")
    ] + [(sobject, "createable") for sobject in creatable]
    missing = tuple(
        f"{sobject} is not {permission}"
        for sobject, permission in required
        if not descriptions[sobject][permission]
    )
    if missing:
        message = f"our user lacks permissions; {_PROVISION_HINT}"
        return PreflightCheck.fail("permissions", message, missing)
    return PreflightCheck("permissions", True, "our user has all required permissions")


def _check_daily_requests(limits: Mapping[str, Any]) -> PreflightCheck:
    day = limits["DailyApiRequests"]
    message = f"{day['Remaining']:,} of {day['Max']:,} left in the last 24 hours"
    return PreflightCheck("daily requests", day["Remaining"] > 0, message)


def _check_fields(
    field_mapping: SalesforceFieldMapping, descriptions: Descriptions
) -> PreflightCheck:
    problems = list(_find_field_problems(field_mapping, descriptions))
    if not problems:
        return PreflightCheck("fields", True, "all exist and are writable")
    message = (
        f"{len(problems)} missing, not visible to our user, or of the wrong type; {_PROVISION_HINT}"
    )
    return PreflightCheck.fail("fields", message, problems)


def _find_field_problems(
    field_mapping: SalesforceFieldMapping, descriptions: Descriptions
) -> Iterator[str]:
    for kind, sobject in SOBJECTS.items():
        fields = descriptions[sobject]["fields"]
        key = fields.get(KEY_FIELDS[kind])
        if key is None or not (key["externalId"] and key["unique"]):
            yield f"{sobject}.{KEY_FIELDS[kind]}: not a unique external id"
        for mapped in field_mapping.fields[kind].values():
            field = fields.get(mapped.name)
            if field is None:
                yield f"{sobject}.{mapped.name}: missing"
            elif not field["updateable"]:
                yield f"{sobject}.{mapped.name}: not writable"
            elif mapped in field_mapping.list_custom_fields(kind):
                expected = str(build_field_type(mapped)["type"])
                if field["type"] not in _DESCRIBED_TYPES[expected]:
                    yield f"{sobject}.{mapped.name}: expected {expected}, found {field['type']}"


def _check_picklists(
    descriptions: Descriptions, config: SalesforceConfig
) -> Iterator[PreflightCheck]:
    """Yield a failed check for each configured picklist value that the org does not offer."""
    for setting, sobject, name, value in (
        ("stage", "Opportunity", "StageName", config.stage),
        ("type", "Opportunity", "Type", "" if config.record_type else config.type),
        ("task_status", "Task", "Status", config.task_status),
        ("task_priority", "Task", "Priority", config.task_priority),
    ):
        field = descriptions[sobject]["fields"].get(name)
        if not value or field is None:
            continue
        values = [choice["value"] for choice in field["picklistValues"] if choice["active"]]
        if value not in values:
            message = (
                f"{sobject}.{name} has no value {value!r}; add it, or fix crm.salesforce.{setting}"
            )
            yield PreflightCheck.fail(setting, message, values)


def _check_accounts(
    client: SalesforceClient, reader: SalesforceReader, accounts: Sequence[ObjectRef]
) -> PreflightCheck:
    """Check for accounts that match no record, or several."""
    record_ids = {ref.key: normalize_record_id("account", ref.crm_id) for ref in accounts}
    existing = _find_existing(client, sorted({name for name in record_ids.values() if name}))
    without_record = [key for key, record_id in record_ids.items() if record_id not in existing]
    groups = reader.match_accounts(without_record)
    unmatched = [key for key in without_record if key not in groups]
    ambiguous = [key for key, group in groups.items() if len(group) > 1]
    if not unmatched and not ambiguous:
        return PreflightCheck("accounts", True, f"all {len(accounts):,} match a record")
    message = (
        f"of {len(accounts):,}, {len(unmatched):,} match no record and {len(ambiguous):,} match"
        f" several; set {reader.config.match} to the account id of one record each, or set the"
        " record id in accounts.crm_id"
    )
    return PreflightCheck.fail("accounts", message, [*unmatched, *ambiguous])


def _find_existing(client: SalesforceClient, ids: Sequence[str]) -> set[str]:
    """Return the account record ids that exist."""
    return {
        record["Id"]
        for batch in iter_chunks(ids, _BATCH_SIZE)
        for record in client.retrieve("Account", batch, ["Id"])
        if record is not None
    }


def _check_owners(client: SalesforceClient, reader: SalesforceReader) -> PreflightCheck:
    """Check for CSMs who are not active users; the account owner gets their work."""
    csm_field = reader.field_mapping.fields["account"].get("csm")
    if csm_field is None:
        return PreflightCheck(
            "owners", True, "the account owner; crm.salesforce.fields leaves csm out"
        )
    name = csm_field.name
    query = build_query([name], "Account", f"{name} != null", end=f"GROUP BY {name}")
    csm_emails = {str(row[name]).lower() for row in client.query(query)}
    emails = sorted(filter(is_email, csm_emails))
    matched = {str(user["Email"]).lower() for user in query_users(client, emails=emails)}
    unmatched = sorted(csm_emails - matched)
    if not unmatched:
        return PreflightCheck("owners", True, f"all {len(matched):,} CSMs match a user by e-mail")
    message = (
        f"{len(unmatched):,} CSMs match no active user by e-mail; the account owner gets their"
        " tasks and opportunities"
    )
    return PreflightCheck.fail("owners", message, unmatched)
