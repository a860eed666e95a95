"""Which row is meant, and what becomes of it."""

from __future__ import annotations

from typing import Any

from serving.crm.files import cells, sheets
from serving.crm.files.sheets import Sheet
from serving.crm.target import Accepted, Answer, Change, Found, Ref, Refused
from serving.outbox.objects import OPEN

__all__ = ["found", "put"]


def found(sheet: Sheet, ref: Ref, taken: set[int]) -> Found | None:
    """What stands in the file of a ref; ``taken`` rows are adopted for another one already."""
    row = sheet.row(ref.crm_id) or sheet.row(ref.key)
    if row is not None:
        return Found(sheet.text(row, sheet.key), sheet.fields(row))
    row = _adoptable(sheet, ref, taken)
    if row is None:
        return None
    taken.add(id(row))
    # It has no name of its own: it gets ours once something is written into it.
    return Found(ref.key, sheet.fields(row), ours=False)


def _adoptable(sheet: Sheet, ref: Ref, taken: set[int]) -> dict[str, Any] | None:
    """An open opportunity that somebody has put into the file for the account and limit."""
    if ref.kind != "opportunity":
        return None
    for row in sheet.unkeyed(ref.account_id):
        fields = sheet.fields(row)
        is_open = fields.get("state") in {None, OPEN}
        if is_open and fields.get("limit") in {None, ref.limit} and id(row) not in taken:
            return row
    return None


def put(sheet: Sheet, change: Change) -> Answer:
    """Set the cells of one change, in a row of its own where there is none."""
    ref = change.ref
    if cells.plain(ref.key, sheets.TEXT) != ref.key:
        return Refused("its key holds characters that no file of text can hold")
    row = sheet.row(ref.crm_id) or sheet.row(ref.key)
    key = ref.key if row is None else sheet.text(row, sheet.key)
    if key in sheet.doubled:
        return Refused(f"several rows have the key {key!r}; delete all but one of them")
    if row is None:
        row = _made(sheet, ref)
    sheet.set(row, change.fields)
    return Accepted(key)


def _made(sheet: Sheet, ref: Ref) -> dict[str, Any]:
    """The row somebody else made and the sender has adopted, else one of our own."""
    row = _adoptable(sheet, ref, set()) if ref.crm_id is not None else None
    if row is not None:
        sheet.claim(row, ref.key)
        return row
    row = sheet.add(ref.key)
    if ref.kind != "account":
        sheet.put(row, "account_id", ref.account_id)
    if ref.kind == "task":
        sheet.put(row, "opportunity", ref.opportunity_crm_id)
    return row
