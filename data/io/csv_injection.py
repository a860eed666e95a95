"""CSV (formula) injection guard for files that may be opened in a spreadsheet.

Text that a spreadsheet would evaluate is prefixed with an apostrophe. Text that already starts
with apostrophes followed by a formula gets one more, so that unescaping is lossless.
"""

import re
from typing import Final

import polars as pl

__all__ = ["escape_formula", "escape_formula_column"]

# Excel also accepts full-width signs, and some importers strip whitespace first.
# Python counts \x1c to \x1f as white space, the regex engine of Polars does not: list them.
_FORMULA_PATTERN: Final = r"^'*(?:[\t\r\n]|[\s\x1c-\x1f]*[=+\-@＝＋－＠])"
_FORMULA_REGEX: Final = re.compile(_FORMULA_PATTERN)


def escape_formula(text: str) -> str:
    """Prefix text that a spreadsheet would evaluate as a formula with an apostrophe.

    Examples
    --------
    >>> [escape_formula(text) for text in ("=1+1", "Acme", "-5 %", "'=1+1")]
    ["'=1+1", 'Acme', "'-5 %", "''=1+1"]
    """
    return f"'{text}" if _FORMULA_REGEX.match(text) else text


def escape_formula_column(name: str) -> pl.Expr:
    """Escape a text column: the vectorized form of :func:`escape_formula`."""
    text = pl.col(name)
    return pl.when(text.str.contains(_FORMULA_PATTERN)).then("'" + text).otherwise(text).alias(name)
