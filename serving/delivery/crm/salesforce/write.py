"""Idempotent writes: a retry neither duplicates records nor reverts a human's edit.

Existing records are updated by id, new ones are upserted by external id. If a response was lost, we
look the record up before retrying: a second upsert would reset a stage that a human has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.delivery.crm.base import (
    AccessDeniedError,
    Applied,
    FieldChange,
    Kind,
    ObjectRef,
    Rejected,
    RetryableError,
    WriteResult,
)
from serving.delivery.crm.salesforce.client import Record, SalesforceClient
from serving.delivery.crm.salesforce.create import SalesforceRecordFactory
from serving.delivery.crm.salesforce.errors import format_errors, is_access_denied, is_locked
from serving.delivery.crm.salesforce.field_mapping import (
    KEY_FIELDS,
    SOBJECTS,
    SalesforceFieldMapping,
    normalize_record_id,
)
from serving.delivery.crm.salesforce.read import SalesforceReader

__all__ = ["SalesforceWriter"]


@dataclass
class SalesforceWriter:
    """Writes changes of one kind, and keeps their results until all are known."""

    client: SalesforceClient
    field_mapping: SalesforceFieldMapping
    reader: SalesforceReader
    factory: SalesforceRecordFactory
    # Key → change and result, from a call in which other rows were locked.
    results: dict[str, tuple[FieldChange, WriteResult]] = field(default_factory=dict)
    # Keys of records that may have been created: the response was lost.
    unconfirmed: set[str] = field(default_factory=set)
    # Keys of records that someone else created at the same time.
    duplicates: set[str] = field(default_factory=set)

    def write_changes(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Write changes, and return the result of each.

        Raises
        ------
        serving.delivery.crm.base.RetryableError
            If some rows are locked; a retry writes only those.
        """
        pending = [change for change in changes if self._get_result(change) is None]
        ids = {change.ref.key: change.ref.crm_id for change in pending if change.ref.crm_id}
        ids |= self._find_created([change for change in pending if change.ref.crm_id is None])
        pending = [change for change in pending if self._get_result(change) is None]
        if existing := [change for change in pending if change.ref.key in ids]:
            self._update_records(existing, ids)
        if new := [change for change in pending if change.ref.key not in ids]:
            self._create_records(new)
        return self._collect_results(changes)

    def _collect_results(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        stored = [self._get_result(change) for change in changes]
        results = [result for result in stored if result is not None]
        if len(results) < len(changes):
            locked = len(changes) - len(results)
            raise RetryableError(f"{locked} of {len(changes)} records are locked by others")
        self.results.clear()
        return results

    def _get_result(self, change: FieldChange) -> WriteResult | None:
        stored = self.results.get(change.ref.key)
        return stored[1] if stored is not None and stored[0] == change else None

    def _find_created(self, new: Sequence[FieldChange]) -> dict[str, str]:
        """Store results of records that we created, and return the ids of all existing ones."""
        keys = [change.ref.key for change in new]
        uncertain = [key for key in keys if key in self.unconfirmed | self.duplicates]
        if not uncertain:
            return {}
        existing_ids = self.reader.find_ids(new[0].ref.kind, uncertain)
        for change in new:
            if change.ref.key in existing_ids.keys() & self.unconfirmed:
                self._store_result(change, Applied(existing_ids[change.ref.key]))
        return existing_ids

    def _update_records(self, changes: Sequence[FieldChange], ids: Mapping[str, str]) -> None:
        records = [self._build_record(change, ids[change.ref.key]) for change in changes]
        self._record_outcomes(changes, self.client.update(records))

    def _build_record(self, change: FieldChange, crm_id: str) -> Record:
        """Build the update of an existing record, with our key if it has none yet."""
        kind = change.ref.kind
        full_id = normalize_record_id(kind, crm_id) or crm_id
        key = {KEY_FIELDS[kind]: change.ref.key} if full_id in self.reader.unkeyed else {}
        return {**_build_attributes(kind), "id": full_id, **self._serialize_change(change), **key}

    def _create_records(self, changes: Sequence[FieldChange]) -> None:
        kind = changes[0].ref.kind
        records: list[tuple[FieldChange, Record]] = []
        for change, initial in zip(
            changes, self.factory.build_initial_fields(changes), strict=True
        ):
            if isinstance(initial, Rejected):
                self._store_result(change, initial)
                continue
            fields = {**initial, **self._serialize_change(change)}
            record = {**_build_attributes(kind), **fields, KEY_FIELDS[kind]: change.ref.key}
            records.append((change, record))
        if not records:
            return
        ready = [change for change, _ in records]
        try:
            outcomes = self.client.upsert(
                SOBJECTS[kind], KEY_FIELDS[kind], [record for _, record in records]
            )
        except RetryableError:
            self.unconfirmed |= {change.ref.key for change in ready}
            raise
        self._record_outcomes(ready, outcomes)

    def _serialize_change(self, change: FieldChange) -> Record:
        return self.field_mapping.serialize_fields(change.ref.kind, change.fields)

    def _record_outcomes(self, changes: Sequence[FieldChange], outcomes: Sequence[Record]) -> None:
        for change, outcome in zip(changes, outcomes, strict=True):
            result = self._to_result(change.ref, outcome)
            if result is not None:
                self._store_result(change, result)

    def _store_result(self, change: FieldChange, result: WriteResult) -> None:
        self.results[change.ref.key] = (change, result)
        self.unconfirmed.discard(change.ref.key)
        if isinstance(result, Applied):
            self.duplicates.discard(change.ref.key)
            self.reader.unkeyed.discard(result.crm_id)

    def _to_result(self, ref: ObjectRef, outcome: Record) -> WriteResult | None:
        """Return the result of a row, or None if it must be retried."""
        if outcome["success"]:
            return Applied(str(outcome.get("id") or ref.crm_id))
        errors: list[Mapping[str, Any]] = list(outcome["errors"])
        if is_access_denied(errors):
            raise AccessDeniedError(
                f"Salesforce rejects a field ({format_errors(errors)}); run expansion crm setup,"
                " and assign the permission set to our user"
            )
        if is_locked(errors):
            return None
        is_first = ref.crm_id is None and ref.key not in self.duplicates
        if is_first and _is_duplicate_key(ref.kind, errors):
            self.duplicates.add(ref.key)  # the retry looks it up and updates it
            return None
        return Rejected(format_errors(errors))


def _build_attributes(kind: Kind) -> dict[str, Any]:
    return {"attributes": {"type": SOBJECTS[kind]}}


def _is_duplicate_key(kind: Kind, errors: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a record with this key was created since we looked."""
    return any(
        error.get("statusCode") == "DUPLICATE_VALUE"
        and KEY_FIELDS[kind] in str(error.get("message"))
        for error in errors
    )
