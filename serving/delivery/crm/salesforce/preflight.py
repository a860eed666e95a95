"""Preflight checks of a Salesforce org: login, permissions, fields, picklists, accounts, owners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from serving.delivery.crm.base import (
    AccessDeniedError,
    BatchRejectedError,
    ObjectRef,
    PreflightCheck,
)
from serving.delivery.crm.salesforce import soql
from serving.delivery.crm.salesforce.client import SalesforceClient
from serving.delivery.crm.salesforce.create import CreateOptions
from serving.delivery.crm.salesforce.field_mapping import (
    KEY_FIELDS,
    SOBJECTS,
    SalesforceFieldMapping,
    normalize_record_id,
)
from serving.delivery.crm.salesforce.owners import is_email, query_users
from serving.delivery.crm.salesforce.provision import PERMISSION_SET, build_field_type
from serving.delivery.crm.salesforce.read import SalesforceReader

__all__ = ["find_missing_fields", "run_preflight"]

_MAX_EXAMPLES: Final = 5
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
FieldDescriptions = Mapping[str, Mapping[str, Any]]


def run_preflight(
    client: SalesforceClient,
    field_mapping: SalesforceFieldMapping,
    reader: SalesforceReader,
    create_options: CreateOptions,
    accounts: Sequence[ObjectRef],
) -> list[PreflightCheck]:
    """Return one check per subject, without writing."""
    try:
        limits = client.request("GET", "limits")
    except (AccessDeniedError, BatchRejectedError) as error:
        return [PreflightCheck("login", False, str(error))]
    checks = [
        PreflightCheck("login", True, f"{client.url}, API {client.version}"),
        _check_daily_requests(limits),
    ]
    descriptions = {sobject: _describe_sobject(client, sobject) for sobject in SOBJECTS.values()}
    fields_by_sobject = {sobject: _index_fields(descriptions[sobject]) for sobject in descriptions}
    checks += [
        _check_permissions(descriptions, create_options),
        _check_fields(field_mapping, fields_by_sobject),
        *_check_picklists(fields_by_sobject, create_options),
    ]
    if not all(check.passed for check in checks[:4]):
        return checks
    return [
        *checks,
        _check_accounts(client, reader, accounts),
        _check_owners(client, field_mapping),
    ]


def find_missing_fields(
    client: SalesforceClient, field_mapping: SalesforceFieldMapping
) -> list[str]:
    """Return fields that are missing or have the wrong definition."""
    descriptions = {sobject: _describe_sobject(client, sobject) for sobject in SOBJECTS.values()}
    return list(
        _find_field_problems(
            field_mapping,
            {sobject: _index_fields(descriptions[sobject]) for sobject in descriptions},
        )
    )


def _describe_sobject(client: SalesforceClient, sobject: str) -> Mapping[str, Any]:
    description: Mapping[str, Any] = client.request("GET", f"sobjects/{sobject}/describe")
    return description


def _index_fields(description: Mapping[str, Any]) -> FieldDescriptions:
    return {field["name"]: field for field in description["fields"]}


def _check_permissions(
    descriptions: Mapping[str, Mapping[str, Any]], create_options: CreateOptions
) -> PreflightCheck:
    """Check that our user may read, update and create the required objects."""
    creatable = {
        sobject
        for sobject in descriptions
        if sobject != "Account" or create_options.create_accounts
    }
    required = [
        (sobject, permission)
        for sobject in descriptions
        for permission in ("queryable", "updateable")
    ]
    required += [(sobject, "createable") for sobject in sorted(creatable)]
    missing = tuple(
        f"{sobject} is not {permission}"
        for sobject, permission in required
        if not descriptions[sobject][permission]
    )
    if missing:
        return PreflightCheck(
            "permissions",
            False,
            f"our user lacks permissions; {_PROVISION_HINT}",
            missing[:_MAX_EXAMPLES],
        )
    return PreflightCheck("permissions", True, "our user has all required permissions")


def _check_daily_requests(limits: Mapping[str, Any]) -> PreflightCheck:
    day = limits["DailyApiRequests"]
    message = f"{day['Remaining']:,} of {day['Max']:,} left in the last 24 hours"
    return PreflightCheck("daily requests", day["Remaining"] > 0, message)


def _check_fields(
    field_mapping: SalesforceFieldMapping, fields_by_sobject: Mapping[str, FieldDescriptions]
) -> PreflightCheck:
    problems = list(_find_field_problems(field_mapping, fields_by_sobject))
    if not problems:
        return PreflightCheck("fields", True, "all exist and are writable")
    message = (
        f"{len(problems)} missing, not visible to our user, or of the wrong type; {_PROVISION_HINT}"
    )
    return PreflightCheck("fields", False, message, tuple(problems[:_MAX_EXAMPLES]))


def _find_field_problems(
    field_mapping: SalesforceFieldMapping, fields_by_sobject: Mapping[str, FieldDescriptions]
) -> Iterator[str]:
    for kind, sobject in SOBJECTS.items():
        key = fields_by_sobject[sobject].get(KEY_FIELDS[kind])
        if key is None or not (key["externalId"] and key["unique"]):
            yield f"{sobject}.{KEY_FIELDS[kind]}: not a unique external id"
        for mapped in field_mapping.fields[kind].values():
            field = fields_by_sobject[sobject].get(mapped.name)
            if field is None:
                yield f"{sobject}.{mapped.name}: missing"
            elif not field["updateable"]:
                yield f"{sobject}.{mapped.name}: not writable"
            elif mapped in field_mapping.list_custom_fields(kind):
                expected = str(build_field_type(mapped)["type"])
                if field["type"] not in _DESCRIBED_TYPES[expected]:
                    yield f"{sobject}.{mapped.name}: expected {expected}, found {field['type']}"


def _check_picklists(
    fields_by_sobject: Mapping[str, FieldDescriptions], create_options: CreateOptions
) -> Iterator[PreflightCheck]:
    """Yield a failed check for each configured picklist value that the org does not offer."""
    configured = [
        ("stage", "Opportunity", "StageName", create_options.stage),
        ("type", "Opportunity", "Type", "" if create_options.record_type else create_options.type),
        ("task_status", "Task", "Status", create_options.status),
        ("task_priority", "Task", "Priority", create_options.priority),
    ]
    for setting, sobject, name, value in configured:
        field = fields_by_sobject[sobject].get(name)
        if not value or field is None:
            continue
        values = [choice["value"] for choice in field["picklistValues"] if choice["active"]]
        if value not in values:
            message = (
                f"{sobject}.{name} has no value {value!r}; add it, or fix crm.salesforce.{setting}"
            )
            yield PreflightCheck(setting, False, message, tuple(values[:_MAX_EXAMPLES]))


def _check_accounts(
    client: SalesforceClient, reader: SalesforceReader, accounts: Sequence[ObjectRef]
) -> PreflightCheck:
    """Check for accounts that match no record, or several."""
    record_ids = {ref.key: normalize_record_id("account", ref.crm_id) for ref in accounts}
    existing = _find_existing(
        client, sorted({record_id for record_id in record_ids.values() if record_id})
    )
    without_record = [key for key, record_id in record_ids.items() if record_id not in existing]
    groups = reader.match_accounts(without_record)
    unmatched = [key for key in without_record if key not in groups]
    ambiguous = [key for key, group in groups.items() if len(group) > 1]
    if not unmatched and not ambiguous:
        return PreflightCheck("accounts", True, f"all {len(accounts):,} match a record")
    message = (
        f"of {len(accounts):,}, {len(unmatched):,} match no record and {len(ambiguous):,} match"
        f" several; set {reader.match_field} to the account id of one record each, or set the"
        " record id in accounts.crm_id"
    )
    return PreflightCheck(
        "accounts", False, message, tuple([*unmatched, *ambiguous][:_MAX_EXAMPLES])
    )


def _find_existing(client: SalesforceClient, ids: Sequence[str]) -> set[str]:
    """Return the account record ids that exist."""
    batches = (ids[start : start + _BATCH_SIZE] for start in range(0, len(ids), _BATCH_SIZE))
    records = (record for batch in batches for record in client.retrieve("Account", batch, ["Id"]))
    return {record["Id"] for record in records if record is not None}


def _check_owners(
    client: SalesforceClient, field_mapping: SalesforceFieldMapping
) -> PreflightCheck:
    """Check for CSMs who are not active users; the account owner gets their work."""
    csm_field = field_mapping.fields["account"].get("csm")
    if csm_field is None:
        return PreflightCheck(
            "owners", True, "the account owner; crm.salesforce.fields leaves csm out"
        )
    query = soql.build_query(
        [csm_field.name], "Account", f"{csm_field.name} != null", end=f"GROUP BY {csm_field.name}"
    )
    csm_emails = {str(row[csm_field.name]).lower() for row in client.query(query)}
    emails = sorted(filter(is_email, csm_emails))
    matched = {str(user["Email"]).lower() for user in query_users(client, emails=emails)}
    unmatched = sorted(csm_emails - matched)
    if not unmatched:
        return PreflightCheck("owners", True, f"all {len(matched):,} CSMs match a user by e-mail")
    message = (
        f"{len(unmatched):,} CSMs match no active user by e-mail; the account owner gets their"
        " tasks and opportunities"
    )
    return PreflightCheck("owners", False, message, tuple(unmatched[:_MAX_EXAMPLES]))
