"""The curve rises, keeps what it was given, and finds the shifts by which outcomes were drawn."""

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
PLAIN = HorizonLink(60, {60: (0.0, 1.0)})
CROSSING = HorizonLink(
    60, {14: (-1.0, 1.5), 30: (-0.7, 0.9), 60: (0.0, 1.0), 120: (1.0, 0.7), 180: (1.2, 1.3)}
)
log_odds = st.lists(st.floats(-12, 6), min_size=1, max_size=12)
days = st.sampled_from([14, 30, 60, 90, 120, 180])


@given(log_odds, st.dictionaries(days, st.tuples(st.floats(-4, 4), st.floats(0.1, 3)), min_size=1))
def test_a_curve_never_falls_and_keeps_its_own_horizon(
    margins: list[float], shifts: dict[int, tuple[float, float]]
) -> None:
    found = HorizonLink(60, dict(sorted({**shifts, 60: (0.0, 1.0)}.items())))

    curve = found.predict_logits(np.array(margins))

    assert (np.diff(curve, axis=0) >= 0).all()
    assert curve[found.days.index(60)].tolist() == margins


@given(log_odds)
def test_a_higher_margin_is_higher_at_every_horizon(margins: list[float]) -> None:
    curve = CROSSING.predict_logits(np.sort(margins))

    assert (np.diff(curve, axis=1) >= 0).all()


@given(st.lists(st.floats(-12, 20), min_size=1, max_size=12), st.integers(1, 180))
def test_between_horizons_the_cumulative_hazard_is_linear_from_0(
    margins: list[float], asked: int
) -> None:
    curve = CROSSING.predict_logits(np.array(margins))
    hazard = np.vstack([np.zeros(len(margins)), -np.log(expit(-curve))])

    at = CROSSING.predict_logit(np.array(margins), asked)

    for found, known in zip(at, hazard.T, strict=True):
        expected = np.interp(asked, (0, *CROSSING.days), known)
        assert -np.log(expit(-found)) == pytest.approx(expected, rel=1e-6, abs=1e-12)
    if asked in CROSSING.days:
        assert (at == curve[CROSSING.days.index(asked)]).all()


def test_the_chance_within_the_expected_days_is_half_of_that_within_all() -> None:
    margins = np.array([-4.0, -1.0, 0.5])
    found = event_date.estimate_event_dates(
        expit(CROSSING.predict_logits(margins)).T, CROSSING.days
    )

    for row, median in enumerate(found.median):
        low, high = (
            expit(CROSSING.predict_logit(margins, int(median) + more)[row]) for more in (0, 1)
        )
        assert low <= found.probability_180d[row] / 2 <= high


@pytest.mark.parametrize("days", [0, -1, 181, 365])
def test_a_horizon_that_the_curve_does_not_reach_is_refused(days: int) -> None:
    with pytest.raises(ValueError, match=f"expected a horizon of 1 to 180 days, found {days}"):
        CROSSING.predict_logit(np.array([-2.0]), days)
    with pytest.raises(ValueError, match=f"a plain model knows 60 days only, not {days}"):
        PLAIN.predict_logit(np.array([-2.0]), days)


def test_where_two_lines_cross_the_nearer_one_holds_on() -> None:
    # 30 days: −.7 + .9 m; 14 days: −1 + 1.5 m. They cross at m = .5.
    assert CROSSING.predict_logits(np.array([2.0]))[:, 0] == pytest.approx(
        [1.1, 1.1, 2.0, 2.4, 3.8]
    )
    assert CROSSING.predict_logits(np.array([-1.0]))[:, 0] == pytest.approx(
        [-2.5, -1.6, -1.0, 0.3, 0.3]
    )


def test_a_plain_classifier_is_a_curve_of_one_horizon() -> None:
    margins = np.array([[-2.0, 0.5]])

    assert PLAIN.predict_logits(margins).tolist() == [margins.tolist()]
    assert PLAIN.predict_logit(margins, 60) is margins


