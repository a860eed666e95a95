"""Make and change records: asking twice makes no two, nor undoes what a human did between.

What exists is set by its id. What does not is made under our key, an external id that Salesforce
keeps unique. Where an answer was lost, we look whether the record stands before we ask again: made
again over itself, it would take back the stage that somebody has moved meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.crm.salesforce import complaints
from serving.crm.salesforce.client import Client, Record
from serving.crm.salesforce.making import Maker
from serving.crm.salesforce.names import KEYS, SOBJECTS, Names, record_id
from serving.crm.salesforce.reading import Reader
from serving.crm.target import Accepted, Answer, Change, Denied, Kind, Ref, Refused, Transient

__all__ = ["Writer"]


@dataclass
class Writer:
    """Writes changes of one kind; remembers what was answered until all of them are.

    Attributes
    ----------
    answered : dict
        Key → change and answer, of a call in which other rows were locked.
    unanswered : set of str
        Keys of records that we may have made: the answer was lost.
    taken : set of str
        Keys of records that somebody else made at the same moment.
    """

    client: Client
    names: Names
    reader: Reader
    maker: Maker
    answered: dict[str, tuple[Change, Answer]] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)

    def write(self, changes: Sequence[Change]) -> list[Answer]:
        """Say of each change what became of it.

        Raises
        ------
        serving.crm.target.Transient
            If some rows are locked: asked again, only those are written.
        """
        left = [change for change in changes if self._answer(change) is None]
        known = {change.ref.key: change.ref.crm_id for change in left if change.ref.crm_id}
        known |= self._made_already([change for change in left if change.ref.crm_id is None])
        left = [change for change in left if self._answer(change) is None]
        if old := [change for change in left if change.ref.key in known]:
            self._set(old, known)
        if new := [change for change in left if change.ref.key not in known]:
            self._make(new)
        return self._answers(changes)

    def _answers(self, changes: Sequence[Change]) -> list[Answer]:
        told = [self._answer(change) for change in changes]
        answers = [answer for answer in told if answer is not None]
        if len(answers) < len(changes):
            locked = len(changes) - len(answers)
            raise Transient(f"{locked} of {len(changes)} records are locked by others")
        self.answered.clear()
        return answers

    def _answer(self, change: Change) -> Answer | None:
        known = self.answered.get(change.ref.key)
        return known[1] if known is not None and known[0] == change else None

    def _made_already(self, new: Sequence[Change]) -> dict[str, str]:
        """Answer for what we have made ourselves; give the ids of what others have made."""
        doubtful = [c for c in new if c.ref.key in self.unanswered | self.taken]
        if not doubtful:
            return {}
        stand = self.reader.ids(new[0].ref.kind, [change.ref.key for change in doubtful])
        for change in doubtful:
            if change.ref.key in stand and change.ref.key in self.unanswered:
                self._keep(change, Accepted(stand[change.ref.key]))
        return stand

    def _set(self, changes: Sequence[Change], ids: Mapping[str, str]) -> None:
        records = [self._record(change, ids[change.ref.key]) for change in changes]
        self._note(changes, self.client.update(records))

    def _record(self, change: Change, crm_id: str) -> Record:
        """The fields of a record that exists; our key with it, where it has none yet."""
        kind = change.ref.kind
        whole = record_id(kind, crm_id) or crm_id
        key = {KEYS[kind]: change.ref.key} if whole in self.reader.unkeyed else {}
        return {**_start(kind), "id": whole, **self._values(change), **key}

    def _make(self, changes: Sequence[Change]) -> None:
        kind = changes[0].ref.kind
        ready, records = [], []
        for change, base in zip(changes, self.maker.bases(changes), strict=True):
            if isinstance(base, Refused):
                self._keep(change, base)
                continue
            ready.append(change)
            key = {KEYS[kind]: change.ref.key}
            records.append({**_start(kind), **base, **self._values(change), **key})
        if not ready:
            return
        try:
            outcomes = self.client.upsert(SOBJECTS[kind], KEYS[kind], records)
        except Transient:
            self.unanswered |= {change.ref.key for change in ready}
            raise
        self._note(ready, outcomes)

    def _values(self, change: Change) -> Record:
        return self.names.values(change.ref.kind, change.fields)

    def _note(self, changes: Sequence[Change], outcomes: Sequence[Record]) -> None:
        for change, outcome in zip(changes, outcomes, strict=True):
            answer = self._told(change.ref, outcome)
            if answer is not None:
                self._keep(change, answer)

    def _keep(self, change: Change, answer: Answer) -> None:
        self.answered[change.ref.key] = (change, answer)
        self.unanswered.discard(change.ref.key)
        if isinstance(answer, Accepted):
            self.taken.discard(change.ref.key)
            self.reader.unkeyed.discard(answer.crm_id)

    def _told(self, ref: Ref, outcome: Record) -> Answer | None:
        """Give the answer of a row; None where it is to be asked again."""
        if outcome["success"]:
            return Accepted(str(outcome.get("id") or ref.crm_id))
        errors: list[Mapping[str, Any]] = list(outcome["errors"])
        if complaints.denied(errors):
            raise Denied(
                f"Salesforce takes no such field from us ({complaints.words(errors)}); run"
                " expansion crm setup, and give our user the permission set"
            )
        if complaints.is_locked(errors):
            return None
        if ref.crm_id is None and ref.key not in self.taken and _is_taken(ref.kind, errors):
            self.taken.add(ref.key)  # look for it, and set its fields
            return None
        return Refused(complaints.words(errors))


def _start(kind: Kind) -> dict[str, Any]:
    return {"attributes": {"type": SOBJECTS[kind]}}


def _is_taken(kind: Kind, errors: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a record of that key was made since we looked."""
    return any(
        error.get("statusCode") == "DUPLICATE_VALUE" and KEYS[kind] in str(error.get("message"))
        for error in errors
    )
