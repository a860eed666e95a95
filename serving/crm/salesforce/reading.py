"""What stands in Salesforce: accounts that match ours, opportunities and tasks by our key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from serving.crm.salesforce import soql
from serving.crm.salesforce.client import Client, Record
from serving.crm.salesforce.names import KEYS, SOBJECTS, Names, record_id
from serving.crm.target import Found, Kind, Ref

__all__ = ["Adoption", "Reader"]

_AT_ONCE: Final = 200


@dataclass(frozen=True)
class Adoption:
    """Which opportunities are about an expansion: of a record type, else of a type.

    Attributes
    ----------
    type : str or None
        Value of ``Opportunity.Type``.
    record_type : str or None
        Developer name of a record type.
    """

    type: str | None = "Expansion"
    record_type: str | None = None

    @property
    def condition(self) -> str | None:
        """Say it in SOQL; None where nothing tells them from other opportunities."""
        if self.record_type:
            return soql.equals("RecordType.DeveloperName", self.record_type)
        return soql.equals("Type", self.type) if self.type else None


@dataclass(frozen=True)
class Reader:
    """Looks up objects.

    Attributes
    ----------
    match : str
        Account's field that holds our account ids.
    unkeyed : set of str
        Ids of records that were seen without our key: it is put there with the first write.
    several : dict of str to list of str
        Our account ids that several records match, and those: a guess would write at the wrong one.
    """

    client: Client
    names: Names
    match: str
    adoption: Adoption
    unkeyed: set[str] = field(default_factory=set)
    several: dict[str, list[str]] = field(default_factory=dict)

    def found(self, refs: Sequence[Ref]) -> list[Found | None]:
        """Give what stands there for refs of one kind, in their order."""
        kind = refs[0].kind
        by_id = self._by_id(kind, [ref.crm_id for ref in refs if ref.crm_id is not None])
        by_key = self._by_key(kind, [ref.key for ref in refs if ref.crm_id is None])
        records = [
            by_key.get(ref.key)
            if ref.crm_id is None
            else by_id.get(record_id(kind, ref.crm_id) or "")
            for ref in refs
        ]
        found = [self._found(kind, record) for record in records]
        return self._adopted(refs, found) if kind == "opportunity" else found

    def ids(self, kind: Kind, keys: Sequence[str]) -> dict[str, str]:
        """Give key → id of the records that carry these keys."""
        if not keys:
            return {}
        records = self._keyed(kind, ["Id", KEYS[kind]], keys)
        return {record[KEYS[kind]]: record["Id"] for record in records}

    def matches(self, account_ids: Sequence[str]) -> dict[str, list[Record]]:
        """Give the records that match each of our accounts."""
        fields = sorted({*self.names.selected("account"), self.match})
        groups: dict[str, list[Record]] = {}
        for some in _parts(account_ids):
            same = soql.among(self.match, some)
            for record in self.client.query(soql.select(fields, "Account", same)):
                groups.setdefault(str(record[self.match]), []).append(record)
        return groups

    def _by_id(self, kind: Kind, crm_ids: Iterable[str]) -> dict[str, Record]:
        ids = sorted({whole for crm_id in crm_ids if (whole := record_id(kind, crm_id))})
        if not ids:
            return {}
        records = self.client.retrieve(SOBJECTS[kind], ids, self.names.selected(kind))
        return {record["Id"]: record for record in records if record is not None}

    def _by_key(self, kind: Kind, keys: Sequence[str]) -> dict[str, Record]:
        if not keys:
            return {}
        if kind == "account":
            return self._sole(keys)
        records = self._keyed(kind, self.names.selected(kind), keys)
        return {record[KEYS[kind]]: record for record in records}

    def _keyed(self, kind: Kind, fields: Sequence[str], keys: Sequence[str]) -> list[Record]:
        same = soql.among(KEYS[kind], keys)
        return self.client.query(soql.select(fields, SOBJECTS[kind], same))

    def _sole(self, account_ids: Sequence[str]) -> dict[str, Record]:
        groups = self.matches(account_ids)
        for account_id in account_ids:
            self.several.pop(account_id, None)
        for account_id, group in groups.items():
            if len(group) > 1:
                self.several[account_id] = [record["Id"] for record in group]
        return {name: group[0] for name, group in groups.items() if len(group) == 1}

    def _adopted(self, refs: Sequence[Ref], found: list[Found | None]) -> list[Found | None]:
        """Fill the gaps with open opportunities that humans made; each is taken once."""
        gaps = {
            place: account
            for place, ref in enumerate(refs)
            if found[place] is None
            and ref.crm_id is None
            and (account := record_id("account", ref.account_crm_id)) is not None
        }
        free = self._of_humans(sorted(set(gaps.values()))) if gaps else []
        for place, account in gaps.items():
            best = min(
                (record for record in free if self._fits(record, account, refs[place].limit)),
                key=lambda record: (not self._limit(record), record["CreatedDate"], record["Id"]),
                default=None,
            )
            if best is not None:
                free.remove(best)
                found[place] = self._found("opportunity", best)
        return found

    def _of_humans(self, accounts: Sequence[str]) -> list[Record]:
        if self.adoption.condition is None:
            return []
        return self.client.query(
            soql.select(
                [*self.names.selected("opportunity"), "AccountId", "CreatedDate"],
                "Opportunity",
                "IsClosed = false",
                f"{KEYS['opportunity']} = null",
                self.adoption.condition,
                soql.among("AccountId", accounts),
            )
        )

    def _fits(self, record: Record, account: str, limit: str | None) -> bool:
        return record["AccountId"] == account and self._limit(record) in {None, limit}

    def _limit(self, record: Record) -> object:
        """What an opportunity is about, where it says so."""
        column = self.names.columns["opportunity"].get("limit")
        return column.received(record.get(column.name)) if column else None

    def _found(self, kind: Kind, record: Record | None) -> Found | None:
        if record is None:
            return None
        has_key = bool(record.get(KEYS[kind]))
        (self.unkeyed.discard if has_key else self.unkeyed.add)(record["Id"])
        ours = has_key or kind == "account"
        return Found(record["Id"], self.names.received(kind, record), ours)


def _parts(items: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), _AT_ONCE):
        yield list(items[start : start + _AT_ONCE])
