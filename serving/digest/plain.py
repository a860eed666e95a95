"""Text from data, made fit for one line of a message."""

import re
import unicodedata
from typing import Final

__all__ = ["LONGEST", "one_line", "slug"]

LONGEST: Final = 300
# What turns the direction of the text around it, or cannot be seen.
_UNSEEN: Final = re.compile(r"[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_BREAKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


def one_line(text: str, longest: int = LONGEST) -> str:
    r"""Bring text into one line of a bounded length, without what cannot be seen.

    Examples
    --------
    >>> one_line("Acme\nInc.\x00 "), one_line("Acme Incorporated", longest=6)
    ('Acme Inc.', 'Acme…')
    """
    line = _BREAKS.sub(" ", _UNSEEN.sub("", text)).strip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def slug(name: str) -> str:
    """Make a name fit for a file; several names may come to the same.

    Examples
    --------
    >>> slug("Zoë O'Neill"), slug("../..")
    ('zoe-o-neill', 'csm')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "csm"
