"""Whether an account is asked this week, why not, and whom to talk to."""

from collections.abc import Mapping
from datetime import date
from typing import Final

import polars as pl

from data.settings import Playbook
from serving import playbook
from serving.lines.phrases import Phrases

__all__ = ["decided"]

_MOST: Final = 2  # sentences of what holds back
_READ: Final = ("plateau_months", "departments_90d", "departments_new_90d")


def decided(
    lines: pl.DataFrame,
    snapshots: pl.DataFrame,
    worked: Mapping[str, date],
    as_of: date,
    rules: Playbook,
    *,
    words: Phrases,
    horizon_days: int,
    not_now: Mapping[str, date] | None = None,
) -> pl.DataFrame:
    """Keep from asking who may leave, who was worked of late, and who stands on a plateau.

    In this order, the first that holds takes the place of the motion. Rank, probability, tier and
    limit stay as they are.

    Parameters
    ----------
    lines : polars.DataFrame
        ``account_id``, ``tier``, ``limit``, ``motion``, ``seat_utilization``,
        ``churn_probability`` (null: not known) and ``pushes_down``: sentences, strongest first.
    snapshots : polars.DataFrame
        The same accounts' rows of a :class:`features.panel.Panel`.
    worked : mapping of str to datetime.date
        Account → the last day on which a human dealt with it; a day after the as-of is not known
        yet.
    as_of : datetime.date
        The day of the list.
    rules : data.settings.Playbook
        Thresholds, and roles.
    words : serving.lines.phrases.Phrases
        How it is worded.
    horizon_days : int
        Of the chance to leave.
    not_now : mapping of str to datetime.date, optional
        Account → the day until which a human said that it is not to be asked.

    Returns
    -------
    polars.DataFrame
        The lines with ``ask``, ``motion``, ``buyer``, ``expansion_signal`` (null where no tier
        fires or no ask is made), ``holds_back``: the reason for no ask, then what pushes the
        number down; in place of ``pushes_down``; and ``rest_until``, the day until which an account
        is left alone.
    """
    since = (pl.lit(as_of) - pl.col("worked_on")).dt.total_days()
    until = pl.col("worked_on") + pl.duration(days=rules.rest_days)
    stopped: tuple[tuple[str, pl.Expr, pl.Expr], ...] = (
        (
            "retain",
            pl.col("churn_probability") >= rules.churn_risk,
            words.said(
                "leaving",
                chance=words.percent(pl.col("churn_probability")),
                days=words.counted(pl.lit(horizon_days), "day"),
            ),
        ),
        (
            "rest",
            pl.col("not_now") > as_of,
            words.said("not_now", until=words.day(pl.col("not_now"), as_of)),
        ),
        (
            "rest",
            since.is_between(0, rules.rest_days, closed="left"),
            words.said("worked", ago=words.ago(since), until=words.day(until, as_of)),
        ),
        (
            "consolidate",
            pl.col("motion") == "consolidate",
            words.said(
                "flat",
                share=words.percent(pl.col("seat_utilization")),
                months=words.counted(pl.col("plateau_months"), "month"),
            ),
        ),
    )
    motion, reason = pl.col("motion"), pl.lit(None, dtype=pl.String)
    for name, holds, why in reversed(stopped):
        held = holds.fill_null(value=False)
        motion = pl.when(held).then(pl.lit(name)).otherwise(motion)
        reason = pl.when(held).then(why).otherwise(reason)
    return (
        _beside(lines, snapshots, {"worked_on": worked, "not_now": not_now or {}})
        .with_columns(motion=motion, why_not=reason)
        .with_columns(
            ask=~pl.col("motion").is_in(playbook.NO_ASK),
            rest_until=pl.when(pl.col("motion") == "rest").then(
                pl.when(pl.col("not_now") > as_of).then("not_now").otherwise(until)
            ),
            buyer=playbook.buyer(pl.col("motion"), rules.buyers),
            holds_back=pl.concat_list("why_not", "pushes_down").list.drop_nulls().list.head(_MOST),
        )
        .with_columns(
            expansion_signal=pl.when(pl.col("ask") & pl.col("tier").is_not_null()).then(
                pl.format("{}: tier {}", "limit", "tier")
            )
        )
        .drop("worked_on", "not_now", "why_not", "pushes_down", *_READ)
    )


def _beside(
    lines: pl.DataFrame, snapshots: pl.DataFrame, told: Mapping[str, Mapping[str, date]]
) -> pl.DataFrame:
    beside = lines.join(
        snapshots.select("account_id", *_READ),
        on="account_id",
        how="left",
        maintain_order="left",
    )
    for name, by_account in told.items():
        days = pl.DataFrame(
            {"account_id": list(by_account), name: list(by_account.values())},
            schema={"account_id": pl.String, name: pl.Date},
        )
        beside = beside.join(days, on="account_id", how="left", maintain_order="left")
    return beside
