"""Bootstrap weights depend only on the account's id and the seed."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from data.config.settings import ModelConfig
from training.dataset import training_set

NAMES = [f"acc_{number:05}" for number in range(4_000)]


def bootstrap_counts(names: list[str], **settings: Any) -> np.ndarray:
    """Return each account's bootstrap counts; all labels are positive."""
    rows = pl.DataFrame({"account_id": names})
    weights = training_set.draw_bootstrap_weights(
        rows, np.ones(len(names)), ModelConfig(**settings)
    )
    return np.stack(weights)


@given(st.sets(st.sampled_from(NAMES), min_size=30, max_size=60), st.randoms(use_true_random=False))
def test_other_accounts_and_their_order_change_no_bootstrap_weight(
    some: set[str], shuffle: Any
) -> None:
    names = sorted(some)
    shuffled = names[:20]
    shuffle.shuffle(shuffled)

    together = bootstrap_counts(names, ensemble_size=3)[:, :20]
    alone = bootstrap_counts(shuffled, ensemble_size=3)

    assert (alone == together[:, [names.index(name) for name in shuffled]]).all()


def test_bootstrap_weights_are_poisson_and_differ_between_members() -> None:
    counts = bootstrap_counts(NAMES, ensemble_size=10)

    for count in range(5):
        share = poisson.pmf(count, 1)
        assert (counts == count).mean() == pytest.approx(share, abs=0.01)
    correlation = np.corrcoef(counts) - np.eye(10)
    assert np.abs(correlation).max() < 0.06


def test_another_seed_changes_the_weights_and_more_members_keep_the_first_ones() -> None:
    assert (bootstrap_counts(NAMES, seed=7) != bootstrap_counts(NAMES, seed=8)).any(axis=1).all()
    assert (
        bootstrap_counts(NAMES, ensemble_size=10)[:4] == bootstrap_counts(NAMES, ensemble_size=4)
    ).all()


def test_all_rows_of_an_account_have_the_same_weight() -> None:
    counts = bootstrap_counts(["one", "two", "one", "two", "one"], ensemble_size=50)

    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, 1] == counts[:, 3]).all()
    assert (counts[:, 0] != counts[:, 1]).any()


@pytest.mark.parametrize("rare", [0.0, 1.0])
def test_resamples_with_a_single_class_are_redrawn(rare: float) -> None:
    rows = pl.DataFrame({"account_id": NAMES[:30]})
    label = np.array([rare] + [1 - rare] * 29)

    counts = training_set.draw_bootstrap_weights(rows, label, ModelConfig(ensemble_size=40))

    assert min(draw[0] for draw in counts) > 0
    without_redraw = bootstrap_counts(NAMES[:30], ensemble_size=40)
    unchanged = without_redraw[:, 0] > 0
    assert 10 < unchanged.sum() < 40
    assert (np.stack(counts)[unchanged] == without_redraw[unchanged]).all()
