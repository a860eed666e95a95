"""Changes of an account since the previous list, as short sentences."""

from datetime import date
from typing import Final

import polars as pl

from serving.scoring.text.ui_strings import UiStrings, round_to_percent

__all__ = ["COMPARED_COLUMNS", "describe_changes"]

COMPARED_COLUMNS: Final = ("rank", "probability", "tier", "limit", "readiness_date", "as_of")
_MIN_PROBABILITY_CHANGE: Final = 5  # percentage points; smaller changes are not reported
_MIN_DATE_SHIFT_DAYS: Final = 7
_MAX_CHANGES: Final = 2
_LIMITS: Final = ("seats", "usage")


def describe_changes(
    rows: pl.DataFrame, previous_list: pl.DataFrame | None, as_of: date, strings: UiStrings
) -> pl.Series:
    """Return the changes since the previous list, the most important first, at most two sentences.

    Raises ``ValueError`` if the previous list is not older than the as-of.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, ``probability``, ``tier``, ``limit``, ``readiness_date``.
    previous_list : polars.DataFrame or None
        ``account_id``, ``rank`` (null: not on it), ``probability``, ``tier``, ``limit``,
        ``readiness_date``, ``as_of``; None or empty where there was none.

    Returns
    -------
    polars.Series of list of str
        In the order of the rows; empty where nothing relevant changed.
    """
    if previous_list is None or previous_list.is_empty():
        return pl.Series("changes", [[]] * rows.height, dtype=pl.List(pl.String))
    latest = previous_list["as_of"].max()
    if not isinstance(latest, date) or latest >= as_of:
        raise ValueError(f"expected a list before {as_of}, found one of {latest!s}")
    previous = previous_list.select(
        "account_id", pl.col(*COMPARED_COLUMNS).name.suffix("_previous")
    )
    joined = rows.join(previous, on="account_id", how="left", maintain_order="left")
    changes = (
        pl.concat_list(*_build_change_exprs(as_of, strings))
        .list.drop_nulls()
        .list.head(_MAX_CHANGES)
    )
    return joined.select(changes=changes)["changes"]


def _build_change_exprs(as_of: date, strings: UiStrings) -> list[pl.Expr]:
    """Build one expression per kind of change: a sentence, or null."""
    is_new = pl.col("rank_previous").is_null()
    first = pl.when(is_new).then(strings.format_expr("new_on_list"))
    later = [
        _tier_change(strings),
        _limit_change(strings),
        _probability_change(as_of, strings),
        _date_change(as_of, strings),
    ]
    return [first, *(pl.when(~is_new).then(expression) for expression in later)]


def _tier_change(strings: UiStrings) -> pl.Expr:
    current, previous = pl.col("tier"), pl.col("tier_previous")
    return (
        pl.when(current.eq_missing(previous))
        .then(None)
        .when(previous.is_null())
        .then(strings.format_expr("tier_reached", tier=current))
        .when(current.is_null())
        .then(strings.format_expr("tier_lost", before=previous))
        .otherwise(strings.format_expr("tier_changed", tier=current, before=previous))
    )


def _limit_change(strings: UiStrings) -> pl.Expr:
    """Return the newly reached limit; null where the tier changed, which already implies it."""
    current, previous = pl.col("limit"), pl.col("limit_previous")
    is_reached = current.ne_missing(previous) & pl.col("tier").eq_missing(pl.col("tier_previous"))
    text = pl.coalesce(
        pl.when(current == name).then(strings.format_expr(f"limit_{name}")) for name in _LIMITS
    )
    return pl.when(is_reached).then(text)


def _probability_change(as_of: date, strings: UiStrings) -> pl.Expr:
    current, previous = (
        round_to_percent(pl.col(name)) for name in ("probability", "probability_previous")
    )
    days = (pl.lit(as_of) - pl.col("as_of_previous")).dt.total_days()
    values = {
        "before": strings.format_percent(pl.col("probability_previous")),
        "ago": strings.format_days_ago(days),
    }
    return (
        pl.when(current - previous >= _MIN_PROBABILITY_CHANGE)
        .then(strings.format_expr("probability_up", **values))
        .when(previous - current >= _MIN_PROBABILITY_CHANGE)
        .then(strings.format_expr("probability_down", **values))
    )


def _date_change(as_of: date, strings: UiStrings) -> pl.Expr:
    """Return a date that moved by a week or more; dates in the past count as now."""
    today = pl.lit(as_of)
    current = pl.col("readiness_date")
    previous = pl.max_horizontal(pl.col("readiness_date_previous"), today)
    had_date = pl.col("readiness_date_previous").is_not_null()
    moved = (current - previous).dt.total_days().abs() >= _MIN_DATE_SHIFT_DAYS
    return (
        pl.when(had_date & current.is_not_null() & moved)
        .then(
            strings.format_expr(
                "date_moved",
                before=strings.format_day(previous, as_of),
                now=strings.format_day(current, as_of),
            )
        )
        .when(~had_date & current.is_not_null())
        .then(strings.format_expr("date_set", now=strings.format_day(current, as_of)))
        .when(had_date & current.is_null())
        .then(strings.format_expr("date_removed"))
    )
