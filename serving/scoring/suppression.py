"""Outreach suppression: churn risk, snooze, cool-down and plateau."""

from collections.abc import Mapping
from datetime import date
from typing import Final

import polars as pl

from data.config.settings import Playbook
from serving.scoring import playbook
from serving.scoring.text.ui_strings import UiStrings

__all__ = ["suppress_outreach"]

_MAX_COUNTER_REASONS: Final = 2


def suppress_outreach(
    rows: pl.DataFrame,
    recent_touches: Mapping[str, date],
    as_of: date,
    rules: Playbook,
    *,
    strings: UiStrings,
    horizon_days: int,
    snoozed_until: Mapping[str, date],
) -> pl.DataFrame:
    """Suppress outreach for accounts at churn risk, snoozed, recently contacted, or on a plateau.

    The first rule that applies, in this order, replaces the motion. Rank, probability, tier and
    limit are unchanged.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, ``tier``, ``limit``, ``motion``, ``seat_utilization``, ``plateau_months``,
        ``departments_90d``, ``departments_new_90d``, ``churn_probability`` (null: unknown) and
        ``negative_reasons``: reasons that lower the probability, strongest first.
    recent_touches : mapping of str to datetime.date
        Account → the last day of CRM activity by a human; later days than the as-of are ignored.
    snoozed_until : mapping of str to datetime.date
        Account → the day until which a human snoozed it.

    Returns
    -------
    polars.DataFrame
        The rows with ``outreach_allowed``, ``motion``, ``contact_role``, ``expansion_signal``
        (null without a tier or with suppressed outreach), ``counter_reasons`` (the suppression
        reason, then those of ``negative_reasons``, which is dropped), and ``cooldown_until``, the
        end of the cool-down.
    """
    days_since_touch = (pl.lit(as_of) - pl.col("touched_on")).dt.total_days()
    cooldown_end = pl.col("touched_on") + pl.duration(days=rules.cooldown_days)
    suppression_rules: tuple[tuple[str, pl.Expr, pl.Expr], ...] = (
        (
            "retain",
            pl.col("churn_probability") >= rules.churn_risk,
            strings.format_expr(
                "churn_risk",
                probability=strings.format_percent(pl.col("churn_probability")),
                days=strings.pluralize(pl.lit(horizon_days), "day"),
            ),
        ),
        (
            "cooldown",
            pl.col("snoozed_until") > as_of,
            strings.format_expr(
                "snoozed", until=strings.format_day(pl.col("snoozed_until"), as_of)
            ),
        ),
        (
            "cooldown",
            days_since_touch.is_between(0, rules.cooldown_days, closed="left"),
            strings.format_expr(
                "recently_contacted",
                ago=strings.format_days_ago(days_since_touch),
                until=strings.format_day(cooldown_end, as_of),
            ),
        ),
        (
            "consolidate",
            pl.col("motion") == "consolidate",
            strings.format_expr(
                "plateau",
                share=strings.format_percent(pl.col("seat_utilization")),
                months=strings.pluralize(pl.col("plateau_months"), "month"),
            ),
        ),
    )
    has_signal = pl.col("outreach_allowed") & pl.col("tier").is_not_null()
    motion, reason = pl.col("motion"), pl.lit(None, dtype=pl.String)
    for name, condition, text in reversed(suppression_rules):
        applies = condition.fill_null(value=False)
        motion = pl.when(applies).then(pl.lit(name)).otherwise(motion)
        reason = pl.when(applies).then(text).otherwise(reason)
    return (
        rows.with_columns(
            touched_on=_look_up_dates(recent_touches), snoozed_until=_look_up_dates(snoozed_until)
        )
        .with_columns(motion=motion, suppression_reason=reason)
        .with_columns(
            outreach_allowed=~pl.col("motion").is_in(playbook.SUPPRESSED_MOTIONS),
            cooldown_until=pl.when(pl.col("motion") == "cooldown").then(
                pl.when(pl.col("snoozed_until") > as_of)
                .then("snoozed_until")
                .otherwise(cooldown_end)
            ),
            contact_role=playbook.contact_role(pl.col("motion"), rules.contact_roles),
            counter_reasons=pl.concat_list("suppression_reason", "negative_reasons")
            .list.drop_nulls()
            .list.head(_MAX_COUNTER_REASONS),
        )
        .with_columns(
            expansion_signal=pl.when(has_signal).then(pl.format("{}: tier {}", "limit", "tier"))
        )
        .drop("touched_on", "snoozed_until", "suppression_reason", "negative_reasons")
    )


def _look_up_dates(by_account: Mapping[str, date]) -> pl.Expr:
    return pl.col("account_id").replace_strict(
        list(by_account), list(by_account.values()), default=None, return_dtype=pl.Date
    )
