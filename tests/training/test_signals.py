"""A score is explained by its exact parts, added by story, in few sentences."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.catalogue import FEATURE_NAMES, FEATURES_BY_NAME, GROUP_BY_SIGNAL, REASON_GROUPS
from training.explain import attributions, templates
from training.model.propensity import Propensity


def test_every_feature_the_model_reads_belongs_to_a_story(fitted: Propensity) -> None:
    assert {FEATURES_BY_NAME[name].signal_group for name in fitted.inputs} <= set(GROUP_BY_SIGNAL)


def test_contributions_of_signals_add_up_to_the_margin(fitted: Propensity, history: Any) -> None:
    found = attributions.explain_predictions(fitted, history.snapshots)

    sums = found.attributions.sum(axis=1) + found.base_value
    margin = fitted.predict(history.snapshots).margin
    np.testing.assert_allclose(sums, margin, rtol=0, atol=1e-9)


def test_contributions_come_largest_first(fitted: Propensity, history: Any) -> None:
    found = attributions.explain_predictions(fitted, history.snapshots)

    for parts, row in zip(found.contributions, found.attributions, strict=True):
        assert list(parts.values()) == sorted(row, reverse=True)
        assert all(row[found.signal_groups.index(name)] == part for name, part in parts.items())


def test_contributions_as_json_are_the_contributions(fitted: Propensity, history: Any) -> None:
    found = attributions.explain_predictions(fitted, history.snapshots.head(50))

    assert [json.loads(text) for text in found.to_json_series()] == found.contributions


def test_sentences_are_those_of_the_slow_way(fitted: Propensity, history: Any) -> None:
    some = history.snapshots.head(200)

    found = attributions.explain_predictions(fitted, some)

    assert found.reasons == _slowly(fitted, some, "raises", 3)
    assert found.counter_reasons == _slowly(fitted, some, "holds", 2)


def _slowly(
    fitted: Propensity, some: pl.DataFrame, way: templates.Direction, most: int
) -> list[list[str]]:
    """Row by row, nothing remembered: stories by what they add, circumstances last."""
    parts, _ = fitted.compute_contributions(some)
    sign, told = (1 if way == "raises" else -1), []
    for row, facts in zip(parts, some.rows(named=True), strict=True):
        added = dict.fromkeys(REASON_GROUPS, 0.0)
        for name, part in zip(fitted.inputs, row, strict=True):
            added[GROUP_BY_SIGNAL[FEATURES_BY_NAME[name].signal_group]] += sign * float(part)
        ranked = sorted(added, key=lambda story: (REASON_GROUPS[story].is_static, -added[story]))
        said = [
            templates.load_default_templates().render(name, facts, way)
            for name in ranked
            if added[name] > 0
        ]
        told.append([text for text in said if text][:most])
    return told


def test_pieces_make_no_difference(
    fitted: Propensity, history: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = attributions.explain_predictions(fitted, history.snapshots)

    monkeypatch.setattr(attributions, "_CHUNK_ROWS", 7)
    found = attributions.explain_predictions(fitted, history.snapshots)

    assert np.array_equal(found.attributions, whole.attributions)
    assert np.array_equal(found.base_value, whole.base_value)
    assert found.reasons == whole.reasons


def test_three_sentences_tell_three_stories(fitted: Propensity, history: Any) -> None:
    found = attributions.explain_predictions(fitted, history.snapshots)

    for sentences, stories in zip(found.reasons, found.reason_groups, strict=True):
        assert len(sentences) == len(stories) == len(set(stories)) <= 3


def test_what_holds_back_is_no_reason(fitted: Propensity, history: Any) -> None:
    found = attributions.explain_predictions(fitted, history.snapshots)

    assert max(map(len, found.counter_reasons)) == 2
    for reasons, back in zip(found.reasons, found.counter_reasons, strict=True):
        assert not set(reasons) & set(back)


def test_a_story_of_which_nothing_is_known_is_not_told(fitted: Propensity, history: Any) -> None:
    nothing = history.snapshots.head(20).with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in FEATURE_NAMES
    )

    found = attributions.explain_predictions(fitted, nothing)

    assert found.reasons == found.counter_reasons == [[]] * 20
    assert all(len(parts) == len(found.signal_groups) for parts in found.contributions)
