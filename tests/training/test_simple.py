"""A simple ranking that states probabilities: its order is its own, its numbers are true."""

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
from training import labels
from training.evaluation import baselines, splits
from training.explain import attributions
from training.model.calibration import Calibration
from training.pipeline import fallback_ranking
from training.pipeline.fallback_ranking import CalibratedRanking

SERVED = [name for name in baselines.BASELINES if name != "random"]


@pytest.fixture(scope="module")
def fitted(history: Any, settings: Settings) -> dict[str, CalibratedRanking]:
    known = history.known()
    return {name: fallback_ranking.fit_ranking(name, known, settings) for name in SERVED}


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
def test_the_list_is_in_the_rankings_own_order(
    name: str, fitted: dict[str, CalibratedRanking], history: Any, data: st.DataObject
) -> None:
    rows = history.snapshots.filter(pl.col("as_of") == pl.col("as_of").max()).head(12)
    read = baselines.BASELINES[name].meta.root_names()
    drawn = {
        column: pl.Series(data.draw(st.lists(VALUES, min_size=12, max_size=12)), dtype=pl.Float64)
        for column in read
        if column in FEATURE_NAMES
    }
    rows = rows.with_columns(**drawn)

    margin = fitted[name].predict(rows).margin

    score = baselines.score_baselines(rows)[name].to_numpy()
    above = score[:, None] > score[None, :]
    level = score[:, None] == score[None, :]
    assert (margin[:, None] > margin[None, :])[above].all()
    assert (margin[:, None] == margin[None, :])[level].all()


@pytest.mark.parametrize("name", SERVED)
def test_it_is_read_as_a_model_is(
    name: str, fitted: dict[str, CalibratedRanking], history: Any
) -> None:
    ranking = fitted[name].with_calibration(Calibration(0.8, -0.2))
    rows = history.snapshots.tail(60)

    estimate, curve = ranking.predict(rows), ranking.predict_cumulative_incidence(rows)
    parts, base = ranking.compute_contributions(rows)
    why = attributions.explain_predictions(ranking, rows)

    assert (np.diff(curve, axis=1) >= 0).all()
    assert np.array_equal(curve[:, ranking.horizons_days.index(60)], estimate.probability)
    assert (estimate.low <= estimate.probability).all()
    assert (estimate.probability <= estimate.high).all()
    assert base + parts.sum(axis=1) == pytest.approx(estimate.margin)
    assert parts.shape == (60, len(ranking.inputs))
    assert not {FEATURES_BY_NAME[column].family for column in ranking.inputs} & {"controls"}
    assert all(len(sentences) <= 3 for sentences in why.reasons)


def test_its_probability_is_what_happens(history: Any, settings: Settings) -> None:
    ranking = fallback_ranking.train_fallback(
        history.snapshots, history.contracts, settings, end=history.end
    )

    known = history.known()
    stated = ranking.predict(known.snapshots).probability
    label = known.outcomes.select(y=labels.expanded_within(60))["y"]
    there = label.is_not_null().to_numpy()
    happened = label.drop_nulls().to_numpy()
    assert ranking.ranking == "seat utilisation"
    assert stated[there].mean() == pytest.approx(happened.mean(), rel=0.15)
    third = np.argsort(stated[there])[-there.sum() // 3 :]
    assert stated[there][third].mean() == pytest.approx(happened[third].mean(), rel=0.2)
    assert sum(band["snapshots"] for band in ranking.bands) > 100


def test_a_rule_of_two_values_states_two_rates(history: Any, settings: Settings) -> None:
    known = history.known()

    rule = fallback_ranking.fit_ranking("rule: utilisation at least 80 %", known, settings)

    rows = known.snapshots.with_columns(y=known.outcomes.select(y=labels.expanded_within(60))["y"])
    rows = rows.drop_nulls("y").with_columns(p=rule.predict(rows.drop_nulls("y")).probability)
    rates = rows.group_by(pl.col("seat_utilization") >= 0.8).agg(pl.col("p", "y").mean())
    assert rates["p"].to_list() == pytest.approx(rates["y"].to_list(), abs=0.03)


def test_days_to_limit_are_told_of_the_limit_that_is_nearer(
    fitted: dict[str, CalibratedRanking], history: Any
) -> None:
    rows = history.snapshots.head(3).with_columns(
        seat_days_to_ceiling=pl.Series([10.0, 90.0, None]),
        usage_days_to_limit=pl.Series([50.0, 20.0, 5.0]),
    )
    ranking = fitted["days to limit"]

    parts = ranking.compute_contributions(rows)[0]

    told = [{ranking.inputs[place] for place in np.flatnonzero(row)} for row in parts]
    assert told == [{"seat_days_to_ceiling"}, {"usage_days_to_limit"}, {"usage_days_to_limit"}]


def test_pandas_is_read_as_polars(fitted: dict[str, CalibratedRanking], history: Any) -> None:
    rows = history.snapshots.head(30)

    both = [fitted["seat utilisation"].predict(each).margin for each in (rows, rows.to_pandas())]

    assert np.array_equal(*both)


def test_without_a_walk_it_is_fitted_on_what_is_known_and_uncalibrated(
    history: Any, settings: Settings
) -> None:
    later = settings.evaluation.model_copy(update={"first_as_of": history.end.date()})
    rules = settings.model_copy(update={"evaluation": later})
    short = history.snapshots.filter(pl.col("as_of") < history.end.date())

    found = fallback_ranking.train_fallback(short, history.contracts, rules, end=history.end)

    assert found.calibration == Calibration()
    assert found.bands == ()


def test_where_nothing_is_known_it_is_refused_like_a_model(
    history: Any, settings: Settings
) -> None:
    start = splits.utc_midnight(history.snapshots["as_of"].min())

    with pytest.raises(HistoryError, match="no snapshot has a complete window of 60 days"):
        fallback_ranking.train_fallback(history.snapshots, history.contracts, settings, end=start)
