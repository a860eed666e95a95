"""Predictions of a registered model: probability, expected date and reasons of each account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.evaluation import probability_bands
from training.explain import attributions
from training.explain.templates import ReasonTemplates
from training.model import event_date
from training.model.prediction import Prediction

if TYPE_CHECKING:
    from training.registry import RegisteredModel

__all__ = ["PREDICTION_SCHEMA", "predict_accounts"]

_CHUNK_ROWS: Final = 5_000
_TEXTS: Final = pl.List(pl.String)
PREDICTION_SCHEMA: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = {
    **dict.fromkeys(("probability", "low", "high"), pl.Float64),
    "band": pl.String,
    **dict.fromkeys(("probability_180d", "churn_probability", "margin", "rank_key"), pl.Float64),
    "base": pl.Float64,
    "signals": _TEXTS,
    "negative_reasons": _TEXTS,
    "contributions": pl.String,
    "curve": pl.Struct(
        {
            "days": pl.List(pl.Int64),
            **dict.fromkeys(("probability", "low", "high"), pl.List(pl.Float64)),
        }
    ),
    "model": pl.String,
    **dict.fromkeys(("expected_early", "expected_date", "expected_late"), pl.Date),
    "interval_days": pl.Float64,
}


def predict_accounts(
    model: RegisteredModel, snapshots: pl.DataFrame, as_of: date, templates: ReasonTemplates
) -> pl.DataFrame:
    """Predict each account's expansion, with the reasons.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`, of one as-of.
    as_of : datetime.date
        Day from which the expected dates count.

    Returns
    -------
    polars.DataFrame
        Columns of ``PREDICTION_SCHEMA``, in the order of the snapshots. ``rank_key`` is the sort
        key, ``negative_reasons`` lower the probability, ``curve`` is the cumulative incidence by
        days. Median and 80 % interval of the expansion date hold given expansion within 180 days;
        ``interval_days`` is the interval's width.
    """
    by_horizon = model.model.predict_all_horizons(snapshots)
    estimate = by_horizon[model.model.horizon_days]
    explanation = attributions.explain_predictions(
        model.model, snapshots, reason_templates=templates
    )
    expected = event_date.estimate_event_dates(
        np.column_stack([prediction.probability for prediction in by_horizon.values()]),
        list(by_horizon),
    )
    churn = None if model.churn is None else model.churn.predict(snapshots).probability
    probability = pl.Series(estimate.probability)
    return pl.select(
        probability=probability,
        low=pl.Series(estimate.low),
        high=pl.Series(estimate.high),
        band=probability_bands.assign_band(probability),
        probability_180d=pl.Series(expected.probability_180d),
        churn_probability=pl.lit(None, pl.Float64) if churn is None else pl.Series(churn),
        margin=pl.Series(estimate.margin),
        rank_key=pl.Series(estimate.margin),
        base=pl.Series(explanation.base_value),
        signals=_to_text_lists(explanation.reasons),
        negative_reasons=_to_text_lists(explanation.counter_reasons),
        contributions=explanation.to_json_series(),
        curve=_build_incidence_curve(by_horizon),
        model=pl.lit(model.display_name),
        expected_early=_add_days(as_of, expected.early),
        expected_date=_add_days(as_of, expected.median),
        expected_late=_add_days(as_of, expected.late),
        interval_days=pl.Series(expected.width),
    )


def _to_text_lists(rows: Sequence[Sequence[str]]) -> pl.Series:
    """Build a series of text lists in chunks: Polars takes five kilobytes a row while parsing."""
    starts = range(0, max(len(rows), 1), _CHUNK_ROWS)
    return pl.concat(pl.Series(rows[start : start + _CHUNK_ROWS], dtype=_TEXTS) for start in starts)


def _build_incidence_curve(by_horizon: Mapping[int, Prediction]) -> pl.Series:
    """Build the cumulative incidence with its interval, by number of days."""
    fields = ("probability", "low", "high")
    arrays = {
        name: np.column_stack(
            [getattr(prediction, name) for prediction in by_horizon.values()]
        ).round(4)
        for name in fields
    }
    return pl.select(
        curve=pl.struct(
            pl.lit(list(by_horizon), dtype=pl.List(pl.Int64)).alias("days"),
            *(pl.Series(name, rows).arr.to_list() for name, rows in arrays.items()),
        )
    )["curve"]


def _add_days(as_of: date, days: NDArray[np.float64]) -> pl.Series:
    """Return the day on which each number of days ends."""
    whole_days = pl.lit(pl.Series(np.floor(days))).cast(pl.Int64)
    return pl.select(pl.lit(as_of) + pl.duration(days=whole_days)).to_series()
