"""What a reader must know before believing a figure: what was assumed, or could not be judged."""

import polars as pl

from data.config.settings import Settings
from training.rules import team_capacity

__all__ = ["list_caveats"]

_REPEAT_RATE = 0.9


def list_caveats(predictions: pl.DataFrame, settings: Settings) -> list[str]:
    """Say in a sentence each what was assumed, and what could not be judged.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluation.result.EvaluationResult`.
    settings : data.config.settings.Settings
        By which they were judged.

    Returns
    -------
    list of str
        Nothing where nothing was.
    """
    labelled = predictions.filter(pl.col("expanded").is_not_null())
    caveats = [
        _describe_capacity(settings),
        _describe_single_cutoff(labelled),
        _describe_missing_revenue(labelled),
        *_describe_single_class_cutoffs(labelled),
        _describe_repeat_expanders(labelled),
    ]
    return [sentence for sentence in caveats if sentence]


def _describe_capacity(settings: Settings) -> str:
    if "capacity" in settings.evaluation.model_fields_set:
        return ""
    return team_capacity.describe_default_capacity(settings.evaluation.capacity)


def _describe_single_cutoff(labelled: pl.DataFrame) -> str:
    if labelled["cut"].n_unique() > 1:
        return ""
    return (
        "The history is too short for two judged cuts: the intervals draw accounts alone, and how"
        " one cut differs from another is not in them."
    )


def _describe_missing_revenue(labelled: pl.DataFrame) -> str:
    expansions = labelled.filter("expanded")
    missing = expansions["arr_added"].null_count()
    if expansions.is_empty() or not missing:
        return ""
    if missing == expansions.height:
        return "No revenue is known of any expansion: what the worked accounts added is not told."
    return (
        f"Of {missing:,} of {expansions.height:,} expansions the revenue is not known; they count as"
        " nothing added."
    )


def _describe_single_class_cutoffs(labelled: pl.DataFrame) -> list[str]:
    """Name the cuts that saw one outcome only."""
    return [
        f"Cut {cut}: all {part.height:,} judged snapshots"
        f" {'expanded' if part['expanded'].all() else 'stayed as they were'}; its ranking figures"
        " are not told."
        for (cut,), part in labelled.group_by("cut", maintain_order=True)
        if part["expanded"].n_unique() < 2
    ]


def _describe_repeat_expanders(labelled: pl.DataFrame) -> str:
    """Count the accounts that expand again and again: they are no news to anyone."""
    rates = labelled.group_by("account_id").agg(rate=pl.col("expanded").mean(), rows=pl.len())
    repeat_expanders = rates.filter(pl.col("rate") >= _REPEAT_RATE, pl.col("rows") >= 3).join(
        labelled, on="account_id"
    )
    if repeat_expanders.is_empty():
        return ""
    share = int(repeat_expanders["expanded"].sum()) / int(labelled["expanded"].sum())
    return (
        f"{repeat_expanders['account_id'].n_unique():,} account(s) expanded after nearly every as-of and hold"
        f" {share:.0%} of all expansions: any ranking that knows them looks better for it."
    )
