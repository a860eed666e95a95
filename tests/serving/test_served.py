"""What the list is by, and that it says so: the champion, a simple ranking, the tier rules."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.config import settings
from data.config.settings import Playbook
from features.panel import builder
from serving.scoring import cold_start, playbook
from serving.scoring.playbook import LIMITS, MOTIONS
from training.evaluation import baselines
from training.pipeline import training_run

# MLflow's own way with SQLAlchemy.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NULL = ("probability", "low", "high", "band", "margin", "base", "expected_arr", "expected_date")


@pytest.fixture(scope="module")
def untrained(road: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The simulated company before any training, and a CRM without a list."""
    folder = tmp_path_factory.mktemp("untrained") / "company"
    shutil.copytree(road.folder, folder, ignore=shutil.ignore_patterns("ml*", "*.db", "*.lock"))
    return type(road)(folder)


@pytest.fixture(scope="module")
def refused_model(road: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same with a model that the gate can only refuse: no as-of is judged."""
    folder = tmp_path_factory.mktemp("refused") / "company"
    shutil.copytree(road.folder, folder, ignore=shutil.ignore_patterns("ml*", "*.db", "*.lock"))
    company = type(road)(folder)
    text = company.config.read_text().replace("2000-01-01", "2100-01-01")
    company.config.write_text(text)
    company.said["train"] = company.run("train")
    company.said["score"] = company.run("score", "--out", folder / "list.parquet")
    return company


def snapshots(company: Any, as_of: str) -> pl.DataFrame:
    config = settings.load_settings(company.config)
    tables, log = training_run.load_data(config, now=datetime.now(UTC))
    moment = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
    return builder.build_panel(log, tables, [moment], config).snapshots


def test_without_any_model_the_tier_rules_rank_and_no_chance_is_told(untrained: Any) -> None:
    record = untrained.ask("score")

    rows = untrained.shown()["accounts"]
    tiers = [row["tier"] or 3 for row in rows]
    assert record["model"] == "tier rules"
    assert record["basis"] == "by the tier rules and utilisation, without a probability"
    assert record["verdict"].startswith("No model was ever trained")
    assert {row["model"] for row in rows} == {"tier rules"}
    assert all(row[name] is None for row in rows for name in NULL)
    assert tiers == sorted(tiers)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["limit"] in LIMITS and row["motion"] in MOTIONS for row in rows)
    assert all((row["readiness_date"] is None) == (row["tier"] != 1) for row in rows)


def test_a_list_without_chances_is_printed_for_reading(untrained: Any) -> None:
    printed = untrained.run("score", "--top", 3).stdout
    first = untrained.shown()["accounts"][0]
    shown = untrained.run("show").stdout
    one = untrained.run("show", first["account_id"]).stdout

    for text in (printed, shown):
        assert "Whom to look at first, as of" in text
        assert "Ranked by the tier rules and utilisation, without a probability." in text
        assert "nan" not in text.lower()
        assert "None" not in text
    assert "No model was ever trained" in printed
    assert "by tier rules" in one
    assert "not known" in one
    assert "What moved the number" not in one


def test_the_tier_rules_say_of_each_account_what_the_playbook_says(untrained: Any) -> None:
    as_of = untrained.ask("score", "--dry-run")["as_of"]
    rows = snapshots(untrained, as_of)

    listed = cold_start.rank_by_tier_rules(
        rows, datetime.fromisoformat(as_of).replace(tzinfo=UTC), Playbook()
    )

    advice = rows.select("account_id").with_columns(playbook.assign_playbook(rows, Playbook()))
    both = listed.join(advice, on="account_id", suffix="_of_the_playbook")
    for name in ("limit", "tier", "motion"):
        assert both[name].equals(both[f"{name}_of_the_playbook"])


def test_a_refused_model_says_so_and_the_simple_ranking_is_served(refused_model: Any) -> None:
    trained, scored = (refused_model.said[name] for name in ("train", "score"))
    rows = refused_model.shown()["accounts"]

    assert trained.exit_code == scored.exit_code == 0, (trained.output, scored.output)
    told = " ".join(trained.stdout.split())
    assert "Not promoted: the history is too short for a walk forward" in told
    assert "Version 1 waits as the challenger, and there is no champion: the weekly list is" in told
    (called,) = {row["model"] for row in rows}
    assert called.endswith(" (no model passed)")
    ranking = called.removesuffix(" (no model passed)")
    text = " ".join(scored.stdout.split())
    assert f"Ranked by {ranking}, the best simple ranking of the past" in text
    assert "No model has been promoted. Of version 1: Not promoted:" in text
    assert f"Ranked by {ranking}" in " ".join(refused_model.run("show").stdout.split())


def test_the_list_that_is_served_is_in_the_simple_rankings_order(refused_model: Any) -> None:
    file = pl.read_parquet(refused_model.folder / "list.parquet")
    ranking = file["model"][0].removesuffix(" (no model passed)")

    rows = snapshots(refused_model, str(file["as_of"][0]))

    score = rows.select("account_id").with_columns(
        baselines.score_baselines(rows)[ranking].alias("score")
    )
    expected = score.sort("score", "account_id", descending=[True, False])
    assert file["account_id"].to_list() == expected["account_id"].to_list()


def test_every_row_by_a_simple_ranking_holds_together(refused_model: Any) -> None:
    for row in refused_model.shown()["accounts"]:
        assert 0 <= row["low"] <= row["probability"] <= row["high"] <= 1
        assert row["probability"] <= row["probability_180d"] + 1e-12
        assert row["as_of"] <= row["expected_early"] <= row["expected_date"] <= row["expected_late"]
        assert row["base"] + sum(row["contributions"].values()) == pytest.approx(row["margin"])
        assert row["churn_probability"] is None or 0 < row["churn_probability"] < 1


def test_a_dry_run_says_what_it_is_from_at_every_stage_of_the_road(road: Any) -> None:
    stages = [road.told(name) for name in ("score cold", "score simple", "score")]

    models = [stage["model"] for stage in stages]
    assert models[0] == "tier rules"
    passed = road.told("train")["gate"]["passes"]
    assert models[1].endswith(f"(no model {'promoted' if passed else 'passed'})")
    assert models[2] == "1"
    assert [stage["hindsight"] for stage in stages] == [False] * 3
    assert stages[2]["promotion"]["reason"] == "the tests read a model's list"
    forced = stages[2]["promotion"]["forced"]
    assert ("promoted against the gate by" in stages[2]["basis"]) == forced
    assert forced is not passed


def test_a_forced_promotion_and_the_way_back_are_told(refused_model: Any, tmp_path: Path) -> None:
    shutil.copytree(refused_model.folder, tmp_path / "company")
    company = type(refused_model)(tmp_path / "company")

    told = company.run("promote", "--force", "a [pilot] with sales").stdout
    scored = " ".join(company.run("score").stdout.split())
    shown = " ".join(company.run("show").stdout.split())
    again = company.run("train", "--json")

    assert "Version 1 is champion, against the gate: a [pilot] with sales" in " ".join(told.split())
    for text in (scored, shown):
        assert "by model version 1, promoted against the gate by" in text
        assert "a [pilot] with sales" in text
    assert again.exit_code == 0
    assert company.ask("promote", "--force", "once more")["previous"] == "1"
    assert company.ask("rollback") | {"at": "", "by": ""} == {
        "version": "1",
        "previous": "2",
        "at": "",
        "by": "",
        "reason": "rolled back from version 2",
        "forced": False,
    }


def test_an_older_list_does_not_say_what_the_newer_one_is_from(road: Any) -> None:
    assert date.fromisoformat(road.told("score older")["as_of"])
    assert road.told("show after older")["basis"] == road.told("score again")["basis"]


def test_a_model_that_passes_is_promoted_unless_that_is_declined(
    untrained: Any, tmp_path: Path
) -> None:
    shutil.copytree(untrained.folder, tmp_path / "company", ignore=shutil.ignore_patterns("*.db"))
    company = type(untrained)(tmp_path / "company")
    # Of eighty accounts two members alone tell too little.
    told = company.config.read_text(encoding="utf-8").replace("members = 2", "members = 6")
    gate = "\n[gate]\ntolerance = 0.9\nconfidence = 0.51\n"
    company.config.write_text(told + gate, encoding="utf-8")

    declined = company.ask("train", "--no-promote")
    promoted = company.ask("promote")
    taken = company.ask("train")

    assert declined["gate"]["passes"]
    assert declined["registry"] == {"champion": None, "challenger": "1", "previous": None}
    assert promoted["version"] == "1"
    assert promoted["forced"] is False
    assert taken["registry"] == {"champion": "2", "challenger": None, "previous": "1"}
    assert taken["gate"]["champion"] == "1"
    assert "compares as equal without another walk" in taken["gate"]["notes"][0]
    record = company.ask("score", "--dry-run")
    assert record["model"] == "2"
    assert record["promotion"]["reason"].startswith("Passes the gate: ")
    assert record["basis"] == "by model version 2"
