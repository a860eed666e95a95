"""Read Odoo records: partners by account id, opportunities and activities by key.

Odoo archives a completed activity and a lost opportunity. Archived records are read too, so they
are not created again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from data.config.delivery import OdooConfig
from serving.delivery.crm.base import Kind, ObjectRef, RemoteObject
from serving.delivery.crm.matching import adopt_opportunities, match_records
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import KEY_FIELD, MODELS, OdooFieldMapping

__all__ = ["INCLUDE_ARCHIVED", "OdooReader", "parse_id"]

INCLUDE_ARCHIVED: Final = {"active_test": False}
Record: TypeAlias = Mapping[str, Any]
_PARTNER_FIELDS: Final = ("active", "is_company", "parent_id")
_EXTRA_FIELDS: Final[Mapping[Kind, tuple[str, ...]]] = {"opportunity": ("partner_id",), "task": ()}
_COMPANY_FIELD: Final = "commercial_partner_id"
_MAX_ID: Final = 2**31 - 1  # 32-bit id column


@dataclass(frozen=True)
class OdooReader:
    """Reads records of one kind."""

    client: OdooClient
    field_mapping: OdooFieldMapping
    config: OdooConfig

    def read_objects(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Read the objects of refs of one kind; open opportunities of humans are adopted."""
        kind = refs[0].kind
        if kind == "account":
            return [self._to_remote_object(kind, record) for record in self._read_partners(refs)]
        ids = [crm_id for ref in refs if (crm_id := parse_id(ref.crm_id)) is not None]
        keys = [ref.key for ref in refs if ref.crm_id is None]
        records = self._search_records(kind, ["|", ["id", "in", ids], [KEY_FIELD, "in", keys]])
        by_id = {record["id"]: record for record in records}
        by_key = {record[KEY_FIELD]: record for record in reversed(records)}
        matches = match_records(refs, by_id, by_key, parse_id)
        adopted = matches
        if kind == "opportunity":
            adopted = adopt_opportunities(
                refs, matches, parse_id, self._search_human_opportunities, self._rank_opportunity
            )
        return [
            self._to_remote_object(kind, record, created_by_us=match is not None)
            for record, match in zip(adopted, matches, strict=True)
        ]

    def match_partners(self, account_ids: Sequence[str]) -> dict[str, list[int]]:
        """Return the partner ids that match each account; several if the match is ambiguous."""
        records = self._search_records("account", [[self.config.match, "in", list(account_ids)]])
        preferred = self._group_by_account(records)
        return {name: [item["id"] for item in best] for name, best in preferred.items()}

    def _read_partners(self, refs: Sequence[ObjectRef]) -> list[Record | None]:
        """Read the partner of each account: by ``crm_id`` if it exists, otherwise by matching.

        An account that several partners match is returned as None, because a guess could be wrong.
        """
        named_ids = [crm_id for ref in refs if (crm_id := parse_id(ref.crm_id)) is not None]
        account_ids = [ref.account_id for ref in refs]
        records = self._search_records(
            "account", ["|", ["id", "in", named_ids], [self.config.match, "in", account_ids]]
        )
        by_id = {record["id"]: record for record in records}
        preferred = self._group_by_account(records)
        unambiguous = {name: best[0] for name, best in preferred.items() if len(best) == 1}
        return [by_id.get(parse_id(ref.crm_id)) or unambiguous.get(ref.account_id) for ref in refs]

    def _group_by_account(self, records: Sequence[Record]) -> dict[str, list[Record]]:
        """Group partners by account; prefer active over archived, companies over contacts."""
        groups: dict[str, list[Record]] = {}
        for record in sorted(records, key=_rank_partner):
            group = groups.setdefault(record[self.config.match] or "", [])
            if not group or _rank_partner(record) == _rank_partner(group[0]):
                group.append(record)
        return groups

    def _search_human_opportunities(self, partner_ids: Sequence[int]) -> dict[int, list[Record]]:
        """Return open opportunities of our team or tag without a key, by contact and company."""
        domain = [
            *(["type", "=", "opportunity"], ["active", "=", True], ["won_status", "=", "pending"]),
            [KEY_FIELD, "=", False],
            *("|", ["team_id.name", "=", self.config.team], ["tag_ids.name", "=", self.config.tag]),
            *(
                "|",
                ["partner_id", "in", partner_ids],
                [f"partner_id.{_COMPANY_FIELD}", "in", partner_ids],
            ),
        ]
        leads = self._search_records("opportunity", domain)
        contact_ids = sorted({lead["partner_id"][0] for lead in leads})
        contacts = (
            self.client.call("res.partner", "read", ids=contact_ids, fields=[_COMPANY_FIELD])
            if contact_ids
            else []
        )
        company_by_contact = {item["id"]: item[_COMPANY_FIELD][0] for item in contacts}
        by_partner: dict[int, list[Record]] = {}
        for lead in leads:
            contact_id = lead["partner_id"][0]
            for partner in {contact_id, company_by_contact[contact_id]}:
                by_partner.setdefault(partner, []).append(lead)
        return by_partner

    def _rank_opportunity(self, lead: Record, ref: ObjectRef) -> tuple[bool, int] | None:
        """Rank opportunities of the same limit first, then those without one, by age."""
        # If the limit is not mapped, use the key field, which is empty here.
        limit = lead[self.field_mapping.get_names("opportunity").get("limit", KEY_FIELD)]
        return (not limit, lead["id"]) if (limit or ref.limit) == ref.limit else None

    def _search_records(self, kind: Kind, domain: list[Any]) -> list[Record]:
        extra_fields = (
            (self.config.match, *_PARTNER_FIELDS)
            if kind == "account"
            else (KEY_FIELD, *_EXTRA_FIELDS[kind])
        )
        fields = sorted({*self.field_mapping.get_names(kind).values(), *extra_fields})
        records: list[Record] = self.client.call(
            MODELS[kind],
            "search_read",
            domain=domain,
            fields=fields,
            order="id",
            context=INCLUDE_ARCHIVED,
        )
        return records

    def _to_remote_object(
        self, kind: Kind, record: Record | None, *, created_by_us: bool = True
    ) -> RemoteObject | None:
        if record is None:
            return None
        return RemoteObject(
            str(record["id"]), self.field_mapping.deserialize_record(kind, record), created_by_us
        )


def parse_id(crm_id: str | None) -> int | None:
    """Return an Odoo id as an integer, or None if it is not valid."""
    if crm_id is None or not crm_id.isdecimal() or int(crm_id) > _MAX_ID:
        return None
    return int(crm_id)


def _rank_partner(record: Record) -> tuple[bool, bool]:
    return not record["active"], not record["is_company"] and bool(record["parent_id"])
