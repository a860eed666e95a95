"""Expected relative increase of revenue at an expansion: a shrunken median by expansion type."""

from collections.abc import Mapping
from typing import Final

import polars as pl

__all__ = ["ANY_TYPE", "estimate_increase_by_type"]

ANY_TYPE: Final = "any"
# Number of expansions of a type at which its median and the overall median weigh equally.
_PRIOR_EXPANSIONS: Final = 10


def estimate_increase_by_type(labels: pl.DataFrame) -> Mapping[str, float]:
    """Estimate the typical increase of recurring revenue at an expansion.

    The median of a type with n expansions is shrunk towards the overall median with weight n / (n +
    10), because a few large deals are weak evidence. An expansion seen by several snapshots counts
    once. The result maps type → relative increase of revenue, and ``any`` for an account without
    such a limit; empty if no revenue is known.

    Examples
    --------
    Ten expansions of 10 % and one plan upgrade of 100 %:

    >>> from datetime import date
    >>> rises = pl.DataFrame({"account_id": range(11), "as_of": [date(2025, 1, 1)] * 11,
    ...     "days_to_expansion": [5] * 11, "kind": ["seats"] * 10 + ["plan"],
    ...     "mrr_increase": [0.1] * 10 + [1.0]})
    >>> {kind: round(share, 3) for kind, share in estimate_increase_by_type(rises).items()}
    {'any': 0.1, 'plan': 0.182, 'seats': 0.1}
    """
    day = pl.col("as_of") + pl.duration(days=pl.col("days_to_expansion"))
    distinct_expansions = (
        labels.select("account_id", day.alias("day"), "kind", "mrr_increase")
        .drop_nulls()
        .unique(["account_id", "day"], keep="first", maintain_order=True)
    )
    if distinct_expansions.is_empty():
        return {}
    overall_median = distinct_expansions.select(pl.col("mrr_increase").median().clip(0)).item()
    count, type_median = pl.len(), pl.col("mrr_increase").median().clip(0)
    increases = distinct_expansions.group_by("kind").agg(
        share=(count * type_median + _PRIOR_EXPANSIONS * overall_median)
        / (count + _PRIOR_EXPANSIONS)
    )
    return {ANY_TYPE: overall_median} | dict(increases.sort("kind").iter_rows())
