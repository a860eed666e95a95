"""List rows of accounts scored by a model: probability, dates, expected revenue, reasons."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from data.config.settings import Settings
from serving.scoring import playbook, readiness_date
from training.evaluation import probability_bands
from training.explain import attributions
from training.explain.templates import ReasonTemplates
from training.model import event_date, expansion_size
from training.model.prediction import Prediction
from training.registry import RegisteredModel

__all__ = ["score_rows"]

_CHUNK_ROWS: Final = 5_000


def score_rows(
    model: RegisteredModel,
    snapshots: pl.DataFrame,
    as_of: datetime,
    settings: Settings,
    templates: ReasonTemplates | None = None,
) -> pl.DataFrame:
    """Score each snapshot with the model.

    Parameters
    ----------
    model : RegisteredModel
        The model used for scoring.
    snapshots : polars.DataFrame
        Rows of a :class:`features.panel.Panel`, of one as-of.
    as_of : datetime.datetime
        00:00 UTC.
    settings : Settings
        Scoring and playbook.
    templates : ReasonTemplates, optional
        The company's own; by default those that come with the program.

    Returns
    -------
    polars.DataFrame
        In the order of the snapshots; ``rank_key`` is the sort key, ``negative_reasons`` the
        reasons that lower the probability, ``curve`` the cumulative incidence by days.
    """
    by_horizon = model.model.predict_all_horizons(snapshots)
    estimate = by_horizon[model.model.horizon_days]
    explanation = attributions.explain_predictions(
        model.model, snapshots, reason_templates=templates
    )
    play = playbook.assign_playbook(snapshots, settings.playbook)
    curve = np.column_stack(
        [horizon_prediction.probability for horizon_prediction in by_horizon.values()]
    )
    expected = event_date.estimate_event_dates(curve, list(by_horizon))
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
        band=probability_bands.assign_band(probability),
        probability_180d=pl.Series(expected.probability_180d),
        churn_probability=_predict_churn(model, snapshots),
        margin=pl.Series(estimate.margin),
        rank_key=pl.Series(estimate.margin),
        base=pl.Series(explanation.base_value),
        signals=_to_text_lists(explanation.reasons),
        negative_reasons=_to_text_lists(explanation.counter_reasons),
        contributions=explanation.to_json_series(),
        curve=_build_incidence_curve(by_horizon),
        model=pl.lit(model.display_name),
        **readiness_date.build_event_date_columns(expected, as_of),
        **{name: play[name] for name in play.columns},
    )
    return frame.with_columns(
        readiness_date=readiness_date.compute_readiness_dates(
            expected, as_of, frame["tier"], settings.scoring
        ),
        expected_arr=compute_expected_arr(frame, snapshots["mrr"], model.card["increase_by_type"]),
    )


def _to_text_lists(rows: Sequence[Sequence[str]]) -> pl.Series:
    """Build a series of text lists in chunks: Polars takes five kilobytes a row while parsing."""
    starts = range(0, max(len(rows), 1), _CHUNK_ROWS)
    return pl.concat(
        pl.Series(rows[start : start + _CHUNK_ROWS], dtype=pl.List(pl.String)) for start in starts
    )


def _build_incidence_curve(by_horizon: Mapping[int, Prediction]) -> pl.Series:
    """Build the cumulative incidence with its interval, by number of days."""
    fields = ("probability", "low", "high")
    arrays = {
        name: np.column_stack(
            [getattr(horizon_prediction, name) for horizon_prediction in by_horizon.values()]
        ).round(4)
        for name in fields
    }
    frame = pl.DataFrame({name: pl.Series(rows) for name, rows in arrays.items()})
    return frame.select(
        curve=pl.struct(
            pl.lit(list(by_horizon), dtype=pl.List(pl.Int64)).alias("days"),
            *(pl.col(name).arr.to_list() for name in fields),
        )
    )["curve"]


def _predict_churn(model: RegisteredModel, snapshots: pl.DataFrame) -> pl.Series:
    """Predict the probability of churn within the horizon; null without a churn model."""
    if model.churn is None:
        return pl.Series([None] * snapshots.height, dtype=pl.Float64)
    return pl.Series(model.churn.predict(snapshots).probability)


def compute_expected_arr(
    frame: pl.DataFrame, mrr: pl.Series, increase_by_limit: Mapping[str, float]
) -> pl.Series:
    """Compute probability × typical increase at the binding limit × yearly revenue.

    Null without revenue. It is the average increase of such accounts, not the effect of outreach.
    """
    if not increase_by_limit:
        return pl.Series([None] * frame.height, dtype=pl.Float64)
    default_increase = increase_by_limit[expansion_size.ANY_TYPE]
    increase = frame["limit"].replace_strict(
        dict(increase_by_limit), default=default_increase, return_dtype=pl.Float64
    )
    return frame["probability"] * increase * 12 * mrr
