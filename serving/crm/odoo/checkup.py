"""The look before the first write: what an admin has to put right, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from serving.crm.odoo.client import Client
from serving.crm.odoo.names import ACCOUNT, KEY, MODELS, TYPES
from serving.crm.odoo.reading import Reader, number
from serving.crm.target import Denied, Finding, Kind, Ref
from serving.outbox.objects import FIELDS

__all__ = ["look"]

_APPS: Final[dict[Kind, str]] = {
    "account": "Contacts",
    "opportunity": "CRM",
    "task": "Discuss",
}
_EXAMPLES: Final = 5
_CHUNK: Final = 1000
_SETUP: Final = "run expansion crm setup with an administrator's key"
# What stands in for a type of ours at a field of the company's own.
_ALIKE: Final = {
    "char": {"char", "text", "selection", "html"},
    "text": {"text", "char", "html"},
    "float": {"float", "monetary"},
    "integer": {"integer"},
    "date": {"date"},
    "boolean": {"boolean"},
}


def look(
    client: Client, reader: Reader, accounts: Sequence[Ref], *, activity: str
) -> list[Finding]:
    """Tell, without writing, of the key, the apps, permissions, fields, names and partners."""
    try:
        user = client.call("res.users", "context_get")["uid"]
    except Denied as error:
        return [Finding("API key", False, f"{error}.")]
    findings = [Finding("API key", True, f"Odoo knows the key, as user {user}.")]
    if client.url.startswith("http://") and "//127.0.0.1" not in client.url:
        findings.append(Finding("connection", False, "the key travels in the clear; use https://."))
    findings += [_model(client, reader, kind) for kind in MODELS]
    if all(finding.well for finding in findings):
        findings += [_called(client, *pair) for pair in _named(reader, activity)]
        findings += _partners(client, reader, accounts)
    return findings


def _named(reader: Reader, activity: str) -> list[tuple[str, str, str]]:
    return [
        ("sales team", "crm.team", reader.team),
        ("tag", "crm.tag", reader.tag),
        ("type of activity", "mail.activity.type", activity),
    ]


def _model(client: Client, reader: Reader, kind: Kind) -> Finding:
    """Whether the app is there, and we may read, write and make its records, with our fields."""
    model = MODELS[kind]
    about = f"{_APPS[kind]} ({model})"
    try:
        present = client.call(model, "fields_get", attributes=["type"])
        may_not = [
            operation
            for operation in ("read", "write", "create")
            if not client.call(model, "has_access", operation=operation)
        ]
    except Denied as error:
        return Finding(about, False, f"{error}. Install the app, or let our user have it.")
    if may_not:
        return Finding(about, False, f"our user may not {', '.join(may_not)}: {_RIGHTS[kind]}.")
    types = {name: field["type"] for name, field in present.items()}
    return _fields(about, reader, kind, types)


_RIGHTS: Final[dict[Kind, str]] = {
    "account": "give it Contact: Creation",
    "opportunity": "give it Sales: User: All Documents",
    "task": "give it Sales: User: All Documents",
}


def _fields(about: str, reader: Reader, kind: Kind, types: dict[str, str]) -> Finding:
    needed = _needed(reader, kind)
    if missing := sorted(set(needed) - set(types)):
        words = f"{len(missing)} fields are missing: {_SETUP}."
        return Finding(about, False, words, tuple(missing[:_EXAMPLES]))
    unlike = [
        f"{name} is {types[name]}, expected {wanted}"
        for name, wanted in needed.items()
        if types[name] not in _ALIKE[wanted]
    ]
    if unlike:
        words = "fields of another type; map others under crm.odoo.fields."
        return Finding(about, False, words, tuple(unlike[:_EXAMPLES]))
    return Finding(about, True, f"all {len(needed)} fields are there, and we may write them.")


def _needed(reader: Reader, kind: Kind) -> dict[str, str]:
    """Odoo's fields that we write or look up by, with the type we expect."""
    own = {
        theirs: TYPES[FIELDS[kind][ours].type] for ours, theirs in reader.names.fields[kind].items()
    }
    keys = {reader.match: "char"} if kind == "account" else {KEY: "char", ACCOUNT: "char"}
    return {**own, **keys}


def _called(client: Client, about: str, model: str, name: str) -> Finding:
    if client.call(model, "search_count", domain=[["name", "=", name]]):
        return Finding(about, True, f"{name!r} is there.")
    return Finding(about, False, f"there is none called {name!r}: {_SETUP}.")


def _partners(client: Client, reader: Reader, accounts: Sequence[Ref]) -> Iterator[Finding]:
    """Which accounts match no partner, several, or one that another account has too."""
    found: dict[str, list[int]] = {}
    for start in range(0, len(accounts), _CHUNK):
        chunk = accounts[start : start + _CHUNK]
        found |= _matched(client, reader, chunk)
    none = [ref.account_id for ref in accounts if not found[ref.account_id]]
    several = [ref.account_id for ref in accounts if len(found[ref.account_id]) > 1]
    sole = Counter(ids[0] for ids in found.values() if len(ids) == 1)
    shared = [name for name, ids in found.items() if len(ids) == 1 and sole[ids[0]] > 1]
    match = reader.match
    for names, about, words in (
        (none, "accounts without a partner", f"fill {match} at the partner, or accounts.crm_id."),
        (several, "accounts with several partners", f"let {match} stand at one of them only."),
        (shared, "partners of several accounts", "name another partner in accounts.crm_id."),
    ):
        if names:
            told = f"{len(names):,} of {len(accounts):,}: {words}"
            yield Finding(about, False, told, tuple(names[:_EXAMPLES]))
    if not (none or several or shared):
        yield Finding("partners", True, f"each of {len(accounts):,} accounts has its partner.")


def _matched(client: Client, reader: Reader, accounts: Sequence[Ref]) -> dict[str, list[int]]:
    """The partners of each account: the one it names, where that stands, else those that match."""
    named = [identity for ref in accounts if (identity := number(ref.crm_id)) is not None]
    domain = [["id", "in", named]]
    context = {"active_test": False}
    standing = set(client.call("res.partner", "search", domain=domain, context=context))
    matches = reader.matches([ref.account_id for ref in accounts])
    return {
        ref.account_id: [identity]
        if (identity := number(ref.crm_id)) in standing and identity is not None
        else matches.get(ref.account_id, [])
        for ref in accounts
    }
