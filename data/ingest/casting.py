"""Turning one raw column into the numbers or the text that its contract promises.

People's addresses stop here: an e-mail column becomes its domain, and a person known by an address
becomes the hash of it.
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

# What to say of a value that came out null, and which values it may be said of.
ParseErrors = list[tuple[str, pl.Expr]]

TEXT_TYPES: Final = (pl.String, pl.Categorical, pl.Enum)
_NUMBER_TYPES: Final = (pl.Boolean, pl.Decimal, pl.Null)
_TEXT_LIKE_TYPES: Final = (*TEXT_TYPES, pl.Boolean, pl.Decimal, pl.Date, pl.Null)
_LOWERCASE_COLUMNS: Final = frozenset({"status", "change", "seat_type"})


@dataclass(frozen=True)
class SourceColumn:
    """A raw column on its way to be ours: which table's, our name, its values and their type."""

    table: str
    name: str
    value: pl.Expr
    dtype: pl.DataType

    def type_error(self, expected: str) -> ContractError:
        """What to say when no row of the column can be meant."""
        return ContractError(
            f"{self.table}: {self.name} holds {self.dtype}, expected {expected}. Map another column"
            f" to it under [columns.{self.table}] in expansion.toml, or cast it in the warehouse."
        )


def cast_number(column: SourceColumn) -> tuple[pl.Expr, ParseErrors]:
    """Read a column of numbers; NaN is missing.

    Parameters
    ----------
    column : Column
        Numbers, or text that holds them.

    Returns
    -------
    polars.Expr
        64-bit floats; null where the value is missing or unreadable.
    list of (str, polars.Expr)
        What to say of a null, and for which of the values.

    Raises
    ------
    ContractError
        If the column is of a type that is no number.
    """
    if column.dtype.is_numeric() or isinstance(column.dtype, _NUMBER_TYPES):
        return column.value.cast(pl.Float64).fill_nan(None), []
    if not isinstance(column.dtype, TEXT_TYPES):
        raise column.type_error("numbers")
    written = column.value.cast(pl.String).str.strip_chars()
    given = (written.str.len_bytes() > 0) & (written.str.to_lowercase() != "nan")
    read = written.cast(pl.Float64, strict=False).fill_nan(None)
    return read, [(f"{column.name} is not a number", given)]


def cast_text(column: SourceColumn) -> pl.Expr:
    """Read a column of names and keys.

    Parameters
    ----------
    column : Column
        Text, or numbers that serve as keys.

    Returns
    -------
    polars.Expr
        Text without anybody's address.

    Raises
    ------
    ContractError
        If the column is of a type that is no text.
    """
    words = _to_text(column)
    if column.name == "user_id":
        return words.map_batches(_pseudonymize_users, return_dtype=pl.String, is_elementwise=True)
    if column.name == "email_domain":
        return words.str.replace(r"^.*@", "").str.strip_chars(" >").str.to_lowercase()
    if column.name in _LOWERCASE_COLUMNS:
        return words.str.strip_chars().str.to_lowercase()
    return words


def redact_emails(text: pl.Expr) -> pl.Expr:
    """Leave of every e-mail address in a text its domain."""
    return text.str.replace_all(r"[^\s<>,;]+@", "")


def pseudonymize_user(user_id: str) -> str:
    """Name a person as the log does: an address as its hash, another key as it is.

    Examples
    --------
    >>> pseudonymize_user("u-1"), pseudonymize_user(" Ada@acme.com ") == pseudonymize_user("ada@acme.com")
    ('u-1', True)
    """
    return _hash_email(user_id) if "@" in user_id else user_id


def _to_text(column: SourceColumn) -> pl.Expr:
    value, dtype = column.value, column.dtype
    if dtype.is_float():  # pandas turns whole-number keys with gaps into floats: 12.0 means "12"
        whole = value.cast(pl.Int64, strict=False)
        words = pl.when(whole == value).then(whole.cast(pl.String)).otherwise(value.cast(pl.String))
        return pl.when(value.is_not_nan()).then(words)
    if dtype.is_integer() or isinstance(dtype, _TEXT_LIKE_TYPES):
        return value.cast(pl.String)
    raise column.type_error("text")


def _pseudonymize_users(user_ids: pl.Series) -> pl.Series:
    """The same person, without a name: addresses as hashes, other keys as they are."""
    addresses = user_ids.filter(user_ids.str.contains("@", literal=True).fill_null(value=False))
    if addresses.is_empty():
        return user_ids
    distinct = addresses.unique()
    return user_ids.replace(distinct, pl.Series([_hash_email(address) for address in distinct]))


def _hash_email(address: str) -> str:
    plain = address.strip().lower().encode()
    return "user-" + hashlib.blake2b(plain, digest_size=12).hexdigest()
