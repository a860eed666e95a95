"""Look, without writing, at the key, the properties, the pipeline, the limits and the companies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from serving.crm.hubspot import owners, pipeline, records, setup
from serving.crm.hubspot.door import Door
from serving.crm.hubspot.names import OBJECTS, PROPERTIES
from serving.crm.hubspot.pipeline import Stages
from serving.crm.target import BatchRefused, Denied, Finding, Kind, Pace, Ref

__all__ = ["SCOPES", "SETUP_SCOPES", "look"]

# What the weekly run needs; tasks come with contacts.
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
# What setup needs beside them, once.
SETUP_SCOPES: Final = (
    "crm.schemas.companies.write",
    "crm.schemas.contacts.write",
    "crm.schemas.deals.write",
)
_EXAMPLES: Final = 5
_CSM: Final = PROPERTIES["account"]["csm"].name


def look(
    door: Door, accounts: Sequence[Ref], stages: Stages, account_property: str, pace: Pace
) -> Iterator[Finding]:
    """Give a finding for each thing that can be wrong; stops where nothing more can be seen."""
    yield _key(door)
    there: dict[Kind, Mapping[str, Mapping[str, Any]]] = {}
    for kind, objects in OBJECTS.items():
        try:
            there[kind] = setup.standing(door, objects)
        except Denied as error:
            yield Finding(f"properties of {objects}", well=False, words=str(error))
            continue
        yield _properties(kind, there[kind], account_property)
    yield _pipeline(door, stages)
    yield _limits(door, len(accounts), pace)
    if "account" in there:
        yield from _companies(door, accounts, there["account"], account_property)


def _key(door: Door) -> Finding:
    try:
        told = door.key_info()
    except Denied as error:
        return Finding("key", well=False, words=str(error))
    except BatchRefused as error:
        words = f"HubSpot does not tell this key's scopes ({error}); what follows tries them"
        return Finding("key", well=True, words=words)
    scopes = set(told.get("scopes") or [])
    missing = tuple(scope for scope in SCOPES if scope not in scopes)
    of = f"portal {told.get('hubId', '?')}"
    if missing:
        return Finding(
            "key", well=False, words=f"{of}: scopes are missing; add them", examples=missing
        )
    spare = tuple(scope for scope in SETUP_SCOPES if scope in scopes)
    beside = "; once setup is done, the scopes below can be taken away" if spare else ""
    return Finding("key", well=True, words=f"{of}: valid, with all scopes{beside}", examples=spare)


def _properties(
    kind: Kind, there: Mapping[str, Mapping[str, Any]], account_property: str
) -> Finding:
    objects = OBJECTS[kind]
    missing, wrong = setup.compared(objects, setup.definitions(kind, account_property), there)
    if wrong:
        said = "; ".join(f"{one.name} {one.words}" for one in wrong)
        return Finding(f"properties of {objects}", well=False, words=said)
    if missing:
        names = tuple(one["name"] for one in missing)
        words = f"{len(names)} are missing; run: expansion crm setup"
        return Finding(f"properties of {objects}", well=False, words=words, examples=names[:5])
    return Finding(f"properties of {objects}", well=True, words="all there, of the right types")


def _pipeline(door: Door, stages: Stages) -> Finding:
    try:
        pipeline.board(door(door.pipelines.get_all, "deals")["results"], stages)
    except Denied as error:
        return Finding("pipeline", well=False, words=str(error))
    return Finding("pipeline", well=True, words=f"{stages.pipeline!r}, with all stages")


def _limits(door: Door, accounts: int, pace: Pace) -> Finding:
    told = door.limits
    borne, left = (
        told.get("x-hubspot-ratelimit-max"),
        told.get("x-hubspot-ratelimit-daily-remaining"),
    )
    # Reading and writing every account, and as much again for what hangs on them.
    needed = 4 * (-(-accounts // records.AT_ONCE))
    if borne is not None and pace.calls is not None and int(borne) < pace.calls:
        words = f"HubSpot bears {borne} calls per 10 s, fewer than crm.hubspot.plan says"
        return Finding("limits", well=False, words=words)
    if left is not None and int(left) < needed:
        words = f"{left} calls are left of this day, and a run needs about {needed:,}"
        return Finding("limits", well=False, words=words)
    of_day = f"; {int(left):,} calls are left of this day" if left else ""
    return Finding("limits", well=True, words=f"a run takes about {needed:,} calls{of_day}")


def _companies(
    door: Door,
    accounts: Sequence[Ref],
    there: Mapping[str, Mapping[str, Any]],
    account_property: str,
) -> Iterator[Finding]:
    carried = [name for name in (_CSM,) if name in there]
    by_id = [ref.crm_id for ref in accounts if ref.crm_id and ref.crm_id.isdecimal()]
    found = records.read(door, OBJECTS["account"], by_id, carried)
    keys = [ref.key for ref in accounts if ref.crm_id not in found]
    usable = there.get(account_property, {}).get("hasUniqueValue")
    by_key = (
        records.read(door, OBJECTS["account"], keys, carried, by=account_property) if usable else {}
    )
    unmatched = sorted(key for key in keys if key not in by_key)
    words = f"{len(accounts) - len(unmatched):,} of {len(accounts):,} accounts have a company"
    if unmatched and not usable:
        words += f"; {account_property} is not there, or not unique: run expansion crm setup"
    elif unmatched:
        words += f"; the others are not written: enter {account_property}, or give crm_id"
    yield Finding("match", not unmatched, words, tuple(unmatched[:_EXAMPLES]))
    yield _owners(door, [*found.values(), *by_key.values()])


def _owners(door: Door, companies: Sequence[records.Record]) -> Finding:
    try:
        known = owners.known(door)
    except Denied as error:
        return Finding("owners", well=False, words=str(error))
    csms = {str(name) for one in companies if (name := one["properties"].get(_CSM))}
    lacking = tuple(sorted(csm for csm in csms if owners.of(known, csm) is None))
    if lacking:
        words = (
            f"{len(lacking)} of {len(csms)} CSMs are no owners at HubSpot, by e-mail or name: their"
            " deals and tasks belong to nobody"
        )
        return Finding("owners", well=False, words=words, examples=lacking[:_EXAMPLES])
    return Finding("owners", well=True, words=f"{len(csms)} CSMs of companies, all owners")
