"""Scores are explained by exact attributions, summed by reason group, in a few texts."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.catalogue import FEATURE_NAMES, FEATURES_BY_NAME, GROUP_BY_SIGNAL, REASON_GROUPS
from training.explain import attributions, templates
from training.model.propensity import Propensity


def test_every_model_feature_has_a_reason_group(fitted: Propensity) -> None:
    assert {FEATURES_BY_NAME[name].signal_group for name in fitted.inputs} <= set(GROUP_BY_SIGNAL)


def test_attributions_add_up_to_the_margin(fitted: Propensity, history: Any) -> None:
    explanation = attributions.explain_predictions(fitted, history.snapshots)

    sums = explanation.attributions.sum(axis=1) + explanation.base_value
    margin = fitted.predict(history.snapshots).margin
    np.testing.assert_allclose(sums, margin, rtol=0, atol=1e-9)


def test_contributions_are_sorted_in_descending_order(fitted: Propensity, history: Any) -> None:
    explanation = attributions.explain_predictions(fitted, history.snapshots)

    for contributions, row in zip(explanation.contributions, explanation.attributions, strict=True):
        assert list(contributions.values()) == sorted(row, reverse=True)
        assert all(
            row[explanation.signal_groups.index(name)] == contribution
            for name, contribution in contributions.items()
        )


def test_json_contributions_equal_the_contributions(fitted: Propensity, history: Any) -> None:
    explanation = attributions.explain_predictions(fitted, history.snapshots.head(50))

    assert [json.loads(text) for text in explanation.to_json_series()] == explanation.contributions


def test_reasons_match_a_plain_python_selection(fitted: Propensity, history: Any) -> None:
    snapshots = history.snapshots.head(200)

    explanation = attributions.explain_predictions(fitted, snapshots)

    expected = explain_slowly(fitted, snapshots, "increases", 3)
    assert explanation.reasons == [list(reasons.values()) for reasons in expected]
    assert explanation.reason_groups == [list(reasons) for reasons in expected]
    expected = explain_slowly(fitted, snapshots, "decreases", 2)
    assert explanation.counter_reasons == [list(reasons.values()) for reasons in expected]


def explain_slowly(
    fitted: Propensity, snapshots: pl.DataFrame, direction: templates.Direction, max_reasons: int
) -> list[dict[str, str]]:
    """Select reason group → text row by row: by contribution, static groups last."""
    contributions, _ = fitted.compute_contributions(snapshots)
    sign, texts_by_row = (1 if direction == "increases" else -1), []
    for row, features in zip(contributions, snapshots.rows(named=True), strict=True):
        group_contributions = dict.fromkeys(REASON_GROUPS, 0.0)
        for name, contribution in zip(fitted.inputs, row, strict=True):
            group_contributions[GROUP_BY_SIGNAL[FEATURES_BY_NAME[name].signal_group]] += (
                sign * float(contribution)
            )
        ranked_groups = sorted(
            group_contributions,
            key=lambda group: (REASON_GROUPS[group].is_static, -group_contributions[group]),
        )
        texts = {
            name: templates.load_default_templates().render(name, features, direction)
            for name in ranked_groups
            if group_contributions[name] > 0
        }
        shown = [(name, text) for name, text in texts.items() if text]
        texts_by_row.append(dict(shown[:max_reasons]))
    return texts_by_row


def test_the_chunk_size_does_not_change_the_result(
    fitted: Propensity, history: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = attributions.explain_predictions(fitted, history.snapshots)

    monkeypatch.setattr(attributions, "CHUNK_ROWS", 7)
    explanation = attributions.explain_predictions(fitted, history.snapshots)

    assert np.array_equal(explanation.attributions, expected.attributions)
    assert np.array_equal(explanation.base_value, expected.base_value)
    assert explanation.reasons == expected.reasons


def test_groups_without_known_features_have_no_reason(fitted: Propensity, history: Any) -> None:
    unknown = history.snapshots.head(20).with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in FEATURE_NAMES
    )

    explanation = attributions.explain_predictions(fitted, unknown)

    assert explanation.reasons == explanation.counter_reasons == [[]] * 20
    assert all(
        len(contributions) == len(explanation.signal_groups)
        for contributions in explanation.contributions
    )
