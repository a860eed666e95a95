"""Matching of our references to a CRM's records: by record id, by key, and by adoption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from serving.delivery.crm.base import ObjectRef

__all__ = ["adopt_opportunities", "match_records"]

RecordId = TypeVar("RecordId", str, int)
Record = TypeVar("Record")


def match_records(
    refs: Sequence[ObjectRef],
    by_id: Mapping[Any, Record],
    by_key: Mapping[str, Record],
    parse_id: Callable[[str | None], str | int | None],
) -> list[Record | None]:
    """Return the record of each ref: by its record id if that is known, otherwise by our key."""
    return [
        by_key.get(ref.key) if ref.crm_id is None else by_id.get(parse_id(ref.crm_id))
        for ref in refs
    ]


def adopt_opportunities(
    refs: Sequence[ObjectRef],
    matches: Sequence[Record | None],
    parse_id: Callable[[str | None], RecordId | None],
    search: Callable[[Sequence[RecordId]], Mapping[RecordId, Sequence[Record]]],
    rank: Callable[[Record, ObjectRef], tuple[Any, ...] | None],
) -> list[Record | None]:
    """Fill missing matches with open opportunities that humans created, each used once.

    ``search`` returns the opportunities of account records; ``rank`` orders those that suit a ref,
    lowest first, and returns None for the others.
    """
    unmatched = {
        index: account
        for index, (ref, match) in enumerate(zip(refs, matches, strict=True))
        if match is None
        and ref.crm_id is None
        and (account := parse_id(ref.account_crm_id)) is not None
    }
    candidates = search(sorted(set(unmatched.values()))) if unmatched else {}
    filled, adopted = list(matches), list[Record]()
    for index, account in unmatched.items():
        ranked = [
            (position, record)
            for record in candidates.get(account, ())
            if record not in adopted and (position := rank(record, refs[index])) is not None
        ]
        if ranked:
            _, best = min(ranked, key=lambda pair: pair[0])
            adopted.append(best)
            filled[index] = best
    return filled
