"""What should be true at the accounts of a CRM, given a list: a row per object.

Figures are rounded to what is worth a write, so that a difference is always one that matters.
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
    """One object as it should be; ``place`` says in which order objects of one kind are sent."""

    kind: Kind
    key: str
    account_id: str
    limit: str | None
    place: int
    fields: Fields


def hash_fields(fields: Fields) -> str:
    """Sum up fields in 32 hexadecimal digits; the order they stand in does not matter.

    Examples
    --------
    >>> hash_fields({"tier": 1, "rank": 2}) == hash_fields({"rank": 2, "tier": 1}) != hash_fields({"tier": 1})
    True
    """
    return serialize_fields(fields)[1]


def serialize_fields(fields: Fields) -> tuple[PreEncodedJson, str]:
    """Give fields as JSON, the same text for the same fields, and their digest."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return PreEncodedJson(text), hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def build_account_objects(
    listed: pl.DataFrame, unlisted: pl.DataFrame, as_of: date
) -> Iterator[DesiredObject]:
    """Say what should stand at every account: its line, or why it is not on the list.

    Parameters
    ----------
    listed : polars.DataFrame
        ``account_id``, ``rank`` and what there is of the fields of an account.
    unlisted : polars.DataFrame
        ``account_id``, ``name``, ``csm``, ``note`` of the accounts that are not on the list: they
        keep no figure.
    as_of : datetime.date
        Of the list.
    """
    day = pl.lit(as_of).alias("as_of")
    last = listed.height
    for place, frame in enumerate((listed, unlisted)):
        rows = _select_fields(frame.with_columns(day))
        keys = frame["account_id"].to_list()
        ranks = frame["rank"].to_list() if place == 0 else [last + 1] * frame.height
        for key, rank, fields in zip(keys, ranks, rows.iter_rows(named=True), strict=True):
            yield DesiredObject("account", key, key, None, rank, fields)


def _select_fields(frame: pl.DataFrame) -> pl.DataFrame:
    """The fields of an account as a CRM gets them: rounded, days and sentences as text."""
    return frame.select(
        _format_field(field, frame.schema[name], name)
        if name in frame.columns
        else pl.lit(None).alias(name)
        for name, field in FIELDS["account"].items()
    )


def _format_field(field: CrmField, kind: pl.DataType, name: str) -> pl.Expr:
    value = pl.col(name)
    if kind == pl.Null:
        return value
    if field.type == "number":
        value = value.cast(pl.Float64)
        return pl.when(value.is_finite()).then(value.round(field.decimals)).alias(name)
    if field.type == "lines":
        value = value.cast(pl.List(pl.String)).list.join("\n")
    if field.type in {"lines", "text", "day"}:
        value = value.cast(pl.String)
        return pl.when(value != "").then(value).alias(name)
    return value.cast(pl.Boolean if field.type == "flag" else pl.Int64)
