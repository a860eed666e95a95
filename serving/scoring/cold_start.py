"""Cold start: rank by tier rules; no probability is reported."""

from datetime import datetime
from typing import Final

import polars as pl

from data.config.settings import Playbook
from serving.scoring import playbook
from training.explain.templates import ReasonTemplates, load_default_templates

__all__ = ["MODEL_NAME", "rank_by_tier_rules"]

MODEL_NAME: Final = "tier rules"
_REASON_GROUPS: Final = ("seats", "usage")  # the groups behind the order
_NULL_COLUMNS: Final = {
    **dict.fromkeys(("probability", "low", "high", "probability_180d"), pl.Float64),
    **dict.fromkeys(("churn_probability", "expected_arr", "margin", "base"), pl.Float64),
    **dict.fromkeys(("expected_early", "expected_date", "expected_late"), pl.Date),
    "band": pl.String,
}


def rank_by_tier_rules(
    snapshots: pl.DataFrame,
    as_of: datetime,
    rules: Playbook,
    templates: ReasonTemplates | None = None,
) -> pl.DataFrame:
    """Rank accounts by tier, then by utilization of the nearest limit, ties by account.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`, of one as-of.
    as_of : datetime.datetime
        00:00 UTC; the readiness date of tier 1 accounts.
    rules : Playbook settings
        The thresholds.
    templates : ReasonTemplates, optional
        The company's own; by default those that come with the program.

    Returns
    -------
    polars.DataFrame
        In rank order, with the columns of a list from a model; columns that need a model are null.
    """
    plays = playbook.assign_playbook(snapshots, rules)
    pressure = pl.max_horizontal("seat_utilization", "usage_ratio")
    return (
        snapshots.with_columns(**{name: plays[name] for name in plays.columns})
        .with_columns(
            signals=_render_reasons(snapshots, templates or load_default_templates()),
            negative_reasons=pl.lit([], dtype=pl.List(pl.String)),
            contributions=pl.lit("{}"),
            model=pl.lit(MODEL_NAME),
            readiness_date=pl.when(pl.col("tier") == 1).then(pl.lit(as_of.date())),
            **{name: pl.lit(None, dtype=dtype) for name, dtype in _NULL_COLUMNS.items()},
        )
        .sort("tier", pressure, "account_id", descending=[False, True, False], nulls_last=True)
        .select(
            "account_id",
            "as_of",
            pl.col("active_seats", "licensed_seats").cast(pl.Int64),
            "seat_utilization",
            *_NULL_COLUMNS,
            "readiness_date",
            "signals",
            "negative_reasons",
            "contributions",
            "model",
            *plays.columns,
            rank_key=-pl.int_range(pl.len()).cast(pl.Float64),
        )
    )


def _render_reasons(snapshots: pl.DataFrame, templates: ReasonTemplates) -> pl.Series:
    reasons = [
        [
            templates.render(group, facts) or templates.render(group, facts, "decreases")
            for group in _REASON_GROUPS
        ]
        for facts in snapshots.rows(named=True)
    ]
    return pl.Series([list(filter(None, reason)) for reason in reasons], dtype=pl.List(pl.String))
