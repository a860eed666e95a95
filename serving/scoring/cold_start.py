"""Cold start: rank by tier rules; no probability is reported."""

from typing import Final

import polars as pl

from training.explain.templates import ReasonTemplates
from training.predict import PREDICTION_SCHEMA

__all__ = ["MODEL_NAME", "rank_by_tier_rules"]

MODEL_NAME: Final = "tier rules"
_REASON_GROUPS: Final = ("seats", "usage")  # the groups behind the order


def rank_by_tier_rules(
    snapshots: pl.DataFrame, tier: pl.Series, templates: ReasonTemplates
) -> pl.DataFrame:
    """Rank accounts by tier, then by utilization of the nearest limit, ties by account.

    Returns
    -------
    polars.DataFrame
        In the order of the snapshots, with the columns of
        :func:`training.predict.predict_accounts`; those that need a model are null.
    """
    pressure = pl.max_horizontal("seat_utilization", "usage_ratio")
    order = pl.arg_sort_by(
        [tier, pressure, "account_id"], descending=[False, True, False], nulls_last=True
    )
    ranked = snapshots.select(
        rank_key=-order.arg_sort().cast(pl.Float64),
        signals=_render_reasons(snapshots, templates),
        negative_reasons=pl.lit([], dtype=pl.List(pl.String)),
        contributions=pl.lit("{}"),
        model=pl.lit(MODEL_NAME),
    )
    return pl.concat([pl.DataFrame(schema=PREDICTION_SCHEMA), ranked], how="diagonal")


def _render_reasons(snapshots: pl.DataFrame, templates: ReasonTemplates) -> pl.Series:
    reasons = [
        [
            templates.render(group, facts) or templates.render(group, facts, "decreases")
            for group in _REASON_GROUPS
        ]
        for facts in snapshots.rows(named=True)
    ]
    return pl.Series([list(filter(None, reason)) for reason in reasons], dtype=pl.List(pl.String))
