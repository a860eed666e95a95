"""Whether an account is asked this week, why not, and whom to talk to."""

from collections.abc import Mapping
from datetime import date
from typing import Final

import polars as pl

from data.config.settings import Playbook
from serving.scoring import playbook
from serving.scoring.text.ui_strings import UiStrings

__all__ = ["suppress_outreach"]

_MAX_COUNTER_REASONS: Final = 2  # sentences of what holds back
_SNAPSHOT_COLUMNS: Final = ("plateau_months", "departments_90d", "departments_new_90d")


def suppress_outreach(
    rows: pl.DataFrame,
    snapshots: pl.DataFrame,
    recent_touches: Mapping[str, date],
    as_of: date,
    rules: Playbook,
    *,
    strings: UiStrings,
    horizon_days: int,
    snoozed_until: Mapping[str, date] | None = None,
) -> pl.DataFrame:
    """Keep from asking who may leave, who was worked of late, and who stands on a plateau.

    In this order, the first that holds takes the place of the motion. Rank, probability, tier and
    limit stay as they are.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, ``tier``, ``limit``, ``motion``, ``seat_utilization``,
        ``churn_probability`` (null: not known) and ``pushes_down``: sentences, strongest first.
    snapshots : polars.DataFrame
        The same accounts' rows of a :class:`features.panel.builder.Panel`.
    recent_touches : mapping of str to datetime.date
        Account → the last day on which a human dealt with it; a day after the as-of is not known
        yet.
    as_of : datetime.date
        The day of the list.
    rules : data.config.settings.Playbook
        Thresholds, and roles.
    strings : serving.scoring.text.ui_strings.UiStrings
        How it is worded.
    horizon_days : int
        Of the chance to leave.
    snoozed_until : mapping of str to datetime.date, optional
        Account → the day until which a human said that it is not to be asked.

    Returns
    -------
    polars.DataFrame
        The lines with ``ask``, ``motion``, ``buyer``, ``expansion_signal`` (null where no tier
        fires or no ask is made), ``holds_back``: the reason for no ask, then what pushes the
        number down; in place of ``pushes_down``; and ``rest_until``, the day until which an account
        is left alone.
    """
    days_since_touch = (pl.lit(as_of) - pl.col("worked_on")).dt.total_days()
    cooldown_end = pl.col("worked_on") + pl.duration(days=rules.cooldown_days)
    suppression_rules: tuple[tuple[str, pl.Expr, pl.Expr], ...] = (
        (
            "retain",
            pl.col("churn_probability") >= rules.churn_risk,
            strings.format_expr(
                "leaving",
                chance=strings.format_percent(pl.col("churn_probability")),
                days=strings.pluralize(pl.lit(horizon_days), "day"),
            ),
        ),
        (
            "rest",
            pl.col("not_now") > as_of,
            strings.format_expr("not_now", until=strings.format_day(pl.col("not_now"), as_of)),
        ),
        (
            "rest",
            days_since_touch.is_between(0, rules.cooldown_days, closed="left"),
            strings.format_expr(
                "worked",
                ago=strings.format_days_ago(days_since_touch),
                until=strings.format_day(cooldown_end, as_of),
            ),
        ),
        (
            "consolidate",
            pl.col("motion") == "consolidate",
            strings.format_expr(
                "flat",
                share=strings.format_percent(pl.col("seat_utilization")),
                months=strings.pluralize(pl.col("plateau_months"), "month"),
            ),
        ),
    )
    motion, reason = pl.col("motion"), pl.lit(None, dtype=pl.String)
    for name, holds, why in reversed(suppression_rules):
        applies = holds.fill_null(value=False)
        motion = pl.when(applies).then(pl.lit(name)).otherwise(motion)
        reason = pl.when(applies).then(why).otherwise(reason)
    return (
        _join_dates(rows, snapshots, {"worked_on": recent_touches, "not_now": snoozed_until or {}})
        .with_columns(motion=motion, why_not=reason)
        .with_columns(
            ask=~pl.col("motion").is_in(playbook.SUPPRESSED_MOTIONS),
            rest_until=pl.when(pl.col("motion") == "rest").then(
                pl.when(pl.col("not_now") > as_of).then("not_now").otherwise(cooldown_end)
            ),
            buyer=playbook.contact_role(pl.col("motion"), rules.contact_roles),
            holds_back=pl.concat_list("why_not", "pushes_down")
            .list.drop_nulls()
            .list.head(_MAX_COUNTER_REASONS),
        )
        .with_columns(
            expansion_signal=pl.when(pl.col("ask") & pl.col("tier").is_not_null()).then(
                pl.format("{}: tier {}", "limit", "tier")
            )
        )
        .drop("worked_on", "not_now", "why_not", "pushes_down", *_SNAPSHOT_COLUMNS)
    )


def _join_dates(
    rows: pl.DataFrame, snapshots: pl.DataFrame, dates_by_name: Mapping[str, Mapping[str, date]]
) -> pl.DataFrame:
    joined = rows.join(
        snapshots.select("account_id", *_SNAPSHOT_COLUMNS),
        on="account_id",
        how="left",
        maintain_order="left",
    )
    for name, by_account in dates_by_name.items():
        days = pl.DataFrame(
            {"account_id": list(by_account), name: list(by_account.values())},
            schema={"account_id": pl.String, name: pl.Date},
        )
        joined = joined.join(days, on="account_id", how="left", maintain_order="left")
    return joined
