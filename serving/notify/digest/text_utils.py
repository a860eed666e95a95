"""Sanitizing of data for a message line or a file name."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

__all__ = ["clean_sentences", "slugify", "to_single_line"]

# Bidirectional controls and invisible characters.
_INVISIBLE: Final = re.compile(r"[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_WHITESPACE: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def to_single_line(text: str, max_length: int = 300) -> str:
    r"""Collapse text to one line of bounded length, without invisible characters.

    Examples
    --------
    >>> to_single_line("Acme\nInc.\x00 "), to_single_line("Acme Incorporated", max_length=6)
    ('Acme Inc.', 'Acme…')
    """
    line = _WHITESPACE.sub(" ", _INVISIBLE.sub("", text)).strip()
    return line if len(line) <= max_length else line[: max_length - 1].rstrip() + "…"


def clean_sentences(texts: Sequence[str] | None) -> list[str]:
    """Collapse each text to one line, and drop the empty ones."""
    return [sentence for text in texts or () if (sentence := to_single_line(text))]


def slugify(name: str) -> str:
    """Convert a name to a file name; several names may yield the same.

    Examples
    --------
    >>> slugify("Zoë O'Neill"), slugify("../..")
    ('zoe-o-neill', 'csm')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "csm"
