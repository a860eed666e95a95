"""The list before there is a history to learn from: the tier rules rank, and no chance is told."""

from datetime import datetime
from typing import Final

import polars as pl

from data.config.settings import Playbook
from serving.scoring import playbook
from training.explain.templates import ReasonTemplates, load_default_templates

__all__ = ["MODEL_NAME", "rank_by_tier_rules"]

MODEL_NAME: Final = "tier rules"
_REASON_GROUPS: Final = ("seats", "usage")  # the facts behind the order, which way they may speak
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
    """List accounts by tier, within a tier by how full the nearest limit is, ties by account.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.builder.Panel`, of one as-of.
    as_of : datetime.datetime
        00:00 UTC; from then on one talks to accounts of tier 1.
    rules : data.config.settings.Playbook
        The thresholds.
    templates : training.explain.templates.ReasonTemplates, optional
        The company's own; by default those that come with the program.

    Returns
    -------
    polars.DataFrame
        In order, with the columns of a list that a model made; what only a model knows is null.
    """
    advice = playbook.assign_playbook(snapshots, rules)
    pressure = pl.max_horizontal("seat_utilization", "usage_ratio")
    return (
        snapshots.with_columns(**{name: advice[name] for name in advice.columns})
        .with_columns(
            signals=_render_reasons(snapshots, templates or load_default_templates()),
            pushes_down=pl.lit([], dtype=pl.List(pl.String)),
            contributions=pl.lit("{}"),
            model=pl.lit(MODEL_NAME),
            readiness_date=pl.when(pl.col("tier") == 1).then(pl.lit(as_of.date())),
            **{name: pl.lit(None, dtype=kind) for name, kind in _NULL_COLUMNS.items()},
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
            "pushes_down",
            "contributions",
            "model",
            *advice.columns,
            standing=-pl.int_range(pl.len()).cast(pl.Float64),
        )
    )


def _render_reasons(snapshots: pl.DataFrame, templates: ReasonTemplates) -> pl.Series:
    reasons = [
        [
            templates.render(story, facts) or templates.render(story, facts, "holds")
            for story in _REASON_GROUPS
        ]
        for facts in snapshots.rows(named=True)
    ]
    return pl.Series([list(filter(None, each)) for each in reasons], dtype=pl.List(pl.String))
