"""Where a line rests on little, one sentence that says so."""

from typing import Final

import polars as pl

from data.settings import Scoring
from features.catalogue import NAMES
from serving.lines.phrases import Phrases, whole

__all__ = ["of"]

_USUAL: Final = 0.5  # a feature that so many accounts have is one to expect


def of(lines: pl.DataFrame, snapshots: pl.DataFrame, rules: Scoring, words: Phrases) -> pl.Series:
    """Say where history is thin, or why an account comes last.

    Parameters
    ----------
    lines : polars.DataFrame
        ``account_id``, ``probability``, ``expected_arr``.
    snapshots : polars.DataFrame
        The same accounts' rows of a :class:`features.panel.Panel`.
    rules : data.settings.Scoring
        What is thin, and by what is ranked.
    words : serving.lines.phrases.Phrases
        How it is worded.

    Returns
    -------
    polars.Series of str
        One sentence or null, in the order of the lines: of an account that is new, hardly used, or
        of which many features are missing that most accounts have; or that is ranked by expected
        ARR and has no revenue on file.
    """
    usual = [name for name in NAMES if snapshots[name].null_count() < _USUAL * snapshots.height]
    facts = snapshots.select(
        "account_id",
        "tenure_days",
        "events_30d",
        missing=pl.sum_horizontal(pl.col(name).is_null() for name in usual),
    )
    no_revenue = pl.col("expected_arr").is_null() & pl.col("probability").is_not_null()
    missing, asked = pl.col("missing"), len(usual)
    thin = (
        pl.when(no_revenue & pl.lit(rules.rank_by != "probability"))
        .then(words.said("no_revenue"))
        .when(pl.col("tenure_days") < rules.thin_days)
        .then(words.said("new_customer", days=words.counted(pl.col("tenure_days"), "day")))
        .when((pl.col("events_30d") == 0) & pl.lit(rules.thin_events > 0))
        .then(words.said("no_use"))
        .when(pl.col("events_30d") < rules.thin_events)
        .then(words.said("little_use", events=words.counted(pl.col("events_30d"), "event")))
        .when(missing >= rules.thin_share * asked)
        .then(words.said("gaps", missing=whole(missing), asked=pl.lit(str(asked))))
    )
    return lines.join(facts, on="account_id", how="left", maintain_order="left").select(note=thin)[
        "note"
    ]
