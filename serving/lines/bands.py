"""What became of accounts to which the same was said before, in words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

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


def told(band: pl.Series, bands: Sequence[Mapping[str, Any]]) -> pl.Series:
    """Say of each band how many accounts in it expanded before; null where none was in it."""
    said = {
        each["band"]: words(round(each["value"] * each["snapshots"]), each["snapshots"])
        for each in bands
    }
    return band.replace_strict(said, default=None, return_dtype=pl.String)


def words(expanded: int, accounts: int) -> str:
    """Say how many of the accounts in a band expanded.

    Exact where all, none or few were seen, else rounded to tenths or hundredths.

    Examples
    --------
    >>> words(183, 301)
    '6 of 10 accounts in this band expanded'
    >>> words(0, 40)
    'None of 40 accounts in this band expanded'
    """
    if accounts == 1:
        return f"The one account in this band before {'expanded' if expanded else 'did not expand'}"
    if expanded == 0:
        return f"None of {accounts:,} accounts in this band expanded"
    if expanded == accounts:
        return f"All {accounts:,} accounts in this band expanded"
    share = expanded / accounts
    near = abs(round(share, 1) - share) <= _NEAR
    of = 10 if share >= _TENTHS and near else 100
    part = round(share * of)
    if accounts <= _EXACT or not 0 < part < of:
        part, of = expanded, accounts
    return f"{part:,} of {of:,} accounts in this band expanded"
