"""Read Salesforce records: accounts by matching, opportunities and tasks by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from data.config.delivery import SalesforceConfig
from serving.delivery.crm.base import Kind, ObjectRef, RemoteObject
from serving.delivery.crm.matching import adopt_opportunities, match_records
from serving.delivery.crm.salesforce.client import (
    Record,
    SalesforceClient,
    build_query,
    equals,
    in_list,
)
from serving.delivery.crm.salesforce.field_mapping import (
    KEY_FIELDS,
    SOBJECTS,
    SalesforceFieldMapping,
    normalize_record_id,
)
from serving.store.upsert import iter_chunks

__all__ = ["SalesforceReader"]

_BATCH_SIZE: Final = 200


@dataclass(frozen=True)
class SalesforceReader:
    """Reads records of one kind."""

    client: SalesforceClient
    field_mapping: SalesforceFieldMapping
    config: SalesforceConfig
    # Ids of records without our key; the first write adds it.
    unkeyed: set[str] = field(default_factory=set)
    # Account ids that several records match, with the record ids; they are not written.
    ambiguous: dict[str, list[str]] = field(default_factory=dict)

    def read_objects(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        """Read the objects of refs of one kind, in their order."""
        kind = refs[0].kind
        by_id = self._read_by_id(kind, [ref.crm_id for ref in refs if ref.crm_id is not None])
        by_key = self._read_by_key(kind, [ref.key for ref in refs if ref.crm_id is None])
        records = match_records(refs, by_id, by_key, partial(normalize_record_id, kind))
        if kind == "opportunity":
            records = adopt_opportunities(
                refs,
                records,
                partial(normalize_record_id, "account"),
                self._query_human_opportunities,
                self._rank_opportunity,
            )
        return [self._to_remote_object(kind, record) for record in records]

    def find_ids(self, kind: Kind, keys: Sequence[str]) -> dict[str, str]:
        """Return key → record id of records with these keys."""
        records = self._query_by_key(kind, ["Id", KEY_FIELDS[kind]], keys)
        return {record[KEY_FIELDS[kind]]: record["Id"] for record in records}

    def match_accounts(self, account_ids: Sequence[str]) -> dict[str, list[Record]]:
        """Return the records that match each account id."""
        match_field = self.config.match
        fields = sorted({*self.field_mapping.list_selected_fields("account"), match_field})
        groups: dict[str, list[Record]] = {}
        for batch in iter_chunks(account_ids, _BATCH_SIZE):
            query = build_query(fields, "Account", in_list(match_field, batch))
            for record in self.client.query(query):
                groups.setdefault(str(record[match_field]), []).append(record)
        return groups

    def _read_by_id(self, kind: Kind, crm_ids: Sequence[str]) -> dict[str, Record]:
        ids = {full_id for crm_id in crm_ids if (full_id := normalize_record_id(kind, crm_id))}
        if not ids:
            return {}
        fields = self.field_mapping.list_selected_fields(kind)
        records = self.client.retrieve(SOBJECTS[kind], sorted(ids), fields)
        return {record["Id"]: record for record in records if record is not None}

    def _read_by_key(self, kind: Kind, keys: Sequence[str]) -> dict[str, Record]:
        if not keys:
            return {}
        if kind == "account":
            return self._read_unambiguous(keys)
        records = self._query_by_key(kind, self.field_mapping.list_selected_fields(kind), keys)
        return {record[KEY_FIELDS[kind]]: record for record in records}

    def _query_by_key(self, kind: Kind, fields: Sequence[str], keys: Sequence[str]) -> list[Record]:
        condition = in_list(KEY_FIELDS[kind], keys)
        return self.client.query(build_query(fields, SOBJECTS[kind], condition))

    def _read_unambiguous(self, account_ids: Sequence[str]) -> dict[str, Record]:
        groups = self.match_accounts(account_ids)
        for account_id in account_ids:
            self.ambiguous.pop(account_id, None)
        for account_id, group in groups.items():
            if len(group) > 1:
                self.ambiguous[account_id] = [record["Id"] for record in group]
        return {name: group[0] for name, group in groups.items() if len(group) == 1}

    def _query_human_opportunities(self, account_ids: Sequence[str]) -> dict[str, list[Record]]:
        """Query open opportunities without our key, by record type, otherwise by type."""
        config = self.config
        if not (config.record_type or config.type):
            return {}
        fields = self.field_mapping.list_selected_fields("opportunity")
        query = build_query(
            [*fields, "AccountId", "CreatedDate"],
            "Opportunity",
            "IsClosed = false",
            f"{KEY_FIELDS['opportunity']} = null",
            equals("RecordType.DeveloperName", config.record_type)
            if config.record_type
            else equals("Type", config.type),
            in_list("AccountId", account_ids),
        )
        by_account: dict[str, list[Record]] = {}
        for record in self.client.query(query):
            by_account.setdefault(record["AccountId"], []).append(record)
        return by_account

    def _rank_opportunity(self, record: Record, ref: ObjectRef) -> tuple[bool, str, str] | None:
        """Rank opportunities of the same limit first, then those without one, by age."""
        limit_field = self.field_mapping.fields["opportunity"].get("limit")
        limit = limit_field.deserialize(record.get(limit_field.name)) if limit_field else None
        if limit not in {None, ref.limit}:
            return None
        return not limit, record["CreatedDate"], record["Id"]

    def _to_remote_object(self, kind: Kind, record: Record | None) -> RemoteObject | None:
        if record is None:
            return None
        has_key = bool(record.get(KEY_FIELDS[kind]))
        (self.unkeyed.discard if has_key else self.unkeyed.add)(record["Id"])
        fields = self.field_mapping.deserialize_record(kind, record)
        return RemoteObject(record["Id"], fields, created_by_us=has_key or kind == "account")
