"""Band history: how many accounts in the same probability band expanded before, as text."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from serving.scoring.text.ui_strings import UiStrings
from training.pipeline.fallback_ranking import CalibratedRanking
from training.registry import RegisteredModel

__all__ = ["describe_bands", "format_band", "get_band_history"]

_MAX_EXACT_COUNT: Final = 20  # up to this many accounts, the counts are exact
_MIN_SHARE_FOR_TENTHS: Final = 0.195  # from this share on, tenths are used
_TENTHS_TOLERANCE: Final = 0.02  # unless rounding to tenths changes more than this


def get_band_history(model: RegisteredModel | None) -> Sequence[Mapping[str, Any]]:
    """Return the published band table of the model; empty without an evaluation."""
    if model is None:
        return []
    bands = (
        model.model.bands
        if isinstance(model.model, CalibratedRanking)
        else model.card.get("bands", [])
    )
    return list(bands)


def describe_bands(
    band: pl.Series, bands: Sequence[Mapping[str, Any]], strings: UiStrings
) -> pl.Series:
    """Return the track record of each band as text; null for a band without history."""
    text_by_band = {
        entry["band"]: format_band(
            round(entry["value"] * entry["snapshots"]), entry["snapshots"], strings
        )
        for entry in bands
    }
    return band.replace_strict(text_by_band, default=None, return_dtype=pl.String)


def format_band(expanded: int, accounts: int, strings: UiStrings) -> str:
    """Return how many of the accounts in a band expanded.

    Exact counts where all, none or few accounts were observed, else rounded to tenths or
    hundredths.

    Examples
    --------
    >>> from serving.scoring.text.ui_strings import load_ui_strings
    >>> format_band(183, 301, load_ui_strings({}))
    '6 of 10 accounts in this band expanded'
    >>> format_band(0, 40, load_ui_strings({}))
    'None of 40 accounts in this band expanded'
    """
    if accounts == 1:
        return strings.format_text("band_yes" if expanded else "band_no")
    if expanded == 0:
        return strings.format_text("band_none", accounts=accounts)
    if expanded == accounts:
        return strings.format_text("band_all", accounts=accounts)
    share = expanded / accounts
    is_near_tenth = abs(round(share, 1) - share) <= _TENTHS_TOLERANCE
    denominator = 10 if share >= _MIN_SHARE_FOR_TENTHS and is_near_tenth else 100
    numerator = round(share * denominator)
    if accounts <= _MAX_EXACT_COUNT or not 0 < numerator < denominator:
        numerator, denominator = expanded, accounts
    return strings.format_text("band_some", expanded=numerator, accounts=denominator)
