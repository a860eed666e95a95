"""A draw follows from the account's name and the seed, and from nothing else."""

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


def drawn(names: list[str], **settings: Any) -> np.ndarray:
    """How often each account is in each draw; it happened to all of them."""
    rows = pl.DataFrame({"account_id": names})
    told = training_set.draw_bootstrap_weights(rows, np.ones(len(names)), ModelConfig(**settings))
    return np.stack(told)


@given(st.sets(st.sampled_from(NAMES), min_size=30, max_size=60), st.randoms(use_true_random=False))
def test_other_accounts_and_their_order_change_no_draw(some: set[str], shuffle: Any) -> None:
    names = sorted(some)
    shuffled = names[:20]
    shuffle.shuffle(shuffled)

    among = drawn(names, members=3)[:, :20]
    alone = drawn(shuffled, members=3)

    assert (alone == among[:, [names.index(name) for name in shuffled]]).all()


def test_a_draw_is_poisson_with_mean_one_and_members_differ() -> None:
    counts = drawn(NAMES, members=10)

    for count in range(5):
        share = poisson.pmf(count, 1)
        assert (counts == count).mean() == pytest.approx(share, abs=0.01)
    apart = np.corrcoef(counts) - np.eye(10)
    assert np.abs(apart).max() < 0.06


def test_another_seed_draws_otherwise_and_more_members_leave_the_first_as_they_were() -> None:
    assert (drawn(NAMES, seed=7) != drawn(NAMES, seed=8)).any(axis=1).all()
    assert (drawn(NAMES, members=10)[:4] == drawn(NAMES, members=4)).all()


def test_all_rows_of_an_account_are_drawn_alike() -> None:
    counts = drawn(["one", "two", "one", "two", "one"], members=50)

    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, 1] == counts[:, 3]).all()
    assert (counts[:, 0] != counts[:, 1]).any()


@pytest.mark.parametrize("rare", [0.0, 1.0])
def test_a_draw_that_lacks_either_outcome_is_drawn_again(rare: float) -> None:
    rows = pl.DataFrame({"account_id": NAMES[:30]})
    happened = np.array([rare] + [1 - rare] * 29)

    counts = training_set.draw_bootstrap_weights(rows, happened, ModelConfig(ensemble_size=40))

    assert min(draw[0] for draw in counts) > 0
    usual = drawn(NAMES[:30], members=40)
    kept = usual[:, 0] > 0
    assert 10 < kept.sum() < 40
    assert (np.stack(counts)[kept] == usual[kept]).all()
