"""Compare CSM feedback with actual contract outcomes.

An account marked *wrong* that then expands, or marked *won* without a contract change, points to an
error in the model, in the contracts, or in the definition of an expansion.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from serving.store.engine import read_transaction
from serving.store.schema import FEEDBACK, FEEDBACK_VERDICTS, SCORES
from training.labels import build_outcomes, expansion_label

if TYPE_CHECKING:
    from data.config.settings import OutcomeConfig

__all__ = ["compare_feedback_with_outcomes", "load_feedback"]

_FEEDBACK_SCHEMA: Final = {
    "account_id": pl.String,
    "as_of": pl.Date,
    "verdict": pl.String,
    "probability": pl.Float64,
}


def load_feedback(engine: sa.Engine) -> pl.DataFrame:
    """Load the latest feedback on each account of each list.

    Raises ``DeliveryError`` if the database cannot be read.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``as_of`` (of the list), ``verdict``, and the list's ``probability``, null
        if the account had none.
    """
    latest_ids = sa.select(sa.func.max(FEEDBACK.c.id)).group_by(
        FEEDBACK.c.account_id, FEEDBACK.c.as_of
    )
    same_list = (SCORES.c.account_id == FEEDBACK.c.account_id) & (
        SCORES.c.as_of == FEEDBACK.c.as_of
    )
    query = (
        sa.select(*(FEEDBACK.c[name] for name in list(_FEEDBACK_SCHEMA)[:3]), SCORES.c.probability)
        .select_from(FEEDBACK.outerjoin(SCORES, same_list))
        .where(FEEDBACK.c.id.in_(latest_ids))
        .order_by(FEEDBACK.c.id)
    )
    with read_transaction(engine) as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=_FEEDBACK_SCHEMA, orient="row")


def compare_feedback_with_outcomes(
    feedback: pl.DataFrame, contracts: pl.DataFrame, rules: OutcomeConfig, *, end: datetime
) -> list[dict[str, Any]]:
    """Count the outcomes of the accounts by feedback verdict.

    Only feedback on lists before ``end``, UTC, counts; outcomes use data known before it.

    Returns
    -------
    list of dict
        Per ``verdict`` that occurs: ``entries``; ``expected``, the mean probability on the lists,
        None without any; ``labelled``, entries with a matured label; and ``expanded``, those that
        expanded.
    """
    earlier = feedback.filter(pl.col("as_of") < end.date())
    labels = build_outcomes(earlier, contracts, cutoff=end, rules=rules)
    outcomes_known = labels.select(expanded=expansion_label(rules.horizon_days))
    rows = (
        earlier.with_columns(outcomes_known["expanded"])
        .group_by("verdict")
        .agg(
            entries=pl.len(),
            expected=pl.col("probability").mean(),
            labelled=pl.col("expanded").count(),
            expanded=pl.col("expanded").sum(),
        )
        .rows(named=True)
    )
    return sorted(rows, key=lambda row: FEEDBACK_VERDICTS.index(row["verdict"]))