def drawn(seed: int = 3) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Margins, and outcomes at each horizon with the shifts below."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(-2, 1.2, size=ROWS)
    draw = logit(rng.uniform(size=ROWS))
    labels = {
        30: draw < -0.8 + 1.2 * margin,
        60: draw < margin,
        180: draw < 1.3 + 0.8 * margin,
    }
    return margin, {horizon: told.astype(np.float64) for horizon, told in labels.items()}


def test_the_shifts_are_found_by_which_the_outcomes_were_drawn() -> None:
    margin, labels = drawn()

    found = horizons.fit_horizon_link(margin, labels, 60)

    assert found.coefficients[30] == pytest.approx((-0.8, 1.2), abs=0.08)
    assert found.coefficients[60] == (0, 1)
    assert found.coefficients[180] == pytest.approx((1.3, 0.8), abs=0.08)


def test_what_is_wrong_with_the_margins_at_their_own_horizon_moves_no_other() -> None:
    margin, labels = drawn()

    right = horizons.fit_horizon_link(margin, labels, 60)
    wrong = horizons.fit_horizon_link(0.6 * margin + 0.5, labels, 60)

    # Both scales of log-odds, put right again by the line back, tell the same chances.
    told = right.predict_logit(margin, 180)
    again = wrong.predict_logit(0.6 * margin + 0.5, 180)
    back = LogisticRegression(C=np.inf).fit(again[:, None], labels[180])
    assert back.decision_function(again[:, None]) == pytest.approx(told, abs=0.1)
    assert wrong.coefficients[180][1] == pytest.approx(right.coefficients[180][1], abs=0.02)


def test_a_line_is_scikit_learns_but_for_the_prior() -> None:
    margin, labels = drawn()
    theirs = LogisticRegression(C=np.inf).fit(margin[:, None], labels[180])

    level, slope = horizons._fit_line(margin, labels[180], (log(3), 1.0))

    assert level == pytest.approx(theirs.intercept_[0], abs=0.01)
    assert slope == pytest.approx(theirs.coef_[0, 0], abs=0.01)


@pytest.mark.parametrize("told", [np.nan, 0.0, 1.0])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.6, 0.5), (1.5, -1.0)])
def test_little_evidence_leaves_a_constant_hazard(told: float, scale: float, shift: float) -> None:
    margin, labels = drawn()
    few = np.full(ROWS, np.nan)
    few[np.argsort(np.abs(margin - margin.mean()))[:1]] = told
    # Whatever is wrong with the margins at their own horizon, which is not asked here.
    margin = scale * margin + shift

    found = horizons.fit_horizon_link(margin, {**labels, 120: few}, 60)

    moved = found.coefficients[120][0] + (found.coefficients[120][1] - 1) * margin.mean() - log(2)
    assert found.coefficients[120][1] == pytest.approx(1, abs=0.05)
    assert abs(moved) < (0.05 if np.isnan(told) else log(2))
    assert np.isnan(told) or np.sign(moved) == (1 if told else -1)


def test_nothing_within_a_horizon_is_said_to_be_unlikely_and_not_impossible() -> None:
    margin, labels = drawn()

    found = horizons.fit_horizon_link(margin, {**labels, 14: np.zeros(ROWS)}, 60)

    chance = expit(found.predict_logit(margin, 14))
    assert 0 < chance.mean() < 1e-3
    assert chance.max() < 0.05


def test_a_row_is_told_by_the_members_that_were_not_shown_it() -> None:
    margins = np.array([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
    draws = [np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0])]

    # The first row by both, the second by the other member, the third by all: none was spared it.
    assert training_set.compute_out_of_bag_mean(margins, draws).tolist() == [3.0, 6.0, 5.0]


def test_of_many_rows_some_are_asked_evenly() -> None:
    assert training_set.sample_evenly_spaced_rows(5).tolist() == [0, 1, 2, 3, 4]
    assert training_set.sample_evenly_spaced_rows(0).tolist() == []
    many = training_set.sample_evenly_spaced_rows(1_000_000)
    assert len(many) == 50_000
    assert set(np.diff(many)) <= {19, 20, 21}
