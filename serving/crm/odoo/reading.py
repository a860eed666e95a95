"""What stands in Odoo: partners that match accounts, opportunities and activities by our key.

An activity that is done, or an opportunity that is lost, is archived in Odoo: it still stands, and
so is not made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from serving.crm.odoo.client import Client
from serving.crm.odoo.names import KEY, MODELS, Names
from serving.crm.target import Found, Kind, Ref

__all__ = ["ARCHIVED_TOO", "Reader", "number"]

ARCHIVED_TOO: Final = {"active_test": False}
Record: TypeAlias = Mapping[str, Any]
_PARTNER: Final = ("active", "is_company", "parent_id")
_MORE: Final[Mapping[Kind, tuple[str, ...]]] = {"opportunity": ("partner_id",), "task": ()}
_COMPANY: Final = "commercial_partner_id"
_LARGEST: Final = 2**31 - 1  # of a column of ids


@dataclass(frozen=True)
class Reader:
    """Looks up objects; ``match`` is the partners' field that holds our accounts' ids."""

    client: Client
    names: Names
    match: str
    team: str
    tag: str

    def accounts(self, refs: Sequence[Ref]) -> list[Found | None]:
        """Give the partner of each account: the one that is named, else the one that matches.

        Where several partners match one account, none does: a guess would write at the wrong one.
        """
        return [self._found("account", record) for record in self._partners(refs)]

    def keyed(self, kind: Kind, refs: Sequence[Ref]) -> list[Found | None]:
        """Give the opportunities or tasks of these refs; humans' opportunities are adopted."""
        known = [identity for ref in refs if (identity := number(ref.crm_id)) is not None]
        keys = [ref.key for ref in refs if ref.crm_id is None]
        records = self._search(kind, ["|", ["id", "in", known], [KEY, "in", keys]])
        by_id = {record["id"]: record for record in records}
        by_key = {record[KEY]: record for record in reversed(records)}
        found = [
            self._found(
                kind, by_key.get(ref.key) if ref.crm_id is None else by_id.get(number(ref.crm_id))
            )
            for ref in refs
        ]
        return self._adopted(refs, found) if kind == "opportunity" else found

    def matches(self, account_ids: Sequence[str]) -> dict[str, list[int]]:
        """Give the partners that match each account; several where a guess would be needed."""
        records = self._search("account", [[self.match, "in", list(account_ids)]])
        matched = self._matched(records)
        return {name: [item["id"] for item in best] for name, best in matched.items()}

    def _partners(self, refs: Sequence[Ref]) -> list[Record | None]:
        named = [identity for ref in refs if (identity := number(ref.crm_id)) is not None]
        ids = [ref.account_id for ref in refs]
        records = self._search("account", ["|", ["id", "in", named], [self.match, "in", ids]])
        by_id = {record["id"]: record for record in records}
        matched = self._matched(records)
        sole = {name: best[0] for name, best in matched.items() if len(best) == 1}
        return [by_id.get(number(ref.crm_id)) or sole.get(ref.account_id) for ref in refs]

    def _matched(self, records: Iterable[Record]) -> dict[str, list[Record]]:
        """By account: partners in use before archived ones, companies before the people in them."""
        groups: dict[str, list[Record]] = {}
        for record in records:
            groups.setdefault(record[self.match] or "", []).append(record)
        return {name: _best(group) for name, group in groups.items()}

    def _adopted(self, refs: Sequence[Ref], found: list[Found | None]) -> list[Found | None]:
        """Fill the gaps with open opportunities that humans made; each is taken once."""
        gaps = {
            place: partner
            for place, ref in enumerate(refs)
            if found[place] is None
            and ref.crm_id is None
            and (partner := number(ref.account_crm_id)) is not None
        }
        free = self._of_humans(sorted(set(gaps.values()))) if gaps else []
        for place, partner in gaps.items():
            fitting = [lead for lead in free if self._fits(lead, partner, refs[place].limit)]
            if fitting:
                best = min(fitting, key=lambda lead: (not lead[self._limit], lead["id"]))
                free.remove(best)
                found[place] = self._found("opportunity", best, ours=False)
        return found

    def _of_humans(self, partners: Sequence[int]) -> list[dict[str, Any]]:
        """Open opportunities of our team or tag without our key, at a partner or its people."""
        domain = [
            *(["type", "=", "opportunity"], ["active", "=", True], ["won_status", "=", "pending"]),
            [KEY, "=", False],
            *("|", ["team_id.name", "=", self.team], ["tag_ids.name", "=", self.tag]),
            *("|", ["partner_id", "in", partners], [f"partner_id.{_COMPANY}", "in", partners]),
        ]
        leads = [dict(lead) for lead in self._search("opportunity", domain)]
        people = sorted({lead["partner_id"][0] for lead in leads})
        read = (
            self.client.call("res.partner", "read", ids=people, fields=[_COMPANY]) if people else []
        )
        above = {item["id"]: item[_COMPANY][0] for item in read}
        for lead in leads:
            person = lead["partner_id"][0]
            lead["partners"] = {person, above[person]}
        return leads

    def _fits(self, lead: Record, partner: int, limit: str | None) -> bool:
        return partner in lead["partners"] and (not lead[self._limit] or lead[self._limit] == limit)

    @property
    def _limit(self) -> str:
        """Odoo's field for what an opportunity is about; if there is none, one that is empty."""
        return self.names.fields["opportunity"].get("limit", KEY)

    def _search(self, kind: Kind, domain: list[Any]) -> list[Record]:
        also = (self.match, *_PARTNER) if kind == "account" else (KEY, *_MORE[kind])
        fields = sorted({*self.names.fields[kind].values(), *also})
        answer: list[Record] = self.client.call(
            MODELS[kind],
            "search_read",
            domain=domain,
            fields=fields,
            order="id",
            context=ARCHIVED_TOO,
        )
        return answer

    def _found(self, kind: Kind, record: Record | None, *, ours: bool = True) -> Found | None:
        if record is None:
            return None
        return Found(str(record["id"]), self.names.received(kind, record), ours)


def number(crm_id: str | None) -> int | None:
    """Give Odoo's id as the number that it is, or None where it is none."""
    if crm_id is None or not crm_id.isdecimal() or int(crm_id) > _LARGEST:
        return None
    return int(crm_id)


def _best(group: list[Record]) -> list[Record]:
    def order(record: Record) -> tuple[bool, bool]:
        return not record["active"], not record["is_company"] and bool(record["parent_id"])

    first = min(map(order, group))
    return [record for record in group if order(record) == first]
