"""The run record holds the computed metrics, plots and lineage."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest

from data.config.settings import Settings
from data.ingest import table_loader
from features.activity.daily_tables import Activity
from features.panel.builder import Panel
from tests.tables import build_log
from training.dataset import fingerprint
from training.evaluation import evaluate
from training.evaluation.evaluate import EvaluationResult
from training.model.propensity import Propensity
from training.pipeline import training_run
from training.pipeline.training_run import TrainingHistory, TrainingResult
from training.registry import run_record
from training.registry.run_record import RunRecord
from training.report import evaluation_page

pytestmark = pytest.mark.long

MODEL_PLOTS = {"feature-importance.svg", "drivers.svg"}
START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = [START + timedelta(days=day) for day in range(0, 60, 10)]
EVENTS = pl.DataFrame(
    {"account_id": ["acme"] * 6, "user_id": ["u1"] * 6, "timestamp": DAYS, "event": ["view"] * 6}
)
SUBSCRIPTIONS = pl.DataFrame(
    {"account_id": ["acme", "acme"], "effective_date": [START, DAYS[3]], "licensed_seats": [5, 9]}
)
ACCOUNTS = pl.DataFrame({"account_id": ["acme"], "created_date": [START], "name": ["Acme Ltd"]})


def build_tables(
    folder: Path, events: pl.DataFrame = EVENTS, subscriptions: pl.DataFrame = SUBSCRIPTIONS
) -> tuple[table_loader.Tables, Activity]:
    tables = table_loader.tables_from_frames(events, subscriptions, ACCOUNTS)
    return tables, build_log(tables, folder, Settings())


@pytest.fixture(scope="module")
def training_history(history: Any, tmp_path_factory: pytest.TempPathFactory) -> TrainingHistory:
    """Build the simulated panel with the log and tables of one account."""
    tables, activity = build_tables(tmp_path_factory.mktemp("past"))
    panel = Panel(history.snapshots, pl.DataFrame(), pl.DataFrame())
    return TrainingHistory(history.end, tables, activity, panel, history.contracts)


@pytest.fixture(scope="module")
def result(training_history: TrainingHistory, settings: Settings) -> TrainingResult:
    return training_run.train(training_history, settings)


@pytest.fixture
def evaluation(result: TrainingResult) -> EvaluationResult:
    assert result.evaluation is not None
    return result.evaluation


@pytest.fixture(scope="module")
def record(
    result: TrainingResult, training_history: TrainingHistory, settings: Settings
) -> RunRecord:
    return run_record.build_run_record(result, training_history, settings)


def test_overall_metrics_are_those_of_the_evaluation(
    record: RunRecord, evaluation: EvaluationResult
) -> None:
    model_auroc = evaluation.metrics[evaluate.MODEL]["auroc"]

    assert record.overall_metrics["auroc"] == model_auroc.value
    assert record.overall_metrics["interval/auroc_low"] == model_auroc.low
    rule_auroc = evaluation.metrics["rule: utilization at least 80 %"]["auroc"].value
    assert record.overall_metrics["baseline/rule_utilization_at_least_80/auroc"] == rule_auroc


def test_metrics_of_a_cutoff_are_those_of_its_test_snapshots(
    record: RunRecord, evaluation: EvaluationResult, settings: Settings
) -> None:
    cutoff = max(record.metrics_by_cutoff)
    fold = evaluation.predictions.filter(pl.col("cutoff") == cutoff)
    fold_metrics = evaluate.compute_metric_table(fold, settings)[evaluate.MODEL]

    assert record.metrics_by_cutoff[cutoff]["auroc"] == fold_metrics["auroc"].value
    assert (
        record.metrics_by_cutoff[cutoff]["log_loss_skill"] == fold_metrics["log_loss_skill"].value
    )
    assert set(record.metrics_by_cutoff) <= set(evaluation.predictions["cutoff"])


def test_every_setting_of_model_outcome_and_evaluation_is_logged(
    record: RunRecord, settings: Settings
) -> None:
    for section in ("model", "outcome", "evaluation", "gate", "eligibility"):
        for name in getattr(settings, section).model_dump():
            assert f"{section}.{name}" in record.parameters
    sections = {name.split(".")[0] for name in record.parameters}
    assert not sections & {"crm", "registry", "columns", "slack", "web"}


def test_table_locations_are_not_logged(record: RunRecord) -> None:
    logged = {name for name in record.parameters if name.startswith("tables.")}

    assert logged == {
        "tables.time_invariant_attributes",
        "tables.known_at_reliable_from",
        "tables.time_zone",
        "tables.max_quarantine_share",
    }


def test_no_account_is_named(record: RunRecord, history: Any) -> None:
    text = repr(record)

    for account in [*history.snapshots["account_id"].unique(), "acme", "Acme Ltd"]:
        assert account not in text


def test_plots_are_the_charts_of_the_evaluation_page(
    record: RunRecord, result: TrainingResult, training_history: TrainingHistory
) -> None:
    assert result.evaluation is not None
    page = evaluation_page.render_evaluation_page(result.evaluation, training_history)
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)

    assert drawings
    assert all(any(drawing in plot for plot in record.plots.values()) for drawing in drawings)
    assert set(record.plots) >= {
        "at-capacity.svg",
        "capacity.svg",
        "cutoffs-precision.svg",
        "cutoffs-skill.svg",
        "drift.svg",
        "lift.svg",
        "net-benefit.svg",
        "precision-recall.svg",
        "reliability.svg",
        *MODEL_PLOTS,
    }


def test_a_plot_is_an_svg_file_in_its_own_colours(record: RunRecord) -> None:
    for plot in record.plots.values():
        root = ElementTree.fromstring(plot)  # noqa: S314 - what the program wrote
        used_colors = set(re.findall(r"var\((--[\w-]+)\)", plot))

        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert all(f"{color}: #" in plot for color in used_colors)


def test_a_single_class_gives_no_plots_of_rankings(
    evaluation: EvaluationResult, fitted: Propensity, history: Any
) -> None:
    negatives = evaluation.predictions.filter(~pl.col("expanded"))

    charts = evaluation_page.draw_evaluation_charts(
        replace(evaluation, predictions=negatives), fitted, history.snapshots.head(1)
    )

    assert not {"capacity", "reliability", "cutoffs-skill"} & {chart.key for chart in charts}
    assert {f"{chart.key}.svg" for chart in charts} >= MODEL_PLOTS


def test_without_an_evaluation_the_note_says_so(
    result: TrainingResult, training_history: TrainingHistory, settings: Settings
) -> None:
    card = {**result.card, "verdict": "Not evaluated: too short."}

    record = run_record.build_run_record(
        replace(result, evaluation=None, card=card), training_history, settings
    )

    assert record.note.startswith("Not evaluated: too short.")
    assert (record.overall_metrics, record.metrics_by_cutoff, set(record.plots)) == (
        {},
        {},
        MODEL_PLOTS,
    )


def test_fingerprints_do_not_depend_on_row_order(tmp_path: Path) -> None:
    first = fingerprint.fingerprint_tables(*build_tables(tmp_path / "one"))
    second = fingerprint.fingerprint_tables(
        *build_tables(tmp_path / "other", EVENTS.reverse(), SUBSCRIPTIONS.reverse())
    )

    assert first == second
    assert [(table.name, table.rows) for table in first] == [
        ("events", 6),
        ("subscriptions", 2),
        ("accounts", 1),
        ("users", 0),
    ]


def test_changed_rows_change_the_fingerprint_and_quarantine_is_counted(tmp_path: Path) -> None:
    invalid_events = EVENTS.with_columns(account_id=pl.Series(["acme"] * 5 + [None]))
    more_seats = SUBSCRIPTIONS.with_columns(licensed_seats=pl.Series([5, 10]))

    first = fingerprint.fingerprint_tables(*build_tables(tmp_path / "one"))
    second = fingerprint.fingerprint_tables(
        *build_tables(tmp_path / "other", invalid_events, more_seats)
    )

    assert [left.digest == right.digest for left, right in zip(first, second, strict=True)] == [
        False,
        False,
        True,
        True,
    ]
    assert (second[0].rows, sum(second[0].quarantine.values())) == (5, 1)


def test_the_code_fingerprint_has_version_and_sources() -> None:
    code = fingerprint.fingerprint_code()

    assert code["version"]
    assert len(code["sources"]) == 16
