"""The ranking in use, and how it is reported: champion, baseline or tier rules."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.config import settings
from features.activity import load
from features.panel import builder
from serving.scoring.playbook import LIMITS, MOTIONS
from training.evaluation import baselines

# MLflow uses a deprecated SQLAlchemy API.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NULL = ("probability", "low", "high", "band", "margin", "base", "expected_arr", "expected_date")


@pytest.fixture(scope="module")
def untrained(trained_company: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The simulated company before any training, without a list."""
    folder = tmp_path_factory.mktemp("untrained") / "company"
    return trained_company.copy(folder, "ml*", "*.db", "*.lock")


@pytest.fixture(scope="module")
def rejected_model(untrained: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same with a model that the gate rejects, since no as-of is evaluated."""
    folder = tmp_path_factory.mktemp("rejected") / "company"
    company = untrained.copy(folder, "*.db", "*.lock")
    text = company.config.read_text().replace("2000-01-01", "2100-01-01")
    company.config.write_text(text)
    company.results["train"] = company.run("train")
    company.results["score"] = company.run("score", "--out", folder / "list.parquet")
    return company


def snapshots(company: Any, as_of: str) -> pl.DataFrame:
    config = settings.load_settings(company.config)
    tables, log = load.load_data(config, now=datetime.now(UTC))
    moment = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
    return builder.build_panel(log, tables, [moment], config).snapshots


def test_without_a_model_the_tier_rules_rank_without_a_probability(untrained: Any) -> None:
    record = untrained.run_json("score")

    rows = untrained.active_list()["accounts"]
    tiers = [row["tier"] or 3 for row in rows]
    assert record["model"] == "tier rules"
    assert record["basis"] == "by the tier rules and utilization, without a probability"
    assert record["verdict"].startswith("No model has been trained yet")
    assert {row["model"] for row in rows} == {"tier rules"}
    assert all(row[name] is None for row in rows for name in NULL)
    assert tiers == sorted(tiers)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["limit"] in LIMITS and row["motion"] in MOTIONS for row in rows)
    assert all((row["readiness_date"] is None) == (row["tier"] != 1) for row in rows)


def test_a_list_without_probabilities_is_printed(untrained: Any) -> None:
    printed = untrained.run("score", "--top", 3).stdout
    first = untrained.active_list()["accounts"][0]
    shown = untrained.run("show").stdout
    one = untrained.run("show", first["account_id"]).stdout

    for text in (printed, shown):
        assert "Accounts to contact first, as of" in text
        assert "Ranked by the tier rules and utilization, without a probability." in text
        assert "nan" not in text.lower()
        assert "None" not in text
    assert "No model has been trained yet" in printed
    assert "by tier rules" in one
    assert "unknown" in one
    assert "Contributions" not in one


def test_a_rejected_model_is_reported_and_the_baseline_ranks(rejected_model: Any) -> None:
    trained, scored = (rejected_model.results[name] for name in ("train", "score"))
    rows = rejected_model.active_list()["accounts"]

    assert trained.exit_code == scored.exit_code == 0, (trained.output, scored.output)
    text = " ".join(trained.stdout.split())
    assert "Not promoted: the history is too short for walk-forward validation" in text
    assert "Version 1 is the challenger, and there is no champion: the best baseline ranks" in text
    (name,) = {row["model"] for row in rows}
    assert name.endswith(" (no model passed)")
    ranking = name.removesuffix(" (no model passed)")
    text = " ".join(scored.stdout.split())
    assert f"Ranked by {ranking}, the best baseline in validation" in text
    assert "No model has been promoted. Version 1: Not promoted:" in text
    assert f"Ranked by {ranking}" in " ".join(rejected_model.run("show").stdout.split())


def test_the_list_is_in_the_order_of_the_baseline(rejected_model: Any) -> None:
    file = pl.read_parquet(rejected_model.folder / "list.parquet")
    ranking = file["model"][0].removesuffix(" (no model passed)")

    rows = snapshots(rejected_model, str(file["as_of"][0]))

    score = rows.select("account_id").with_columns(
        baselines.score_baselines(rows)[ranking].alias("score")
    )
    expected = score.sort("score", "account_id", descending=[True, False])
    assert file["account_id"].to_list() == expected["account_id"].to_list()


def test_every_row_of_a_baseline_list_is_consistent(rejected_model: Any) -> None:
    for row in rejected_model.active_list()["accounts"]:
        assert 0 <= row["low"] <= row["probability"] <= row["high"] <= 1
        assert row["probability"] <= row["probability_180d"] + 1e-12
        assert row["as_of"] <= row["expected_early"] <= row["expected_date"] <= row["expected_late"]
        assert row["base"] + sum(row["contributions"].values()) == pytest.approx(row["margin"])
        assert row["churn_probability"] is None or 0 < row["churn_probability"] < 1


def test_a_dry_run_names_its_ranking_at_every_stage(trained_company: Any) -> None:
    stages = [trained_company.result(name) for name in ("score cold", "score simple", "score")]

    models = [stage["model"] for stage in stages]
    assert models[0] == "tier rules"
    passed = trained_company.result("train")["gate"]["passes"]
    assert models[1].endswith(f"(no model {'promoted' if passed else 'passed'})")
    assert models[2] == "1"
    assert [stage["lookahead"] for stage in stages] == [False] * 3
    assert stages[2]["promotion"]["reason"] == "the tests need a model's list"
    forced = stages[2]["promotion"]["forced"]
    assert ("promoted against the gate by" in stages[2]["basis"]) == forced
    assert forced is not passed


def test_a_forced_promotion_and_its_rollback_are_reported(
    rejected_model: Any, tmp_path: Path
) -> None:
    company = rejected_model.copy(tmp_path / "company")

    promoted = company.run("promote", "--force", "a [pilot] with sales").stdout
    scored = " ".join(company.run("score").stdout.split())
    shown = " ".join(company.run("show").stdout.split())
    again = company.run("train", "--json")

    assert "Version 1 is the champion, against the gate: a [pilot] with sales" in " ".join(
        promoted.split()
    )
    for text in (scored, shown):
        assert "by model version 1, promoted against the gate by" in text
        assert "a [pilot] with sales" in text
    assert again.exit_code == 0
    assert company.run_json("promote", "--force", "once more")["previous"] == "1"
    assert company.run_json("rollback") | {"promoted_at": "", "promoted_by": ""} == {
        "version": "1",
        "previous": "2",
        "promoted_at": "",
        "promoted_by": "",
        "reason": "rolled back from version 2",
        "forced": False,
    }


def test_an_older_list_does_not_change_the_basis_of_the_newer_one(trained_company: Any) -> None:
    assert (
        trained_company.result("show after older")["basis"]
        == trained_company.result("score again")["basis"]
    )


def test_a_passing_model_is_promoted_unless_declined(untrained: Any, tmp_path: Path) -> None:
    company = untrained.copy(tmp_path / "company", "*.db")
    # An ensemble of two members is too small for eighty accounts.
    text = company.config.read_text(encoding="utf-8").replace(
        "ensemble_size = 2", "ensemble_size = 6"
    )
    gate = "\n[gate]\ntolerance = 0.9\nconfidence = 0.51\n"
    company.config.write_text(text + gate, encoding="utf-8")

    declined = company.run_json("train", "--no-promote")
    promoted = company.run_json("promote")
    retrained = company.run_json("train")

    assert declined["gate"]["passes"]
    assert declined["registry"] == {"champion": None, "challenger": "1", "previous": None}
    assert promoted["version"] == "1"
    assert promoted["forced"] is False
    assert retrained["registry"] == {"champion": "2", "challenger": None, "previous": "1"}
    assert retrained["gate"]["champion"] == "1"
    assert (
        "has the same settings and therefore the same predictions" in retrained["gate"]["notes"][0]
    )
    record = company.run_json("score", "--dry-run")
    assert record["model"] == "2"
    assert record["promotion"]["reason"].startswith("Passes the gate: ")
    assert record["basis"] == "by model version 2"
