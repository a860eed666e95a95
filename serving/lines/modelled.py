"""The lines of accounts that a model scores: chance, days, revenue, reasons."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from data.settings import Settings
from serving import playbook
from serving.lines import dated
from training import bands, readiness, signals, sizes
from training.estimate import Estimate
from training.registry import Registered
from training.wording import Wording

__all__ = ["lines"]

_AT_ONCE: Final = 5_000  # accounts


def lines(
    model: Registered,
    snapshots: pl.DataFrame,
    as_of: datetime,
    settings: Settings,
    words: Wording | None = None,
) -> pl.DataFrame:
    """Say of each snapshot what the model says.

    Parameters
    ----------
    model : training.registry.Registered
        The model that serves.
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`, of one as-of.
    as_of : datetime.datetime
        00:00 UTC.
    settings : data.settings.Settings
        Scoring and playbook.
    words : training.wording.Wording, optional
        The company's own; by default those that come with the program.

    Returns
    -------
    polars.DataFrame
        In the order of the snapshots; ``standing`` is what they are ranked by, ``pushes_down``
        sentences of what pushes the number down, ``curve`` the chance within each number of days.
    """
    by_horizon = model.model.estimates(snapshots)
    estimate = by_horizon[model.model.horizon_days]
    why = signals.explain(model.model, snapshots, words=words)
    advice = playbook.judged(snapshots, settings.playbook)
    curve = np.column_stack([each.probability for each in by_horizon.values()])
    expected = readiness.dates(curve, list(by_horizon))
    probability = pl.Series(estimate.probability)
    frame = snapshots.select(
        "account_id",
        "as_of",
        pl.col("active_seats", "licensed_seats").cast(pl.Int64),
        "seat_utilization",
    ).with_columns(
        probability=probability,
        low=pl.Series(estimate.low),
        high=pl.Series(estimate.high),
        band=bands.of(probability),
        probability_180d=pl.Series(expected.within),
        churn_probability=_churn(model, snapshots),
        margin=pl.Series(estimate.margin),
        standing=pl.Series(estimate.margin),
        base=pl.Series(why.base),
        signals=_texts(why.sentences),
        pushes_down=_texts(why.holds_back),
        contributions=why.as_json(),
        curve=_curve(by_horizon),
        model=pl.lit(model.called),
        **dated.expected(expected, as_of),
        **{name: advice[name] for name in advice.columns},
    )
    return frame.with_columns(
        readiness_date=dated.readiness(expected, as_of, frame["tier"], settings.scoring),
        expected_arr=expected_arr(frame, snapshots["mrr"], model.card["expansion_sizes"]),
    )


def _texts(rows: Sequence[Sequence[str]]) -> pl.Series:
    """Lists of texts, in pieces: Polars takes five kilobytes a row while it reads them."""
    starts = range(0, max(len(rows), 1), _AT_ONCE)
    return pl.concat(
        pl.Series(rows[start : start + _AT_ONCE], dtype=pl.List(pl.String)) for start in starts
    )


def _curve(by_horizon: Mapping[int, Estimate]) -> pl.Series:
    """The chances with their intervals, by number of days."""
    named = {"chance": "probability", "low": "low", "high": "high"}
    told = {
        name: np.column_stack([getattr(each, of) for each in by_horizon.values()]).round(4)
        for name, of in named.items()
    }
    frame = pl.DataFrame({name: pl.Series(rows) for name, rows in told.items()})
    return frame.select(
        curve=pl.struct(
            pl.lit(list(by_horizon), dtype=pl.List(pl.Int64)).alias("days"),
            *(pl.col(name).arr.to_list() for name in named),
        )
    )["curve"]


def _churn(model: Registered, snapshots: pl.DataFrame) -> pl.Series:
    """The probability that the contract ends within the horizon; null without such a model."""
    if model.churn is None:
        return pl.Series([None] * snapshots.height, dtype=pl.Float64)
    return pl.Series(model.churn.estimate(snapshots).probability)


def expected_arr(frame: pl.DataFrame, mrr: pl.Series, shares: Mapping[str, float]) -> pl.Series:
    """Probability × usual rise at the limit the account is running into × yearly revenue.

    Null without revenue. It is what such accounts add on average, not what an outreach causes.
    """
    if not shares:
        return pl.Series([None] * frame.height, dtype=pl.Float64)
    usual = shares[sizes.ANY]
    share = frame["limit"].replace_strict(dict(shares), default=usual, return_dtype=pl.Float64)
    return frame["probability"] * share * 12 * mrr
