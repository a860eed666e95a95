"""What has changed at an account since the list before, where it is worth a word."""

from datetime import date
from typing import Final

import polars as pl

from serving.lines.phrases import Phrases, hundredths

__all__ = ["COLUMNS", "of"]

COLUMNS: Final = ("rank", "probability", "tier", "limit", "readiness_date", "as_of")
_CHANCE: Final = 5  # whole per cent, as they are shown; a smaller step is no news
_DAYS: Final = 7
_MOST: Final = 2
_LIMITS: Final = ("seats", "usage")


def of(lines: pl.DataFrame, before: pl.DataFrame | None, as_of: date, words: Phrases) -> pl.Series:
    """Say what has changed since the list before, the weightiest first.

    Parameters
    ----------
    lines : polars.DataFrame
        ``account_id``, ``probability``, ``tier``, ``limit``, ``readiness_date``.
    before : polars.DataFrame or None
        The list before: ``account_id``, ``rank`` (null: not on it), ``probability``, ``tier``,
        ``limit``, ``readiness_date``, ``as_of``; None or empty where there was none.
    as_of : datetime.date
        The day of the list.
    words : serving.lines.phrases.Phrases
        How it is worded.

    Returns
    -------
    polars.Series of list of str
        Up to two sentences, in the order of the lines; none where nothing is worth a word.

    Raises
    ------
    ValueError
        If the list before is not from before.
    """
    if before is None or before.is_empty():
        return pl.Series("changed", [[]] * lines.height, dtype=pl.List(pl.String))
    newest = before["as_of"].max()
    if not isinstance(newest, date) or newest >= as_of:
        raise ValueError(f"expected a list from before {as_of}, found one of {newest!s}")
    then = before.select("account_id", pl.col(*COLUMNS).name.suffix("_then"))
    both = lines.join(then, on="account_id", how="left", maintain_order="left")
    news = pl.concat_list(*_news(as_of, words)).list.drop_nulls().list.head(_MOST)
    return both.select(changed=news)["changed"]


def _news(as_of: date, words: Phrases) -> list[pl.Expr]:
    """Each kind of news as an expression: a sentence, or null."""
    new = pl.col("rank_then").is_null()
    first = pl.when(new).then(words.said("new"))
    later = [_tier(words), _limit(words), _chance(as_of, words), _date(as_of, words)]
    return [first, *(pl.when(~new).then(each) for each in later)]


def _tier(words: Phrases) -> pl.Expr:
    now, then = pl.col("tier"), pl.col("tier_then")
    return (
        pl.when(now.eq_missing(then))
        .then(None)
        .when(then.is_null())
        .then(words.said("tier_first", tier=now))
        .when(now.is_null())
        .then(words.said("tier_gone", before=then))
        .otherwise(words.said("tier_other", tier=now, before=then))
    )


def _limit(words: Phrases) -> pl.Expr:
    """A limit that the account has come to; where a tier has changed, that says enough."""
    now, then = pl.col("limit"), pl.col("limit_then")
    came = now.ne_missing(then) & pl.col("tier").eq_missing(pl.col("tier_then"))
    named = pl.coalesce(pl.when(now == name).then(words.said(f"limit_{name}")) for name in _LIMITS)
    return pl.when(came).then(named)


def _chance(as_of: date, words: Phrases) -> pl.Expr:
    now, then = (hundredths(pl.col(name)) for name in ("probability", "probability_then"))
    days = (pl.lit(as_of) - pl.col("as_of_then")).dt.total_days()
    parts = {"before": words.percent(pl.col("probability_then")), "ago": words.ago(days)}
    return (
        pl.when(now - then >= _CHANCE)
        .then(words.said("chance_up", **parts))
        .when(then - now >= _CHANCE)
        .then(words.said("chance_down", **parts))
    )


def _date(as_of: date, words: Phrases) -> pl.Expr:
    """A date that has moved by a week or more; what was due before reads as now."""
    today = pl.lit(as_of)
    now = pl.col("readiness_date")
    then = pl.max_horizontal(pl.col("readiness_date_then"), today)
    known = pl.col("readiness_date_then").is_not_null()
    moved = (now - then).dt.total_days().abs() >= _DAYS
    return (
        pl.when(known & now.is_not_null() & moved)
        .then(words.said("date_moved", before=words.day(then, as_of), now=words.day(now, as_of)))
        .when(~known & now.is_not_null())
        .then(words.said("date_first", now=words.day(now, as_of)))
        .when(known & now.is_null())
        .then(words.said("date_gone"))
    )
