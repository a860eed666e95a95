"""What has changed at an account since the list before, where it is worth a word."""

from datetime import date
from typing import Final

import polars as pl

from serving.scoring.text.ui_strings import UiStrings, round_to_percent

__all__ = ["COMPARED_COLUMNS", "describe_changes"]

COMPARED_COLUMNS: Final = ("rank", "probability", "tier", "limit", "readiness_date", "as_of")
_MIN_PROBABILITY_CHANGE: Final = 5  # whole per cent, as they are shown; a smaller step is no news
_MIN_DATE_SHIFT_DAYS: Final = 7
_MAX_CHANGES: Final = 2
_LIMITS: Final = ("seats", "usage")


def describe_changes(
    rows: pl.DataFrame, previous_list: pl.DataFrame | None, as_of: date, strings: UiStrings
) -> pl.Series:
    """Say what has changed since the list before, the weightiest first.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, ``probability``, ``tier``, ``limit``, ``readiness_date``.
    previous_list : polars.DataFrame or None
        The list before: ``account_id``, ``rank`` (null: not on it), ``probability``, ``tier``,
        ``limit``, ``readiness_date``, ``as_of``; None or empty where there was none.
    as_of : datetime.date
        The day of the list.
    strings : serving.scoring.text.ui_strings.UiStrings
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
    if previous_list is None or previous_list.is_empty():
        return pl.Series("changed", [[]] * rows.height, dtype=pl.List(pl.String))
    latest = previous_list["as_of"].max()
    if not isinstance(latest, date) or latest >= as_of:
        raise ValueError(f"expected a list from before {as_of}, found one of {latest!s}")
    previous = previous_list.select("account_id", pl.col(*COMPARED_COLUMNS).name.suffix("_then"))
    joined = rows.join(previous, on="account_id", how="left", maintain_order="left")
    changes = (
        pl.concat_list(*_build_change_exprs(as_of, strings))
        .list.drop_nulls()
        .list.head(_MAX_CHANGES)
    )
    return joined.select(changed=changes)["changed"]


def _build_change_exprs(as_of: date, strings: UiStrings) -> list[pl.Expr]:
    """Each kind of news as an expression: a sentence, or null."""
    new = pl.col("rank_then").is_null()
    first = pl.when(new).then(strings.format_expr("new"))
    later = [
        _tier_change(strings),
        _limit_change(strings),
        _probability_change(as_of, strings),
        _date_change(as_of, strings),
    ]
    return [first, *(pl.when(~new).then(each) for each in later)]


def _tier_change(strings: UiStrings) -> pl.Expr:
    now, then = pl.col("tier"), pl.col("tier_then")
    return (
        pl.when(now.eq_missing(then))
        .then(None)
        .when(then.is_null())
        .then(strings.format_expr("tier_first", tier=now))
        .when(now.is_null())
        .then(strings.format_expr("tier_gone", before=then))
        .otherwise(strings.format_expr("tier_other", tier=now, before=then))
    )


def _limit_change(strings: UiStrings) -> pl.Expr:
    """A limit that the account has come to; where a tier has changed, that says enough."""
    now, then = pl.col("limit"), pl.col("limit_then")
    came = now.ne_missing(then) & pl.col("tier").eq_missing(pl.col("tier_then"))
    named = pl.coalesce(
        pl.when(now == name).then(strings.format_expr(f"limit_{name}")) for name in _LIMITS
    )
    return pl.when(came).then(named)


def _probability_change(as_of: date, strings: UiStrings) -> pl.Expr:
    now, then = (round_to_percent(pl.col(name)) for name in ("probability", "probability_then"))
    days = (pl.lit(as_of) - pl.col("as_of_then")).dt.total_days()
    parts = {
        "before": strings.format_percent(pl.col("probability_then")),
        "ago": strings.format_days_ago(days),
    }
    return (
        pl.when(now - then >= _MIN_PROBABILITY_CHANGE)
        .then(strings.format_expr("chance_up", **parts))
        .when(then - now >= _MIN_PROBABILITY_CHANGE)
        .then(strings.format_expr("chance_down", **parts))
    )


def _date_change(as_of: date, strings: UiStrings) -> pl.Expr:
    """A date that has moved by a week or more; what was due before reads as now."""
    today = pl.lit(as_of)
    now = pl.col("readiness_date")
    then = pl.max_horizontal(pl.col("readiness_date_then"), today)
    known = pl.col("readiness_date_then").is_not_null()
    moved = (now - then).dt.total_days().abs() >= _MIN_DATE_SHIFT_DAYS
    return (
        pl.when(known & now.is_not_null() & moved)
        .then(
            strings.format_expr(
                "date_moved",
                before=strings.format_day(then, as_of),
                now=strings.format_day(now, as_of),
            )
        )
        .when(~known & now.is_not_null())
        .then(strings.format_expr("date_first", now=strings.format_day(now, as_of)))
        .when(known & now.is_null())
        .then(strings.format_expr("date_gone"))
    )
