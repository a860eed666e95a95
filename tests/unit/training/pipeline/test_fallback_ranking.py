"""A fallback ranking keeps the baseline's order and has calibrated probabilities."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from data.config.settings import Settings
from data.errors import HistoryError
from features.catalogue import FEATURE_NAMES, FEATURES_BY_NAME
from tests.unit.training.conftest import change_section
from training import labels
from training.evaluation import baselines, splits
from training.explain import attributions
from training.model.calibration import Calibration
from training.pipeline import fallback_ranking
from training.pipeline.fallback_ranking import CalibratedRanking

SERVED = [name for name in baselines.BASELINES if name != "random"]


def fit(name: str, training_set: splits.TrainingSet, settings: Settings) -> CalibratedRanking:
    return fallback_ranking.fit_ranking(name, training_set, settings.model, horizon_days=60)


@pytest.fixture(scope="module")
def fitted(history: Any, settings: Settings) -> dict[str, CalibratedRanking]:
    training_set = history.training_set()
    return {name: fit(name, training_set, settings) for name in SERVED}


VALUES = st.one_of(
    st.none(),
    st.integers(0, 500).map(lambda n: n / 100),
    st.integers(0, 100_000).map(float),
    st.sampled_from([0.0, 0.8, 1.0, 9_999.0]),
)


@pytest.mark.parametrize("name", SERVED)
@hypothesis_settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_the_margins_keep_the_baselines_order(
    name: str, fitted: dict[str, CalibratedRanking], history: Any, data: st.DataObject
) -> None:
    rows = history.snapshots.filter(pl.col("as_of") == pl.col("as_of").max()).head(12)
    columns_read = baselines.BASELINES[name].meta.root_names()
    drawn_columns = {
        column: pl.Series(data.draw(st.lists(VALUES, min_size=12, max_size=12)), dtype=pl.Float64)
        for column in columns_read
        if column in FEATURE_NAMES
    }
    rows = rows.with_columns(**drawn_columns)

    margin = fitted[name].predict(rows).margin

    score = baselines.score_baselines(rows)[name].to_numpy()
    above = score[:, None] > score[None, :]
    tied = score[:, None] == score[None, :]
    assert (margin[:, None] > margin[None, :])[above].all()
    assert (margin[:, None] == margin[None, :])[tied].all()


@pytest.mark.parametrize("name", SERVED)
def test_it_has_the_interface_of_a_model(
    name: str, fitted: dict[str, CalibratedRanking], history: Any
) -> None:
    ranking = fitted[name].with_calibration(Calibration(0.8, -0.2))
    rows = history.snapshots.tail(60)

    estimate, curve = ranking.predict(rows), ranking.predict_cumulative_incidence(rows)
    parts, base = ranking.compute_contributions(rows)
    explanation = attributions.explain_predictions(ranking, rows)

    assert (np.diff(curve, axis=1) >= 0).all()
    assert np.array_equal(curve[:, ranking.horizons_days.index(60)], estimate.probability)
    assert (estimate.low <= estimate.probability).all()
    assert (estimate.probability <= estimate.high).all()
    assert base + parts.sum(axis=1) == pytest.approx(estimate.margin)
    assert parts.shape == (60, len(ranking.inputs))
    assert not {FEATURES_BY_NAME[column].family for column in ranking.inputs} & {"controls"}
    assert all(len(sentences) <= 3 for sentences in explanation.reasons)


def test_its_probability_is_calibrated(history: Any, settings: Settings) -> None:
    ranking = fallback_ranking.train_fallback(
        history.snapshots, history.contracts, settings, end=history.end
    )

    training_set = history.training_set()
    probability = ranking.predict(training_set.snapshots).probability
    label = training_set.outcomes.select(y=labels.expansion_label(60))["y"]
    labelled = label.is_not_null().to_numpy()
    observed = label.drop_nulls().to_numpy()
    assert ranking.ranking == "seat utilization"
    assert probability[labelled].mean() == pytest.approx(observed.mean(), rel=0.15)
    top_third = np.argsort(probability[labelled])[-labelled.sum() // 3 :]
    assert probability[labelled][top_third].mean() == pytest.approx(
        observed[top_third].mean(), rel=0.2
    )
    assert sum(band["snapshots"] for band in ranking.bands) > 100


def test_a_binary_rule_predicts_two_rates(history: Any, settings: Settings) -> None:
    training_set = history.training_set()

    rule = fit("rule: utilization at least 80 %", training_set, settings)

    rows = training_set.snapshots.with_columns(
        y=training_set.outcomes.select(y=labels.expansion_label(60))["y"]
    )
    rows = rows.drop_nulls("y").with_columns(p=rule.predict(rows.drop_nulls("y")).probability)
    rates = rows.group_by(pl.col("seat_utilization") >= 0.8).agg(pl.col("p", "y").mean())
    assert rates["p"].to_list() == pytest.approx(rates["y"].to_list(), abs=0.03)


def test_days_to_limit_are_attributed_to_the_nearer_limit(
    fitted: dict[str, CalibratedRanking], history: Any
) -> None:
    rows = history.snapshots.head(3).with_columns(
        seat_days_to_ceiling=pl.Series([10.0, 90.0, None]),
        usage_days_to_limit=pl.Series([50.0, 20.0, 5.0]),
    )
    ranking = fitted["days to limit"]

    parts = ranking.compute_contributions(rows)[0]

    attributed = [{ranking.inputs[index] for index in np.flatnonzero(row)} for row in parts]
    assert attributed == [
        {"seat_days_to_ceiling"},
        {"usage_days_to_limit"},
        {"usage_days_to_limit"},
    ]


def test_pandas_and_polars_give_the_same_margins(
    fitted: dict[str, CalibratedRanking], history: Any
) -> None:
    rows = history.snapshots.head(30)

    margins = [fitted["seat utilization"].predict(each).margin for each in (rows, rows.to_pandas())]

    assert np.array_equal(*margins)


def test_without_walk_forward_predictions_it_is_uncalibrated(
    history: Any, settings: Settings
) -> None:
    rules = change_section(settings, "evaluation", first_as_of=history.end.date())
    snapshots = history.snapshots.filter(pl.col("as_of") < history.end.date())

    result = fallback_ranking.train_fallback(snapshots, history.contracts, rules, end=history.end)

    assert result.calibration == Calibration()
    assert result.bands == ()


def test_without_labels_it_raises_the_error_of_a_model(history: Any, settings: Settings) -> None:
    start = splits.to_utc_midnight(history.snapshots["as_of"].min())

    with pytest.raises(HistoryError, match="no snapshot has a complete window of 60 days"):
        fallback_ranking.train_fallback(history.snapshots, history.contracts, settings, end=start)
