"""Predictions of a registered model: one table, each column equal to the part it comes from."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from training import predict
from training.explain import attributions
from training.explain.templates import load_default_templates
from training.model import event_date
from training.model.propensity import Propensity
from training.registry import RegisteredModel

AS_OF = date(2026, 11, 20)


@pytest.mark.parametrize("has_churn_model", [True, False])
def test_predictions_are_the_models_with_dates_counted_from_the_as_of(
    fitted: Propensity, history: Any, has_churn_model: bool
) -> None:
    snapshots = history.snapshots.head(200)
    churn = replace(fitted, correction=fitted.correction + 1) if has_churn_model else None
    model = RegisteredModel(fitted, "7", {}, churn)
    templates = load_default_templates()

    rows = predict.predict_accounts(model, snapshots, AS_OF, templates)

    prediction = fitted.predict(snapshots)
    for name in ("probability", "low", "high", "margin"):
        assert rows[name].to_list() == getattr(prediction, name).tolist()
    assert rows["churn_probability"].to_list() == (
        churn.predict(snapshots).probability.tolist() if churn else [None] * 200
    )
    explanation = attributions.explain_predictions(fitted, snapshots, reason_templates=templates)
    assert rows["signals"].to_list() == [list(reasons) for reasons in explanation.reasons]
    assert rows["negative_reasons"].to_list() == [
        list(reasons) for reasons in explanation.counter_reasons
    ]
    assert set(rows["model"]) == {"7"}
    assert dict(rows.schema) == dict(predict.PREDICTION_SCHEMA)
    estimate = event_date.estimate_event_dates(
        fitted.predict_cumulative_incidence(snapshots), fitted.horizons_days
    )
    days = {
        "expected_early": estimate.early,
        "expected_date": estimate.median,
        "expected_late": estimate.late,
    }
    for name, quantile in days.items():
        expected = [AS_OF + timedelta(days=int(day)) for day in np.floor(quantile)]
        assert rows[name].to_list() == expected
    assert rows.filter(
        (pl.lit(AS_OF) > pl.col("expected_early"))
        | (pl.col("expected_early") > pl.col("expected_date"))
        | (pl.col("expected_date") > pl.col("expected_late"))
    ).is_empty()
    assert rows["interval_days"].to_list() == estimate.width.tolist()
