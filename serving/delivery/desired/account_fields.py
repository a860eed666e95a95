"""Desired CRM fields of every account, derived from a list; one row per object.

Numbers are rounded to a useful precision, so that every difference is worth a write.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from serving.delivery.crm.base import Fields, Kind
from serving.delivery.crm.fields import FIELDS, CrmField
from serving.store.engine import PreEncodedJson

__all__ = ["DesiredObject", "build_account_objects", "hash_fields", "serialize_fields"]


@dataclass(frozen=True, slots=True)
class DesiredObject:
    """Desired state of one object; objects of one kind are sent by rising ``priority``."""

    kind: Kind
    key: str
    account_id: str
    limit: str | None
    priority: int
    fields: Fields


def hash_fields(fields: Fields) -> str:
    """Return a content hash of fields, 32 hexadecimal digits, independent of their order.

    Examples
    --------
    >>> hash_fields({"tier": 1, "rank": 2}) == hash_fields({"rank": 2, "tier": 1})
    True
    >>> hash_fields({"tier": 1, "rank": 2}) == hash_fields({"tier": 1})
    False
    """
    return serialize_fields(fields)[1]


def serialize_fields(fields: Fields) -> tuple[PreEncodedJson, str]:
    """Return fields as canonical JSON, and their content hash."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return PreEncodedJson(text), hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def build_account_objects(
    listed: pl.DataFrame, unlisted: pl.DataFrame, as_of: date
) -> Iterator[DesiredObject]:
    """Yield the desired state of every account: its list row, or why it is not listed.

    ``listed`` has ``account_id``, ``rank`` and the available fields; ``unlisted`` has
    ``account_id``, ``name``, ``csm`` and ``note``, and the other fields are empty.
    """
    day = pl.lit(as_of).alias("as_of")
    priorities = (listed["rank"].to_list(), [listed.height + 1] * unlisted.height)
    for frame, frame_priorities in zip((listed, unlisted), priorities, strict=True):
        rows = _select_fields(frame.with_columns(day)).iter_rows(named=True)
        keys = frame["account_id"].to_list()
        for key, priority, fields in zip(keys, frame_priorities, rows, strict=True):
            yield DesiredObject("account", key, key, None, priority, fields)


def _select_fields(frame: pl.DataFrame) -> pl.DataFrame:
    """Select the fields of an account as a CRM gets them: rounded, dates and sentences as text."""
    return frame.select(
        _format_field(field, frame.schema[name], name)
        if name in frame.columns
        else pl.lit(None).alias(name)
        for name, field in FIELDS["account"].items()
    )


def _format_field(field: CrmField, dtype: pl.DataType, name: str) -> pl.Expr:
    value = pl.col(name)
    if dtype == pl.Null:
        return value
    if field.type == "number":
        value = value.cast(pl.Float64)
        return pl.when(value.is_finite()).then(value.round(field.decimals)).alias(name)
    if field.type == "multiline":
        value = value.cast(pl.List(pl.String)).list.join("\n")
    if field.type in {"multiline", "text", "date"}:
        value = value.cast(pl.String)
        return pl.when(value != "").then(value).alias(name)
    return value.cast(pl.Boolean if field.type == "boolean" else pl.Int64)
