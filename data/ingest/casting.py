"""Casting of raw columns to numbers and text, with pseudonymization of personal data.

An e-mail column becomes its domain, and a user id that is an e-mail address becomes its hash.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import polars as pl

from data.errors import ContractError

__all__ = [
    "TEXT_TYPES",
    "ParseErrors",
    "SourceColumn",
    "cast_number",
    "cast_text",
    "pseudonymize_user",
    "redact_emails",
]

# Reject reason for values that became null in casting, and a mask of those values.
ParseErrors = list[tuple[str, pl.Expr]]

TEXT_TYPES: Final = (pl.String, pl.Categorical, pl.Enum)
_NUMBER_TYPES: Final = (pl.Boolean, pl.Decimal, pl.Null)
_TEXT_LIKE_TYPES: Final = (*TEXT_TYPES, pl.Boolean, pl.Decimal, pl.Date, pl.Null)
_LOWERCASE_COLUMNS: Final = frozenset({"status", "change", "seat_type"})


@dataclass(frozen=True)
class SourceColumn:
    """A raw column to cast: table, schema name, values and source type."""

    table: str
    name: str
    value: pl.Expr
    dtype: pl.DataType

    def type_error(self, expected: str) -> ContractError:
        """Return the error for a column whose type cannot be cast."""
        return ContractError(
            f"{self.table}: {self.name} holds {self.dtype}, expected {expected}. Map another column"
            f" to it under [columns.{self.table}] in expansion.toml, or cast it in the warehouse."
        )


def cast_number(column: SourceColumn) -> tuple[pl.Expr, ParseErrors]:
    """Cast numbers, or text that holds them, to 64-bit floats; NaN is missing.

    Raises ``ContractError`` if the column's type is not numeric.
    """
    if column.dtype.is_numeric() or isinstance(column.dtype, _NUMBER_TYPES):
        return column.value.cast(pl.Float64).fill_nan(None), []
    if not isinstance(column.dtype, TEXT_TYPES):
        raise column.type_error("numbers")
    text = column.value.cast(pl.String).str.strip_chars()
    is_present = (text.str.len_bytes() > 0) & (text.str.to_lowercase() != "nan")
    parsed = text.cast(pl.Float64, strict=False).fill_nan(None)
    return parsed, [(f"{column.name} is not a number", is_present)]


def cast_text(column: SourceColumn) -> pl.Expr:
    """Cast names, or numbers that serve as keys, to text without e-mail addresses.

    Raises ``ContractError`` if the column's type cannot be text.
    """
    text = _to_text(column)
    if column.name == "user_id":
        return text.map_batches(_pseudonymize_users, return_dtype=pl.String, is_elementwise=True)
    if column.name == "email_domain":
        return text.str.replace(r"^.*@", "").str.strip_chars(" >").str.to_lowercase()
    if column.name in _LOWERCASE_COLUMNS:
        return text.str.strip_chars().str.to_lowercase()
    return text


def redact_emails(text: pl.Expr) -> pl.Expr:
    """Reduce every e-mail address in a text to its domain."""
    return text.str.replace_all(r"[^\s<>,;]+@", "")


def pseudonymize_user(user_id: str) -> str:
    """Return the user id as stored in the log: an e-mail address is hashed, other ids are kept.

    Examples
    --------
    >>> pseudonymize_user("u-1")
    'u-1'
    >>> pseudonymize_user(" Ada@acme.com ") == pseudonymize_user("ada@acme.com")
    True
    """
    return _hash_email(user_id) if "@" in user_id else user_id


def _to_text(column: SourceColumn) -> pl.Expr:
    value, dtype = column.value, column.dtype
    if dtype.is_float():  # pandas turns whole-number keys with gaps into floats: 12.0 means "12"
        as_integer = value.cast(pl.Int64, strict=False)
        text = (
            pl.when(as_integer == value)
            .then(as_integer.cast(pl.String))
            .otherwise(value.cast(pl.String))
        )
        return pl.when(value.is_not_nan()).then(text)
    if dtype.is_integer() or isinstance(dtype, _TEXT_LIKE_TYPES):
        return value.cast(pl.String)
    raise column.type_error("text")


def _pseudonymize_users(user_ids: pl.Series) -> pl.Series:
    """Replace e-mail addresses by hashes; keep other ids."""
    emails = user_ids.filter(user_ids.str.contains("@", literal=True).fill_null(value=False))
    if emails.is_empty():
        return user_ids
    distinct = emails.unique()
    return user_ids.replace(distinct, pl.Series([_hash_email(email) for email in distinct]))


def _hash_email(email: str) -> str:
    normalized = email.strip().lower().encode()
    return "user-" + hashlib.blake2b(normalized, digest_size=12).hexdigest()
