"""Text for a CSV that somebody may open in a spreadsheet, which takes ``=1+1`` for a formula.

Text that a spreadsheet would calculate gets an apostrophe before it, which makes it text there.
Text that begins with apostrophes and goes on like a formula gets one more, so that taking one
away always gives back what was there.
"""

import re
from typing import Final

import polars as pl

__all__ = ["escape_formula", "escape_formula_column"]

# Excel also takes the full-width signs, and some importers cut away blanks and line ends first.
# Python counts \x1c to \x1f as white space, the regex engine of Polars does not: name them.
_FORMULA_PATTERN: Final = r"^'*(?:[\t\r\n]|[\s\x1c-\x1f]*[=+\-@＝＋－＠])"
_FORMULA_REGEX: Final = re.compile(_FORMULA_PATTERN)


def escape_formula(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would take for a formula.

    Examples
    --------
    >>> [escape_formula(text) for text in ("=1+1", "Acme", "-5 %", "'=1+1")]
    ["'=1+1", 'Acme', "'-5 %", "''=1+1"]
    """
    return f"'{text}" if _FORMULA_REGEX.match(text) else text


def escape_formula_column(name: str) -> pl.Expr:
    """Guard a column of text: the same as :func:`escape_formula`, for every row at once."""
    text = pl.col(name)
    return pl.when(text.str.contains(_FORMULA_PATTERN)).then("'" + text).otherwise(text).alias(name)
