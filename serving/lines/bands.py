"""What became of accounts to which the same was said before, in words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from serving.lines.phrases import Phrases
from training.registry import Registered
from training.simple import Simple

__all__ = ["known", "told", "words"]

_EXACT: Final = 20  # up to so many accounts are told one by one
_TENTHS: Final = 0.195  # a share from here on is told in tenths,
_NEAR: Final = 0.02  # where that is so near; else in hundredths


def known(model: Registered | None) -> Sequence[Mapping[str, Any]]:
    """The bands of what serves: :func:`training.bands.published`; none where nothing was judged."""
    if model is None:
        return []
    kept = model.model.bands if isinstance(model.model, Simple) else model.card.get("bands", [])
    return list(kept)


def told(band: pl.Series, bands: Sequence[Mapping[str, Any]], phrases: Phrases) -> pl.Series:
    """Say of each band how many accounts in it expanded before; null where none was in it."""
    said = {
        each["band"]: words(round(each["value"] * each["snapshots"]), each["snapshots"], phrases)
        for each in bands
    }
    return band.replace_strict(said, default=None, return_dtype=pl.String)


def words(expanded: int, accounts: int, phrases: Phrases) -> str:
    """Say how many of the accounts in a band expanded.

    Exact where all, none or few were seen, else rounded to tenths or hundredths.

    Examples
    --------
    >>> from serving.lines.phrases import default
    >>> words(183, 301, default())
    '6 of 10 accounts in this band expanded'
    >>> words(0, 40, default())
    'None of 40 accounts in this band expanded'
    """
    if accounts == 1:
        return phrases.text("band_yes" if expanded else "band_no")
    if expanded == 0:
        return phrases.text("band_none", accounts=accounts)
    if expanded == accounts:
        return phrases.text("band_all", accounts=accounts)
    share = expanded / accounts
    near = abs(round(share, 1) - share) <= _NEAR
    of = 10 if share >= _TENTHS and near else 100
    part = round(share * of)
    if accounts <= _EXACT or not 0 < part < of:
        part, of = expanded, accounts
    return phrases.text("band_some", expanded=part, accounts=of)
