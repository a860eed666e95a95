"""How much more an account pays after an expansion: the median of the past, by kind."""

from collections.abc import Mapping
from typing import Final

import polars as pl

__all__ = ["ANY_TYPE", "estimate_increase_by_type"]

ANY_TYPE: Final = "any"
# So many expansions of a kind weigh as much as all others together.
_PRIOR_EXPANSIONS: Final = 10


def estimate_increase_by_type(labels: pl.DataFrame) -> Mapping[str, float]:
    """Give the typical rise of recurring revenue at an expansion.

    A kind that was seen n times says n / (n + 10) of its own median and the rest of the median of
    all, since a few large deals are no rule. An expansion that several snapshots saw counts once.

    Parameters
    ----------
    labels : polars.DataFrame
        :func:`training.labels.build_outcomes`, read at the cut.

    Returns
    -------
    mapping of str to float
        Kind → rise as a share of the revenue before, and ``any`` for an account of no such limit.
        Empty where no revenue was known.

    Examples
    --------
    Ten expansions of 10 % and one plan upgrade of 100 %:

    >>> from datetime import date
    >>> rises = pl.DataFrame({"account_id": range(11), "as_of": [date(2025, 1, 1)] * 11,
    ...     "days_to_expansion": [5] * 11, "kind": ["seats"] * 10 + ["plan"],
    ...     "mrr_rise": [0.1] * 10 + [1.0]})
    >>> {kind: round(share, 3) for kind, share in estimate_increase_by_type(rises).items()}
    {'any': 0.1, 'plan': 0.182, 'seats': 0.1}
    """
    day = pl.col("as_of") + pl.duration(days=pl.col("days_to_expansion"))
    distinct_expansions = (
        labels.select("account_id", day.alias("day"), "kind", "mrr_rise")
        .drop_nulls()
        .unique(["account_id", "day"], keep="first", maintain_order=True)
    )
    if distinct_expansions.is_empty():
        return {}
    overall_median = distinct_expansions.select(pl.col("mrr_rise").median().clip(0)).item()
    count, type_median = pl.len(), pl.col("mrr_rise").median().clip(0)
    increases = distinct_expansions.group_by("kind").agg(
        share=(count * type_median + _PRIOR_EXPANSIONS * overall_median)
        / (count + _PRIOR_EXPANSIONS)
    )
    return {ANY_TYPE: overall_median} | dict(increases.sort("kind").iter_rows())
