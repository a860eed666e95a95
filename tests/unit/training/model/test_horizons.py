"""The horizon link is monotone, keeps the primary horizon, and recovers simulated coefficients."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from training.dataset import training_set
from training.model import event_date, horizons
from training.model.horizons import HorizonLink

ROWS = 40_000
SINGLE_HORIZON = HorizonLink(60, {60: (0.0, 1.0)})
CROSSING = HorizonLink(
    60, {14: (-1.0, 1.5), 30: (-0.7, 0.9), 60: (0.0, 1.0), 120: (1.0, 0.7), 180: (1.2, 1.3)}
)
log_odds = st.lists(st.floats(-12, 6), min_size=1, max_size=12)
days = st.sampled_from([14, 30, 60, 90, 120, 180])


@given(log_odds, st.dictionaries(days, st.tuples(st.floats(-4, 4), st.floats(0.1, 3)), min_size=1))
def test_logits_are_monotone_and_unchanged_at_the_primary_horizon(
    margins: list[float], coefficients: dict[int, tuple[float, float]]
) -> None:
    link = HorizonLink(60, dict(sorted({**coefficients, 60: (0.0, 1.0)}.items())))

    curve = link.predict_logits(np.array(margins))

    assert (np.diff(curve, axis=0) >= 0).all()
    assert curve[link.days.index(60)].tolist() == margins


@given(log_odds)
def test_a_higher_margin_is_higher_at_every_horizon(margins: list[float]) -> None:
    curve = CROSSING.predict_logits(np.sort(margins))

    assert (np.diff(curve, axis=1) >= 0).all()


@given(st.lists(st.floats(-12, 20), min_size=1, max_size=12), st.integers(1, 180))
def test_between_horizons_the_cumulative_hazard_is_linear_from_0(
    margins: list[float], horizon: int
) -> None:
    curve = CROSSING.predict_logits(np.array(margins))
    hazard = np.vstack([np.zeros(len(margins)), -np.log(expit(-curve))])

    logits = CROSSING.predict_logit(np.array(margins), horizon)

    for link, row_hazard in zip(logits, hazard.T, strict=True):
        expected = np.interp(horizon, (0, *CROSSING.days), row_hazard)
        assert -np.log(expit(-link)) == pytest.approx(expected, rel=1e-6, abs=1e-12)
    if horizon in CROSSING.days:
        assert (logits == curve[CROSSING.days.index(horizon)]).all()


def test_the_median_day_has_half_of_the_total_probability() -> None:
    margins = np.array([-4.0, -1.0, 0.5])
    link = event_date.estimate_event_dates(expit(CROSSING.predict_logits(margins)).T, CROSSING.days)

    for row, median in enumerate(link.median):
        low, high = (
            expit(CROSSING.predict_logit(margins, int(median) + extra_days)[row])
            for extra_days in (0, 1)
        )
        assert low <= link.probability_180d[row] / 2 <= high


@pytest.mark.parametrize("days", [0, -1, 181, 365])
def test_a_horizon_out_of_range_is_rejected(days: int) -> None:
    with pytest.raises(ValueError, match=f"expected a horizon of 1 to 180 days, found {days}"):
        CROSSING.predict_logit(np.array([-2.0]), days)
    with pytest.raises(ValueError, match=f"single horizon of 60 days, not {days}"):
        SINGLE_HORIZON.predict_logit(np.array([-2.0]), days)


def test_where_two_lines_cross_the_nearer_horizon_is_kept() -> None:
    # 30 days: −.7 + .9 m; 14 days: −1 + 1.5 m. They cross at m = .5.
    assert CROSSING.predict_logits(np.array([2.0]))[:, 0] == pytest.approx(
        [1.1, 1.1, 2.0, 2.4, 3.8]
    )
    assert CROSSING.predict_logits(np.array([-1.0]))[:, 0] == pytest.approx(
        [-2.5, -1.6, -1.0, 0.3, 0.3]
    )


def test_a_single_horizon_link_is_the_identity() -> None:
    margins = np.array([[-2.0, 0.5]])

    assert SINGLE_HORIZON.predict_logits(margins).tolist() == [margins.tolist()]
    assert SINGLE_HORIZON.predict_logit(margins, 60) is margins


def simulate(seed: int = 3) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Simulate margins, and outcomes at each horizon with the coefficients below."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(-2, 1.2, size=ROWS)
    uniform_logit = logit(rng.uniform(size=ROWS))
    labels = {
        30: uniform_logit < -0.8 + 1.2 * margin,
        60: uniform_logit < margin,
        180: uniform_logit < 1.3 + 0.8 * margin,
    }
    return margin, {horizon: event.astype(np.float64) for horizon, event in labels.items()}


def test_the_simulated_coefficients_are_recovered() -> None:
    margin, labels = simulate()

    link = horizons.fit_horizon_link(margin, labels, 60)

    assert link.coefficients[30] == pytest.approx((-0.8, 1.2), abs=0.08)
    assert link.coefficients[60] == (0, 1)
    assert link.coefficients[180] == pytest.approx((1.3, 0.8), abs=0.08)


def test_a_bias_at_the_primary_horizon_shifts_no_other_horizon() -> None:
    margin, labels = simulate()

    reference_link = horizons.fit_horizon_link(margin, labels, 60)
    biased_link = horizons.fit_horizon_link(0.6 * margin + 0.5, labels, 60)

    # Both scales of log-odds give the same probabilities after recalibration.
    event = reference_link.predict_logit(margin, 180)
    biased_logits = biased_link.predict_logit(0.6 * margin + 0.5, 180)
    recalibration = LogisticRegression(C=np.inf).fit(biased_logits[:, None], labels[180])
    assert recalibration.decision_function(biased_logits[:, None]) == pytest.approx(event, abs=0.1)
    assert biased_link.coefficients[180][1] == pytest.approx(
        reference_link.coefficients[180][1], abs=0.02
    )


def test_a_line_agrees_with_scikit_learn_up_to_the_prior() -> None:
    margin, labels = simulate()
    expected = LogisticRegression(C=np.inf).fit(margin[:, None], labels[180])

    intercept, slope = horizons.fit_line(margin, labels[180], (log(3), 1.0))

    assert intercept == pytest.approx(expected.intercept_[0], abs=0.01)
    assert slope == pytest.approx(expected.coef_[0, 0], abs=0.01)


@pytest.mark.parametrize("event", [np.nan, 0.0, 1.0])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.6, 0.5), (1.5, -1.0)])
def test_little_evidence_leaves_a_constant_hazard(event: float, scale: float, shift: float) -> None:
    margin, labels = simulate()
    single_label = np.full(ROWS, np.nan)
    single_label[np.argsort(np.abs(margin - margin.mean()))[:1]] = event
    # A bias of the margins at the primary horizon, which has no effect here.
    margin = scale * margin + shift

    link = horizons.fit_horizon_link(margin, {**labels, 120: single_label}, 60)

    shift_of_mean = (
        link.coefficients[120][0] + (link.coefficients[120][1] - 1) * margin.mean() - log(2)
    )
    assert link.coefficients[120][1] == pytest.approx(1, abs=0.05)
    assert abs(shift_of_mean) < (0.05 if np.isnan(event) else log(2))
    assert np.isnan(event) or np.sign(shift_of_mean) == (1 if event else -1)


def test_a_horizon_without_events_has_a_small_positive_probability() -> None:
    margin, labels = simulate()

    link = horizons.fit_horizon_link(margin, {**labels, 14: np.zeros(ROWS)}, 60)

    probability = expit(link.predict_logit(margin, 14))
    assert 0 < probability.mean() < 1e-3
    assert probability.max() < 0.05


def test_out_of_bag_means_use_members_not_trained_on_the_row() -> None:
    margins = np.array([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
    bootstrap_weights = [np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0])]

    # First row: both members; second: the other one; third: all, since it is in every bag.
    assert training_set.compute_out_of_bag_mean(margins, bootstrap_weights).tolist() == [
        3.0,
        6.0,
        5.0,
    ]


def test_large_data_is_sampled_evenly() -> None:
    assert training_set.sample_evenly_spaced_rows(5).tolist() == [0, 1, 2, 3, 4]
    assert training_set.sample_evenly_spaced_rows(0).tolist() == []
    many = training_set.sample_evenly_spaced_rows(1_000_000)
    assert len(many) == 50_000
    assert set(np.diff(many)) <= {19, 20, 21}
