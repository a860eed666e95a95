"""Preflight checks of an Odoo database: API key, permissions, fields, records and partners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from serving.delivery.crm.base import (
    AccessDeniedError,
    Kind,
    ObjectRef,
    PreflightCheck,
)
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import ACCOUNT_ID_FIELD, FIELD_TYPES, KEY_FIELD, MODELS
from serving.delivery.crm.odoo.provision import has_record, list_required_records
from serving.delivery.crm.odoo.read import INCLUDE_ARCHIVED, OdooReader, parse_id
from serving.store.upsert import iter_chunks

__all__ = ["run_preflight"]

_APPS: Final[dict[Kind, str]] = {"account": "Contacts", "opportunity": "CRM", "task": "Discuss"}
_ACCESS_HINTS: Final[dict[Kind, str]] = {
    "account": "give it Contact: Creation",
    "opportunity": "give it Sales: User: All Documents",
    "task": "give it Sales: User: All Documents",
}
_BATCH_SIZE: Final = 1000
_PROVISION_HINT: Final = "run expansion crm setup with an administrator's key"
# Types that are accepted for a mapped custom field.
_COMPATIBLE_TYPES: Final = {
    "char": {"char", "text", "selection", "html"},
    "text": {"text", "char", "html"},
    "float": {"float", "monetary"},
    "integer": {"integer"},
    "date": {"date"},
    "boolean": {"boolean"},
}


def run_preflight(
    client: OdooClient, reader: OdooReader, accounts: Sequence[ObjectRef]
) -> list[PreflightCheck]:
    """Check API key, apps, permissions, fields, required records and partners, without writing."""
    try:
        user = client.call("res.users", "context_get")["uid"]
    except AccessDeniedError as error:
        return [PreflightCheck("API key", False, f"{error}.")]
    checks = [PreflightCheck("API key", True, f"valid, for user {user}.")]
    if client.url.startswith("http://") and "//127.0.0.1" not in client.url:
        checks.append(
            PreflightCheck("connection", False, "the key is sent unencrypted; use https://.")
        )
    checks += [_check_model(client, reader, kind) for kind in MODELS]
    if all(check.passed for check in checks):
        checks += [
            _check_record(client, subject, model, values["name"])
            for subject, model, values in list_required_records(reader.config)
        ]
        checks += _check_partners(client, reader, accounts)
    return checks


def _check_model(client: OdooClient, reader: OdooReader, kind: Kind) -> PreflightCheck:
    """Check that the app is installed, and that our user may read, write and create its records."""
    model = MODELS[kind]
    subject = f"{_APPS[kind]} ({model})"
    try:
        fields = client.call(model, "fields_get", attributes=["type"])
        denied = [
            operation
            for operation in ("read", "write", "create")
            if not client.call(model, "has_access", operation=operation)
        ]
    except AccessDeniedError as error:
        message = f"{error}. Install the app, or give our user access to it."
        return PreflightCheck(subject, False, message)
    if denied:
        message = f"our user has no {', '.join(denied)} right: {_ACCESS_HINTS[kind]}."
        return PreflightCheck(subject, False, message)
    return _check_fields(
        subject, reader, kind, {name: field["type"] for name, field in fields.items()}
    )


def _check_fields(
    subject: str, reader: OdooReader, kind: Kind, types: dict[str, str]
) -> PreflightCheck:
    required = _list_required_fields(reader, kind)
    if missing := sorted(set(required) - set(types)):
        message = f"{len(missing)} fields are missing: {_PROVISION_HINT}."
        return PreflightCheck.fail(subject, message, missing)
    mismatched = [
        f"{name} is {types[name]}, expected {expected}"
        for name, expected in required.items()
        if types[name] not in _COMPATIBLE_TYPES[expected]
    ]
    if mismatched:
        message = "fields have the wrong type; map other fields under crm.odoo.fields."
        return PreflightCheck.fail(subject, message, mismatched)
    return PreflightCheck(subject, True, f"all {len(required)} fields exist and are writable.")


def _list_required_fields(reader: OdooReader, kind: Kind) -> dict[str, str]:
    """Return the Odoo fields that we write or search by, with their expected types."""
    fields = reader.field_mapping.fields[kind].values()
    mapped = {field.name: FIELD_TYPES[field.field.type] for field in fields}
    keys = (
        {reader.config.match: "char"}
        if kind == "account"
        else {KEY_FIELD: "char", ACCOUNT_ID_FIELD: "char"}
    )
    return {**mapped, **keys}


def _check_record(client: OdooClient, subject: str, model: str, name: str) -> PreflightCheck:
    if has_record(client, model, name):
        return PreflightCheck(subject, True, f"{name!r} exists.")
    return PreflightCheck(subject, False, f"{name!r} does not exist: {_PROVISION_HINT}.")


def _check_partners(
    client: OdooClient, reader: OdooReader, accounts: Sequence[ObjectRef]
) -> Iterator[PreflightCheck]:
    """Yield checks for accounts with no partner, several, or a shared one."""
    partner_ids: dict[str, list[int]] = {}
    for batch in iter_chunks(accounts, _BATCH_SIZE):
        partner_ids |= _match_accounts(client, reader, batch)
    unmatched = [ref.account_id for ref in accounts if not partner_ids[ref.account_id]]
    ambiguous = [ref.account_id for ref in accounts if len(partner_ids[ref.account_id]) > 1]
    single = {name: ids[0] for name, ids in partner_ids.items() if len(ids) == 1}
    usage_counts = Counter(single.values())
    shared = [name for name, partner_id in single.items() if usage_counts[partner_id] > 1]
    match_field = reader.config.match
    set_match = f"set {match_field} of the partner, or accounts.crm_id."
    for account_ids, subject, advice in (
        (unmatched, "accounts without a partner", set_match),
        (ambiguous, "accounts with several partners", f"keep {match_field} at one of them only."),
        (shared, "partners of several accounts", "set another partner in accounts.crm_id."),
    ):
        if account_ids:
            message = f"{len(account_ids):,} of {len(accounts):,}: {advice}"
            yield PreflightCheck.fail(subject, message, account_ids)
    if not (unmatched or ambiguous or shared):
        message = f"each of {len(accounts):,} accounts has one partner."
        yield PreflightCheck("partners", True, message)


def _match_accounts(
    client: OdooClient, reader: OdooReader, accounts: Sequence[ObjectRef]
) -> dict[str, list[int]]:
    """Return the partner ids of each account: an existing ``crm_id``, otherwise its matches."""
    named_ids = [crm_id for ref in accounts if (crm_id := parse_id(ref.crm_id)) is not None]
    domain = [["id", "in", named_ids]]
    existing = set(client.call("res.partner", "search", domain=domain, context=INCLUDE_ARCHIVED))
    matches = reader.match_partners([ref.account_id for ref in accounts])
    return {
        ref.account_id: [crm_id]
        if (crm_id := parse_id(ref.crm_id)) is not None and crm_id in existing
        else matches.get(ref.account_id, [])
        for ref in accounts
    }
