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

from serving.crm.target import Fields, Kind
from serving.outbox.objects import FIELDS, Field
from serving.state.database import Encoded

__all__ = ["Wanted", "digest", "of_accounts", "sealed"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object as it should be; ``place`` says in which order objects of one kind are sent."""

    kind: Kind
    key: str
    account_id: str
    limit: str | None
    place: int
    fields: Fields


def digest(fields: Fields) -> str:
    """Sum up fields in 32 hexadecimal digits; the order they stand in does not matter.

    Examples
    --------
    >>> digest({"tier": 1, "rank": 2}) == digest({"rank": 2, "tier": 1}) != digest({"tier": 1})
    True
    """
    return sealed(fields)[1]


def sealed(fields: Fields) -> tuple[Encoded, str]:
    """Give fields as JSON, the same text for the same fields, and their digest."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return Encoded(text), hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def of_accounts(listed: pl.DataFrame, left: pl.DataFrame, as_of: date) -> Iterator[Wanted]:
    """Say what should stand at every account: its line, or why it is not on the list.

    Parameters
    ----------
    listed : polars.DataFrame
        ``account_id``, ``rank`` and what there is of the fields of an account.
    left : polars.DataFrame
        ``account_id``, ``name``, ``csm``, ``note`` of the accounts that are not on the list: they
        keep no figure.
    as_of : datetime.date
        Of the list.
    """
    day = pl.lit(as_of).alias("as_of")
    last = listed.height
    for place, frame in enumerate((listed, left)):
        told = _told(frame.with_columns(day))
        keys = frame["account_id"].to_list()
        ranks = frame["rank"].to_list() if place == 0 else [last + 1] * frame.height
        for key, rank, fields in zip(keys, ranks, told.iter_rows(named=True), strict=True):
            yield Wanted("account", key, key, None, rank, fields)


def _told(frame: pl.DataFrame) -> pl.DataFrame:
    """The fields of an account as a CRM gets them: rounded, days and sentences as text."""
    return frame.select(
        _as(field, frame.schema[name], name) if name in frame.columns else pl.lit(None).alias(name)
        for name, field in FIELDS["account"].items()
    )


def _as(field: Field, kind: pl.DataType, name: str) -> pl.Expr:
    value = pl.col(name)
    if kind == pl.Null:
        return value
    if field.type == "number":
        value = value.cast(pl.Float64)
        return pl.when(value.is_finite()).then(value.round(field.digits)).alias(name)
    if field.type == "lines":
        value = value.cast(pl.List(pl.String)).list.join("\n")
    if field.type in {"lines", "text", "day"}:
        value = value.cast(pl.String)
        return pl.when(value != "").then(value).alias(name)
    return value.cast(pl.Boolean if field.type == "flag" else pl.Int64)
