"""What a run shows is what was computed: figures, plots, and the identity of what went in."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from data.config.settings import Settings
from data.ingest import table_loader
from features.activity import daily_tables
from features.activity.daily_tables import Activity
from features.panel.builder import Panel
from training.dataset import fingerprint
from training.evaluation import evaluate
from training.evaluation.evaluate import EvaluationResult
from training.model.propensity import Propensity
from training.pipeline import training_run
from training.pipeline.training_run import TrainingHistory, TrainingResult
from training.registry import run_record
from training.registry.run_record import RunRecord
from training.report import importance_plot, run_plots

pytestmark = pytest.mark.long

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = [START + timedelta(days=day) for day in range(0, 60, 10)]
EVENTS = pl.DataFrame(
    {"account_id": ["acme"] * 6, "user_id": ["u1"] * 6, "timestamp": DAYS, "event": ["view"] * 6}
)
SUBSCRIPTIONS = pl.DataFrame(
    {"account_id": ["acme", "acme"], "effective_date": [START, DAYS[3]], "licensed_seats": [5, 9]}
)
ACCOUNTS = pl.DataFrame({"account_id": ["acme"], "created_date": [START], "name": ["Acme Ltd"]})


def read(
    folder: Path, events: pl.DataFrame = EVENTS, subscriptions: pl.DataFrame = SUBSCRIPTIONS
) -> tuple[table_loader.Tables, Activity]:
    settings = Settings(base=folder)
    tables = table_loader.tables_from_frames(events, subscriptions, ACCOUNTS)
    log = daily_tables.build_activity(
        tables.events,
        folder=folder,
        roles=settings.roles,
        seats=settings.seats,
        known_at_reliable_from=None,
        accounts=tables.accounts.rows,
    )
    return tables, log


@pytest.fixture(scope="module")
def past(history: Any, tmp_path_factory: pytest.TempPathFactory) -> TrainingHistory:
    """The drawn panel, beside the log and the tables of one account."""
    tables, log = read(tmp_path_factory.mktemp("past"))
    panel = Panel(history.snapshots, pl.DataFrame(), pl.DataFrame())
    return TrainingHistory(history.end, tables, log, panel, history.contracts)


@pytest.fixture(scope="module")
def trained(past: TrainingHistory, settings: Settings) -> TrainingResult:
    return training_run.train(past, settings)


@pytest.fixture
def walked(trained: TrainingResult) -> EvaluationResult:
    assert trained.evaluation is not None
    return trained.evaluation


@pytest.fixture(scope="module")
def shown(trained: TrainingResult, past: TrainingHistory, settings: Settings) -> RunRecord:
    return run_record.build_run_record(trained, past, settings)


def _pixels(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, dpi=50)
    return file.getvalue()


def test_totals_are_the_figures_of_the_evaluation(
    shown: RunRecord, walked: EvaluationResult
) -> None:
    mine = walked.metrics[evaluate.MODEL]["auroc"]

    assert shown.overall_metrics["auroc"] == mine.value
    assert shown.overall_metrics["interval/auroc_low"] == mine.low
    rule = walked.metrics["rule: utilisation at least 80 %"]["auroc"].value
    assert shown.overall_metrics["simple/rule_utilisation_at_least_80/auroc"] == rule


def test_figures_of_a_cut_are_those_of_what_it_judged(
    shown: RunRecord, walked: EvaluationResult, settings: Settings
) -> None:
    cut = max(shown.metrics_by_cutoff)
    part = walked.predictions.filter(pl.col("cut") == cut)
    alone = evaluate.compute_metric_table(part, settings)[evaluate.MODEL]

    assert shown.metrics_by_cutoff[cut]["auroc"] == alone["auroc"].value
    assert shown.metrics_by_cutoff[cut]["log_loss_skill"] == alone["log_loss_skill"].value
    assert set(shown.metrics_by_cutoff) <= set(walked.predictions["cut"])


def test_every_setting_of_the_model_its_outcome_and_its_judgement_is_shown(
    shown: RunRecord, settings: Settings
) -> None:
    for section in ("model", "outcome", "evaluation", "gate", "eligibility"):
        for name in getattr(settings, section).model_dump():
            assert f"{section}.{name}" in shown.parameters
    sections = {name.split(".")[0] for name in shown.parameters}
    assert not sections & {"crm", "registry", "columns", "slack", "web"}


def test_of_the_tables_is_shown_which_rows_count_and_not_where_they_lie(shown: RunRecord) -> None:
    told = {name for name in shown.parameters if name.startswith("tables.")}

    assert told == {
        "tables.time_invariant_attributes",
        "tables.known_at_reliable_from",
        "tables.time_zone",
        "tables.max_quarantine_share",
    }


def test_nothing_of_an_account_is_shown(shown: RunRecord, history: Any) -> None:
    told = repr(replace(shown, plots={}))

    for account in [*history.snapshots["account_id"].unique(), "acme", "Acme Ltd"]:
        assert account not in told


def test_every_plot_can_be_drawn(shown: RunRecord) -> None:
    assert set(shown.plots) == {
        "drivers.png",
        "reliability.png",
        "precision_by_capacity.png",
        "precision_recall.png",
        "expected_and_observed.png",
        "skill_over_cuts.png",
    }
    for figure in shown.plots.values():
        assert len(_pixels(figure)) > 5_000


def test_precision_at_capacity_is_drawn_where_the_figure_says(
    shown: RunRecord, walked: EvaluationResult, settings: Settings
) -> None:
    capacity = settings.evaluation.capacity
    (axes,) = shown.plots["precision_by_capacity.png"].axes
    (line,) = [line for line in axes.lines if line.get_label() == evaluate.MODEL]
    drawn = dict(zip(*map(np.asarray, line.get_data()), strict=True))

    assert drawn[capacity] == pytest.approx(
        walked.metrics[evaluate.MODEL]["precision_at_capacity"].value
    )


def test_of_one_outcome_alone_nothing_is_drawn(walked: EvaluationResult) -> None:
    never = walked.predictions.filter(~pl.col("expanded"))

    assert run_plots.plot_predictions(never, capacity=5) == {}
    assert run_plots.plot_metrics_by_cutoff({}) == {}


def test_equal_probabilities_can_be_drawn(walked: EvaluationResult) -> None:
    flat = walked.predictions.with_columns(probability=pl.lit(0.1))

    assert all(map(_pixels, run_plots.plot_predictions(flat, capacity=5).values()))


def test_drivers_of_a_single_account_can_be_drawn(fitted: Propensity, history: Any) -> None:
    assert _pixels(importance_plot.plot_feature_importance(fitted, history.snapshots.head(1)))


def test_without_a_walk_through_history_the_run_says_so(
    trained: TrainingResult, past: TrainingHistory, settings: Settings
) -> None:
    about = {**trained.card, "verdict": "Not judged: too short."}

    shown = run_record.build_run_record(
        replace(trained, evaluation=None, about=about), past, settings
    )

    assert shown.note.startswith("Not judged: too short.")
    assert (shown.overall_metrics, shown.metrics_by_cutoff, set(shown.plots)) == (
        {},
        {},
        {"drivers.png"},
    )


def test_the_same_rows_have_the_same_fingerprint_in_whatever_order(tmp_path: Path) -> None:
    one = fingerprint.fingerprint_tables(*read(tmp_path / "one"))
    other = fingerprint.fingerprint_tables(
        *read(tmp_path / "other", EVENTS.reverse(), SUBSCRIPTIONS.reverse())
    )

    assert one == other
    assert [(table.name, table.rows) for table in one] == [
        ("events", 6),
        ("subscriptions", 2),
        ("accounts", 1),
        ("users", 0),
    ]


def test_another_row_is_another_fingerprint_and_quarantine_is_counted(tmp_path: Path) -> None:
    spoiled = EVENTS.with_columns(account_id=pl.Series(["acme"] * 5 + [None]))
    more = SUBSCRIPTIONS.with_columns(licensed_seats=pl.Series([5, 10]))

    one = fingerprint.fingerprint_tables(*read(tmp_path / "one"))
    other = fingerprint.fingerprint_tables(*read(tmp_path / "other", spoiled, more))

    assert [a.digest == b.digest for a, b in zip(one, other, strict=True)] == [
        False,
        False,
        True,
        True,
    ]
    assert (other[0].rows, sum(other[0].quarantine.values())) == (5, 1)


def test_the_code_is_named_by_version_and_sources() -> None:
    code = fingerprint.fingerprint_code()

    assert code["version"]
    assert len(code["sources"]) == 16
