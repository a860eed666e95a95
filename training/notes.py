"""What a reader must know before believing a figure: what was assumed, or could not be judged."""

import polars as pl

from data.settings import Settings
from training import team

__all__ = ["of"]

_OFTEN = 0.9


def of(predictions: pl.DataFrame, settings: Settings) -> list[str]:
    """Say in a sentence each what was assumed, and what could not be judged.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluation.Evaluation`.
    settings : data.settings.Settings
        By which they were judged.

    Returns
    -------
    list of str
        Nothing where nothing was.
    """
    known = predictions.filter(pl.col("expanded").is_not_null())
    told = [_capacity(settings), _cuts(known), _revenue(known), *_outcomes(known), _always(known)]
    return [sentence for sentence in told if sentence]


def _capacity(settings: Settings) -> str:
    if "capacity" in settings.evaluation.model_fields_set:
        return ""
    return team.assumed(settings.evaluation.capacity)


def _cuts(known: pl.DataFrame) -> str:
    if known["cut"].n_unique() > 1:
        return ""
    return (
        "The history is too short for two judged cuts: the intervals draw accounts alone, and how"
        " one cut differs from another is not in them."
    )


def _revenue(known: pl.DataFrame) -> str:
    came = known.filter("expanded")
    missing = came["arr_added"].null_count()
    if came.is_empty() or not missing:
        return ""
    if missing == came.height:
        return "No revenue is known of any expansion: what the worked accounts added is not told."
    return (
        f"Of {missing:,} of {came.height:,} expansions the revenue is not known; they count as"
        " nothing added."
    )


def _outcomes(known: pl.DataFrame) -> list[str]:
    """Name the cuts that saw one outcome only."""
    return [
        f"Cut {cut}: all {part.height:,} judged snapshots"
        f" {'expanded' if part['expanded'].all() else 'stayed as they were'}; its ranking figures"
        " are not told."
        for (cut,), part in known.group_by("cut", maintain_order=True)
        if part["expanded"].n_unique() < 2
    ]


def _always(known: pl.DataFrame) -> str:
    """Count the accounts that expand again and again: they are no news to anyone."""
    rates = known.group_by("account_id").agg(rate=pl.col("expanded").mean(), rows=pl.len())
    always = rates.filter(pl.col("rate") >= _OFTEN, pl.col("rows") >= 3).join(
        known, on="account_id"
    )
    if always.is_empty():
        return ""
    share = int(always["expanded"].sum()) / int(known["expanded"].sum())
    return (
        f"{always['account_id'].n_unique():,} account(s) expanded after nearly every as-of and hold"
        f" {share:.0%} of all expansions: any ranking that knows them looks better for it."
    )
