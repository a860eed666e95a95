"""Make and change records: asking twice makes no two, nor undoes what a human did between.

What exists is set by its id. What does not is made under our key, an external id that Salesforce
keeps unique. Where an answer was lost, we look whether the record stands before we ask again: made
again over itself, it would take back the stage that somebody has moved meanwhile.
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
    """Writes changes of one kind; remembers what was answered until all of them are.

    Attributes
    ----------
    results : dict
        Key → change and answer, of a call in which other rows were locked.
    unconfirmed : set of str
        Keys of records that we may have made: the answer was lost.
    duplicates : set of str
        Keys of records that somebody else made at the same moment.
    """

    client: SalesforceClient
    field_mapping: SalesforceFieldMapping
    reader: SalesforceReader
    factory: SalesforceRecordFactory
    results: dict[str, tuple[FieldChange, WriteResult]] = field(default_factory=dict)
    unconfirmed: set[str] = field(default_factory=set)
    duplicates: set[str] = field(default_factory=set)

    def write_changes(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        """Say of each change what became of it.

        Raises
        ------
        serving.delivery.crm.base.RetryableError
            If some rows are locked: asked again, only those are written.
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
        results = [answer for answer in stored if answer is not None]
        if len(results) < len(changes):
            locked = len(changes) - len(results)
            raise RetryableError(f"{locked} of {len(changes)} records are locked by others")
        self.results.clear()
        return results

    def _get_result(self, change: FieldChange) -> WriteResult | None:
        stored = self.results.get(change.ref.key)
        return stored[1] if stored is not None and stored[0] == change else None

    def _find_created(self, new: Sequence[FieldChange]) -> dict[str, str]:
        """Answer for what we have made ourselves; give the ids of what others have made."""
        uncertain = [c for c in new if c.ref.key in self.unconfirmed | self.duplicates]
        if not uncertain:
            return {}
        existing_ids = self.reader.find_ids(
            new[0].ref.kind, [change.ref.key for change in uncertain]
        )
        for change in uncertain:
            if change.ref.key in existing_ids and change.ref.key in self.unconfirmed:
                self._store_result(change, Applied(existing_ids[change.ref.key]))
        return existing_ids

    def _update_records(self, changes: Sequence[FieldChange], ids: Mapping[str, str]) -> None:
        records = [self._build_record(change, ids[change.ref.key]) for change in changes]
        self._record_outcomes(changes, self.client.update(records))

    def _build_record(self, change: FieldChange, crm_id: str) -> Record:
        """The fields of a record that exists; our key with it, where it has none yet."""
        kind = change.ref.kind
        full_id = normalize_record_id(kind, crm_id) or crm_id
        key = {KEY_FIELDS[kind]: change.ref.key} if full_id in self.reader.unkeyed else {}
        return {**_build_attributes(kind), "id": full_id, **self._serialize_change(change), **key}

    def _create_records(self, changes: Sequence[FieldChange]) -> None:
        kind = changes[0].ref.kind
        ready, records = [], []
        for change, initial in zip(
            changes, self.factory.build_initial_fields(changes), strict=True
        ):
            if isinstance(initial, Rejected):
                self._store_result(change, initial)
                continue
            ready.append(change)
            key = {KEY_FIELDS[kind]: change.ref.key}
            records.append(
                {**_build_attributes(kind), **initial, **self._serialize_change(change), **key}
            )
        if not ready:
            return
        try:
            outcomes = self.client.upsert(SOBJECTS[kind], KEY_FIELDS[kind], records)
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
        """Give the answer of a row; None where it is to be asked again."""
        if outcome["success"]:
            return Applied(str(outcome.get("id") or ref.crm_id))
        errors: list[Mapping[str, Any]] = list(outcome["errors"])
        if is_access_denied(errors):
            raise AccessDeniedError(
                f"Salesforce takes no such field from us ({format_errors(errors)}); run"
                " expansion crm setup, and give our user the permission set"
            )
        if is_locked(errors):
            return None
        if (
            ref.crm_id is None
            and ref.key not in self.duplicates
            and _is_duplicate_key(ref.kind, errors)
        ):
            self.duplicates.add(ref.key)  # look for it, and set its fields
            return None
        return Rejected(format_errors(errors))


def _build_attributes(kind: Kind) -> dict[str, Any]:
    return {"attributes": {"type": SOBJECTS[kind]}}


def _is_duplicate_key(kind: Kind, errors: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a record of that key was made since we looked."""
    return any(
        error.get("statusCode") == "DUPLICATE_VALUE"
        and KEY_FIELDS[kind] in str(error.get("message"))
        for error in errors
    )
