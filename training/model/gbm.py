"""LightGBM boosters on account bootstraps."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from data.config.settings import ModelConfig

__all__ = ["build_parameters", "fit_boosters", "predict_parallel"]

Array = NDArray[np.float64]


def fit_boosters(
    matrix: Array,
    label: Array,
    bootstrap_weights: Sequence[Array],
    *,
    feature_names: Sequence[str],
    settings: ModelConfig,
    constraints: Sequence[int],
) -> tuple[lgb.Booster, ...]:
    """Fit a booster on each bootstrap; the same data, settings and seed give the same bytes.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n, n_columns)
        NaN where missing.
    label : numpy.ndarray, shape (n,)
        1 for positive, 0 for negative, NaN while unknown.
    bootstrap_weights : sequence of numpy.ndarray, shape (n,)
        Weight of each row, one array per member.
    constraints : sequence of int, length n_columns
        Monotone constraint of each column: 1, −1, or 0 for none.
    """
    labelled = np.flatnonzero(~np.isnan(label))
    parameters = build_parameters(settings, constraints)
    full_dataset = lgb.Dataset(
        matrix[labelled], label[labelled], feature_name=list(feature_names), params=parameters
    ).construct()

    def train_member(number: int) -> lgb.Booster:
        weight = bootstrap_weights[number][labelled]
        in_bag = np.flatnonzero(weight)
        subset = full_dataset.subset(in_bag.tolist()).set_weight(weight[in_bag])
        member_parameters = {**parameters, "seed": settings.seed + number}
        return lgb.train(member_parameters, subset, num_boost_round=settings.n_estimators)

    # One thread per booster, so that the result does not depend on the number of cores.
    with ThreadPoolExecutor(cpu_count()) as pool:
        return tuple(pool.map(train_member, range(len(bootstrap_weights))))


def predict_parallel(
    boosters: Sequence[lgb.Booster], matrix: Array, **options: bool
) -> Iterator[Array]:
    """Yield the predictions of every booster in order, computed one thread per booster.

    The options are those of LightGBM's ``predict``: ``raw_score`` or ``pred_contrib``.
    """
    with ThreadPoolExecutor(cpu_count()) as pool:
        yield from pool.map(
            lambda booster: np.asarray(booster.predict(matrix, **options)), boosters
        )


def build_parameters(settings: ModelConfig, constraints: Sequence[int]) -> dict[str, object]:
    """Return LightGBM's parameters; one thread gives the same bytes on every machine."""
    return {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.num_leaves,
        "min_data_in_leaf": settings.min_child_samples,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.reg_lambda,
        "monotone_constraints": list(constraints),
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
