"""Look at an org before anything is written: what is missing, in words for its admin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from serving.crm.salesforce import soql
from serving.crm.salesforce.client import Client
from serving.crm.salesforce.making import Making
from serving.crm.salesforce.names import KEYS, SOBJECTS, Names, record_id
from serving.crm.salesforce.owners import is_email, users
from serving.crm.salesforce.package import PERMISSIONS, kind_of
from serving.crm.salesforce.reading import Reader
from serving.crm.target import BatchRefused, Denied, Finding, Ref

__all__ = ["look", "missing"]

_EXAMPLES: Final = 5
_READ_AT_ONCE: Final = 2_000
_SETUP: Final = (
    f"run expansion crm setup, deploy what it writes, and give our user the permission set"
    f" {PERMISSIONS}"
)
# What a type of the package is called in a description.
_DESCRIBED: Final = {
    "Text": {"string"},
    "LongTextArea": {"textarea"},
    "Date": {"date"},
    "Checkbox": {"boolean"},
    "Number": {"double", "int", "currency"},
    "Percent": {"percent"},
}
Described = Mapping[str, Mapping[str, Any]]


def look(
    client: Client, names: Names, reader: Reader, making: Making, accounts: Sequence[Ref]
) -> list[Finding]:
    """Say line by line what was looked at, and what is to be done about it."""
    try:
        limits = client.ask("GET", "limits")
    except (Denied, BatchRefused) as error:
        return [Finding("login", False, str(error))]
    findings = [Finding("login", True, f"{client.url}, API {client.version}"), _requests(limits)]
    told = {sobject: _describe(client, sobject) for sobject in SOBJECTS.values()}
    described = {sobject: _by_name(told[sobject]) for sobject in told}
    findings += [_rights(told, making), _fields(names, described), *_choices(described, making)]
    if not all(finding.well for finding in findings[:4]):
        return findings
    return [*findings, _matches(client, reader, accounts), _csms(client, names)]


def missing(client: Client, names: Names) -> list[str]:
    """Give the fields that are not there, or not as they have to be."""
    told = {sobject: _describe(client, sobject) for sobject in SOBJECTS.values()}
    return list(_wrong(names, {sobject: _by_name(told[sobject]) for sobject in told}))


def _describe(client: Client, sobject: str) -> Mapping[str, Any]:
    told: Mapping[str, Any] = client.ask("GET", f"sobjects/{sobject}/describe")
    return told


def _by_name(told: Mapping[str, Any]) -> Described:
    return {field["name"]: field for field in told["fields"]}


def _rights(told: Mapping[str, Mapping[str, Any]], making: Making) -> Finding:
    """Whether our user may read, change and make what it has to."""
    makes = {sobject for sobject in told if sobject != "Account" or making.accounts}
    wanted = [(sobject, right) for sobject in told for right in ("queryable", "updateable")]
    wanted += [(sobject, "createable") for sobject in sorted(makes)]
    lacks = tuple(
        f"{sobject} is not {right}" for sobject, right in wanted if not told[sobject][right]
    )
    if lacks:
        return Finding("rights", False, f"our user lacks some; {_SETUP}", lacks[:_EXAMPLES])
    return Finding("rights", True, "our user may read, change and make what it has to")


def _requests(limits: Mapping[str, Any]) -> Finding:
    day = limits["DailyApiRequests"]
    words = f"{day['Remaining']:,} of {day['Max']:,} left in these 24 hours"
    return Finding("requests", day["Remaining"] > 0, words)


def _fields(names: Names, described: Mapping[str, Described]) -> Finding:
    wrong = list(_wrong(names, described))
    if not wrong:
        return Finding("fields", True, "all there, and to be written by our user")
    words = f"{len(wrong)} missing, hidden from our user, or of another type; {_SETUP}"
    return Finding("fields", False, words, tuple(wrong[:_EXAMPLES]))


def _wrong(names: Names, described: Mapping[str, Described]) -> Iterator[str]:
    for kind, sobject in SOBJECTS.items():
        key = described[sobject].get(KEYS[kind])
        if key is None or not (key["externalId"] and key["unique"]):
            yield f"{sobject}.{KEYS[kind]}: no unique external id"
        for column in names.columns[kind].values():
            field = described[sobject].get(column.name)
            if field is None:
                yield f"{sobject}.{column.name}: not there"
            elif not field["updateable"]:
                yield f"{sobject}.{column.name}: not to be written"
            elif column in names.custom(kind):
                wanted = str(kind_of(column)["type"])
                if field["type"] not in _DESCRIBED[wanted]:
                    yield f"{sobject}.{column.name}: expected {wanted}, found {field['type']}"


def _choices(described: Mapping[str, Described], making: Making) -> Iterator[Finding]:
    """Whether what the settings name is to be chosen in the org."""
    named = [
        ("stage", "Opportunity", "StageName", making.stage),
        ("type", "Opportunity", "Type", "" if making.record_type else making.type),
        ("task_status", "Task", "Status", making.status),
        ("task_priority", "Task", "Priority", making.priority),
    ]
    for setting, sobject, name, value in named:
        field = described[sobject].get(name)
        if not value or field is None:
            continue
        choices = [choice["value"] for choice in field["picklistValues"] if choice["active"]]
        if value not in choices:
            words = (
                f"{sobject}.{name} offers no {value!r}; add it, or mend crm.salesforce.{setting}"
            )
            yield Finding(setting, False, words, tuple(choices[:_EXAMPLES]))


def _matches(client: Client, reader: Reader, accounts: Sequence[Ref]) -> Finding:
    """Which accounts match no record, or several."""
    named = {ref.key: record_id("account", ref.crm_id) for ref in accounts}
    there = _standing(client, sorted({whole for whole in named.values() if whole}))
    unnamed = [key for key, whole in named.items() if whole not in there]
    groups = reader.matches(unnamed)
    none = [key for key in unnamed if key not in groups]
    several = [key for key, group in groups.items() if len(group) > 1]
    if not none and not several:
        return Finding("accounts", True, f"all {len(accounts):,} match a record")
    words = (
        f"of {len(accounts):,}, {len(none):,} match no record and {len(several):,} match several;"
        f" set {reader.match} to the account's id there, each once, or name the record's id in"
        " accounts.crm_id"
    )
    return Finding("accounts", False, words, tuple([*none, *several][:_EXAMPLES]))


def _standing(client: Client, ids: Sequence[str]) -> set[str]:
    """Which of these accounts are there."""
    parts = (ids[start : start + _READ_AT_ONCE] for start in range(0, len(ids), _READ_AT_ONCE))
    records = (record for some in parts for record in client.retrieve("Account", some, ["Id"]))
    return {record["Id"] for record in records if record is not None}


def _csms(client: Client, names: Names) -> Finding:
    """Which CSMs are no active users: their work goes to the account's owner."""
    csm = names.columns["account"].get("csm")
    if csm is None:
        return Finding("owners", True, "the account's owner; crm.salesforce.fields leaves csm out")
    each = soql.select([csm.name], "Account", f"{csm.name} != null", end=f"GROUP BY {csm.name}")
    told = {str(row[csm.name]).lower() for row in client.query(each)}
    emails = sorted(filter(is_email, told))
    found = {str(user["Email"]).lower() for user in users(client, emails=emails)}
    lost = sorted(told - found)
    if not lost:
        return Finding("owners", True, f"{len(found):,} CSMs written so far, each a user by e-mail")
    words = (
        f"{len(lost):,} CSMs are no active user by e-mail; their tasks and opportunities go to the"
        " account's owner"
    )
    return Finding("owners", False, words, tuple(lost[:_EXAMPLES]))
