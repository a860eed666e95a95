"""The command line end to end: simulate, check, features, train, evaluate, score, show."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sklearn.metrics import roc_auc_score

from features.catalogue import FEATURE_NAMES
from serving.cli.main import main
from serving.scoring.playbook import LIMITS, MOTIONS, SUPPRESSED_MOTIONS
from tests import ROOT
from training.evaluation import baselines
from training.evaluation.baselines import BEST_FEATURE
from training.evaluation.reference_models import REFERENCE_MODELS

# MLflow uses a deprecated SQLAlchemy API.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

COMMANDS = [
    "backtest",
    "check",
    "digest",
    "evaluate",
    "explain-exclusion",
    "features",
    "promote",
    "rollback",
    "score",
    "serve",
    "show",
    "simulate",
    "train",
]
MAX_SECONDS = 0.5
GOLDEN = ("rank", "account_id", "limit", "tier", "motion", "readiness_date", "signals")


def test_help_takes_less_than_half_a_second_and_lists_all_commands() -> None:
    command = [sys.executable, "-m", "serving.cli.main", "--help"]
    script = Path(sys.executable).with_name("expansion")
    command = [str(script), "--help"] if script.exists() else command
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        completed = subprocess.run(command, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # CPU time, so that other load on the machine does not matter.
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    listed = [
        line.split()[0] for line in completed.stdout.split("Commands:")[1].splitlines() if line
    ]
    assert listed == sorted([*COMMANDS, "crm"])  # a group with commands of its own
    assert min(seconds) < MAX_SECONDS


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "simulate"])
def test_a_missing_settings_file_is_reported_in_one_line(
    name: str, tmp_path: Path, error_message: Callable[[Result], str]
) -> None:
    required = {"features": ["--out", str(tmp_path / "panel.parquet")], "explain-exclusion": ["a"]}

    arguments = [name, "-c", str(tmp_path / "nowhere.toml"), *required.get(name, [])]
    result = CliRunner().invoke(main, arguments)

    assert error_message(result).startswith(
        f"no settings file at {tmp_path / 'nowhere.toml'}. Pass one"
    )


@pytest.mark.parametrize(
    ("command", "option"),
    [("features", "--out"), ("evaluate", "--predictions"), ("score", "--out")],
)
def test_an_unsupported_file_extension_is_rejected_before_the_work(
    command: str, option: str, error_message: Callable[[Result], str]
) -> None:
    result = CliRunner().invoke(main, [command, option, "list.xlsx"])

    expected = "list.xlsx has an unsupported extension; expected .parquet or .csv."
    assert error_message(result) == expected


@pytest.mark.long
def test_every_json_output_is_exactly_one_object(trained_company: Any) -> None:
    assert len(trained_company.results) >= 12
    for label, result in trained_company.results.items():
        assert result.exit_code == 0, (label, result.output)
        assert isinstance(json.loads(result.stdout), dict), label
        assert result.stdout.count("\n") == 1, label
        assert "NaN" not in result.stdout, label


def test_simulate_reports_what_it_wrote(trained_company: Any) -> None:
    company = trained_company.result("simulate")

    assert company["accounts"] == 80
    assert company["events"] > 10_000
    assert len(list((trained_company.folder / "events").glob("*.parquet"))) >= 20


def test_check_counts_loaded_rows(trained_company: Any) -> None:
    report = trained_company.result("check")

    rows = {table["table"]: table["rows"] for table in report["tables"]}
    assert rows["accounts"] == 80
    assert rows["events"] == trained_company.result("simulate")["events"]
    assert sum(event["rows"] for event in report["events"]) <= rows["events"]
    assert {event["role"] for event in report["events"]} >= {"feature use", "api_call", "login"}
    assert report["eligible"] + sum(report["excluded"].values()) == 80
    assert [item["passed"] for item in report["checklist"]] == [True] * 6


def test_features_writes_a_row_per_eligible_account_and_as_of(trained_company: Any) -> None:
    panel = pl.read_parquet(trained_company.folder / "panel.parquet")

    assert panel.columns == ["account_id", "as_of", *FEATURE_NAMES]
    assert panel["as_of"].n_unique() == 3
    assert panel.height == trained_company.result("features")["snapshots"]
    assert not panel.select("account_id", "as_of").is_duplicated().any()


def test_train_registers_a_model_with_its_verdict(trained_company: Any) -> None:
    trained, evaluated = trained_company.result("train"), trained_company.result("evaluate")

    assert trained["version"] == "1"
    assert trained["verdict"] == evaluated["verdict"]
    assert trained["registry"] == {"champion": None, "challenger": "1", "previous": None}
    assert set(trained["gate"]) == {"passes", "summary", "checks", "counts", "notes", "champion"}
    assert sum(trained["expansions_by_kind"].values()) > 10


def test_predictions_have_every_column_that_a_check_needs(trained_company: Any) -> None:
    predictions = pl.read_parquet(trained_company.folder / "predictions.parquet")

    schema = dict(predictions.schema)
    assert schema["account_id"] == pl.String
    assert schema["as_of"] == schema["cutoff"] == pl.Date
    assert schema["expanded"] == pl.Boolean
    assert schema["probability"] == pl.Float64
    assert set(baselines.BASELINES) <= set(schema)
    assert predictions["expanded"].null_count() > 0
    labels = ["expanded", "expanded_180d", "days_to_expansion", "arr_added"]
    predicted = predictions.drop(*labels, "days_to_limit")
    assert predicted.null_count().sum_horizontal().item() == 0
    assert predictions["probability"].is_between(0, 1).all()
    assert not predictions.select("account_id", "as_of").is_duplicated().any()


def test_the_metrics_can_be_recomputed_from_the_predictions(trained_company: Any) -> None:
    predictions = pl.read_parquet(trained_company.folder / "predictions.parquet")
    labelled = predictions.drop_nulls("expanded")

    metrics = trained_company.result("evaluate")["metrics"]

    assert set(metrics) == {"model", *baselines.BASELINES, BEST_FEATURE}
    for name, values in metrics.items():
        score = labelled["probability" if name == "model" else name]
        assert values["auroc"]["value"] == pytest.approx(roc_auc_score(labelled["expanded"], score))


def test_evaluate_reports_reference_models_capacity_and_the_champion(trained_company: Any) -> None:
    evaluated = trained_company.result("evaluate")

    by_cutoff = next(iter(evaluated["by_cutoff"].values()))
    assert set(evaluated["reference_models"]) == set(REFERENCE_MODELS) <= set(by_cutoff)
    assert evaluated["capacity"] == {
        "accounts": 5,
        "explanation": "5 accounts per as-of date, set by evaluation.capacity.",
    }
    assert "has the same settings" in evaluated["champion"]["note"]
    assert evaluated["champion"]["metrics"] == {}
    assert set(evaluated["segments"]) == {"size", "plan", "tenure"}
    assert trained_company.result("train")["segments"] == evaluated["segments"]
    assert {
        "precision_gain_over_best_baseline",
        "precision_gain_over_selected_baseline",
        "power",
        "lift",
        "notes",
        "bands",
    } <= set(evaluated)


def test_a_skipped_cutoff_has_a_reason(trained_company: Any) -> None:
    skipped = trained_company.result("evaluate")["skipped"]

    cutoffs = pl.read_parquet(trained_company.folder / "predictions.parquet")["cutoff"].unique()
    assert not {date.fromisoformat(cutoff) for cutoff in skipped} & set(cutoffs)
    assert skipped[min(skipped)].startswith("no snapshot has a complete window of 60 days yet")
    assert trained_company.result("train")["skipped_cutoffs"] == skipped


def test_the_list_is_ranked_by_margin_and_accounts_for_everyone(trained_company: Any) -> None:
    rows, record = trained_company.result("show")["accounts"], trained_company.result("score")

    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    margins = [row["margin"] for row in rows]
    assert margins == sorted(margins, reverse=True)
    assert len(rows) == record["listed"] == record["written"]["listed"]
    assert len(rows) + sum(record["excluded"].values()) == 80


def test_every_row_of_the_list_is_consistent(trained_company: Any) -> None:
    for row in trained_company.result("show")["accounts"]:
        assert 0 <= row["low"] <= row["probability"] <= row["high"] <= 1
        assert row["probability"] <= row["probability_180d"] + 1e-12
        assert row["expected_arr"] is None or row["expected_arr"] >= 0
        assert 0 < row["churn_probability"] < 1
        assert row["as_of"] <= row["expected_early"] <= row["expected_date"] <= row["expected_late"]
        assert row["readiness_date"] is None or row["readiness_date"] >= row["as_of"]
        assert row["limit"] in LIMITS
        assert row["motion"] in MOTIONS
        assert row["outreach_allowed"] == (row["motion"] not in SUPPRESSED_MOTIONS)
        is_tagged = row["tier"] and row["outreach_allowed"]
        signal = f"{row['limit']}: tier {row['tier']}" if is_tagged else None
        assert row["expansion_signal"] == signal
        assert len(row["signals"]) <= 3
        assert len(row["counter_reasons"]) <= 2
        assert row["changes"] == []  # the first list has no previous one


def test_contributions_and_base_value_add_up_to_the_margin(trained_company: Any) -> None:
    account = trained_company.result("show account")

    total = sum(account["contributions"].values()) + account["base"]

    assert total == pytest.approx(account["margin"], abs=1e-9)
    assert [score["as_of"] for score in account["score_history"]] == [
        trained_company.result("score older")["as_of"],
        account["as_of"],
    ]


def test_the_exported_list_equals_the_list_in_the_crm(trained_company: Any) -> None:
    file = pl.read_parquet(trained_company.folder / "list.parquet")

    rows = trained_company.result("show")["accounts"]

    assert file["account_id"].to_list() == [row["account_id"] for row in rows]
    assert file["probability"].to_list() == [row["probability"] for row in rows]
    assert file["signals"].to_list() == [row["signals"] for row in rows]


def test_scoring_is_idempotent(trained_company: Any) -> None:
    assert trained_company.result("show again") == trained_company.result("show")
    assert (
        trained_company.result("score again")["written"]
        == trained_company.result("score")["written"]
    )


def test_an_older_as_of_does_not_change_the_list(trained_company: Any) -> None:
    older = trained_company.result("score older")

    assert older["as_of"] < trained_company.result("score")["as_of"]
    assert older["written"] == {"listed": 0, "unlisted": 0, "superseded": older["listed"]}
    assert trained_company.result("show after older") == trained_company.result("show")


def test_every_run_is_recorded(trained_company: Any) -> None:
    engine = sa.create_engine(f"sqlite:///{trained_company.folder / 'crm.db'}")
    with engine.connect() as connection:
        runs = connection.execute(
            sa.text("SELECT as_of, model, record FROM runs ORDER BY id")
        ).all()
    engine.dispose()

    assert len(runs) >= 3
    record = json.loads(runs[0].record)
    assert runs[0].model == "1"
    assert record["log"]["events"] == trained_company.result("simulate")["events"]
    assert set(record["quarantine"]) == {"events", "subscriptions", "accounts", "users"}


def test_a_dry_run_prints_the_list_and_writes_nothing(trained_company: Any) -> None:
    before = (trained_company.folder / "crm.db").read_bytes()

    result = trained_company.run("score", "--dry-run", "--top", 2)

    assert (trained_company.folder / "crm.db").read_bytes() == before
    assert "Dry run: nothing was written to the CRM." in result.stdout
    assert "… and" in result.stdout
    first = trained_company.result("show")["accounts"][0]
    assert f"  1  {first['name']}" in result.stdout
    assert f"{first['probability']:.0%}" in result.stdout


def test_the_list_and_one_account_are_printed(trained_company: Any) -> None:
    first = trained_company.result("show")["accounts"][0]

    ranked = trained_company.run("show", "--top", 3)
    one = trained_company.run("show", first["name"].lower())

    assert ranked.exit_code == one.exit_code == 0
    as_of = date.fromisoformat(first["as_of"])
    assert f"Accounts likely to expand within 60 days, as of {as_of}" in ranked.stdout
    assert f"{first['name']} ({first['account_id']})" in one.stdout
    assert "Reasons" in one.stdout
    assert f"{first['margin']:+.2f}" in one.stdout
    for sentence in first["signals"]:
        assert sentence in " ".join(one.stdout.split())


def test_names_with_brackets_are_printed_verbatim(tiny: Any) -> None:
    tiny.add("events", "acme,u1,2024-12-01T09:00:00Z,[/red] [bold]open,x")

    result = tiny.run("check")

    assert result.exit_code == 0, result.output
    assert "[/red] [bold]open" in result.stdout


def test_the_top_of_the_list_matches_the_golden_file(trained_company: Any) -> None:
    golden = ROOT / "tests" / "golden" / "monday_list.json"

    listed = trained_company.result("show")["accounts"][:10]

    top = [{name: row[name] for name in GOLDEN} for row in listed]
    probabilities = [row["probability"] for row in listed]
    expected = json.loads(golden.read_text(encoding="utf-8"))
    assert top == [{name: row[name] for name in GOLDEN} for row in expected]
    assert probabilities == pytest.approx([row["probability"] for row in expected], rel=1e-6)


@pytest.mark.long
def test_explain_exclusion_lists_the_use_of_every_row(trained_company: Any) -> None:
    name = trained_company.result("show")["accounts"][0]["account_id"]

    rows = trained_company.run_json("explain-exclusion", name)["as_ofs"]
    printed = trained_company.run("explain-exclusion", name).stdout

    assert [row["as_of"] for row in rows] == sorted({row["as_of"] for row in rows})
    assert {row["used"] for row in rows} <= {True, False}
    assert rows[-1]["reason"].startswith("eligible, but its window had not ended")
    assert name in printed
    assert "used" in printed


@pytest.mark.long
def test_control_features_are_evaluated_on_request(trained_company: Any) -> None:
    control_metrics = trained_company.run_json("evaluate", "--controls")["controls"]

    assert set(control_metrics) == {"auroc", "average_precision", "log_loss"}
    for metric in control_metrics.values():
        assert metric["low"] <= metric["value"] <= metric["high"]
