"""Caveats of an evaluation: assumptions, and what could not be evaluated."""

import polars as pl

from data.config.settings import EvaluationConfig
from training.rules import team_capacity

__all__ = ["list_caveats"]

_REPEAT_RATE = 0.9


def list_caveats(predictions: pl.DataFrame, rules: EvaluationConfig) -> list[str]:
    """List assumptions and what could not be evaluated, one sentence each.

    The predictions are those of :class:`training.evaluation.result.EvaluationResult`.
    """
    labelled = predictions.filter(pl.col("expanded").is_not_null())
    caveats = [
        _describe_capacity(rules),
        _describe_single_cutoff(labelled),
        _describe_missing_revenue(labelled),
        *_describe_single_class_cutoffs(labelled),
        _describe_repeat_expanders(labelled),
    ]
    return [sentence for sentence in caveats if sentence]


def _describe_capacity(rules: EvaluationConfig) -> str:
    if "capacity" in rules.model_fields_set:
        return ""
    return team_capacity.describe_default_capacity(rules.capacity)


def _describe_single_cutoff(labelled: pl.DataFrame) -> str:
    if labelled["cutoff"].n_unique() > 1:
        return ""
    return (
        "The history is too short for two cutoffs: only accounts are resampled, so the intervals"
        " ignore the variation between cutoffs."
    )


def _describe_missing_revenue(labelled: pl.DataFrame) -> str:
    expansions = labelled.filter("expanded")
    missing = expansions["arr_added"].null_count()
    if expansions.is_empty() or not missing:
        return ""
    if missing == expansions.height:
        return "No expansion has a known revenue: the revenue at capacity is not reported."
    return (
        f"The revenue of {missing:,} of {expansions.height:,} expansions is unknown; they count as"
        " 0 added."
    )


def _describe_single_class_cutoffs(labelled: pl.DataFrame) -> list[str]:
    """Describe the cutoffs with outcomes of a single class."""
    return [
        f"Cutoff {cutoff}: all {part.height:,} labelled snapshots"
        f" {'expanded' if part['expanded'].all() else 'did not expand'}; its ranking metrics are"
        " undefined."
        for (cutoff,), part in labelled.group_by("cutoff", maintain_order=True)
        if part["expanded"].n_unique() < 2
    ]


def _describe_repeat_expanders(labelled: pl.DataFrame) -> str:
    """Describe accounts that expand after nearly every as-of; they inflate every ranking."""
    rates = labelled.group_by("account_id").agg(rate=pl.col("expanded").mean(), rows=pl.len())
    repeat_expanders = rates.filter(pl.col("rate") >= _REPEAT_RATE, pl.col("rows") >= 3).join(
        labelled, on="account_id"
    )
    if repeat_expanders.is_empty():
        return ""
    share = int(repeat_expanders["expanded"].sum()) / int(labelled["expanded"].sum())
    return (
        f"{repeat_expanders['account_id'].n_unique():,} account(s) expanded after nearly every"
        f" as-of and account for {share:.0%} of all expansions: any ranking that puts them first"
        " looks better than it is."
    )
