"""The evaluation page: every section, also with few or no labels."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl
import pytest

from data import simulator
from data.config import settings as config_settings
from data.config.settings import EvaluationConfig, ModelConfig
from features.activity import load
from training.evaluation import evaluate
from training.evaluation.evaluate import EvaluationResult
from training.metrics.cluster_bootstrap import MetricEstimate
from training.model.propensity import Propensity
from training.pipeline import training_run
from training.pipeline.training_run import TrainingHistory
from training.promotion.champion import ChampionComparison
from training.report import evaluation_page
from training.report.charts import attribution_charts

pytestmark = pytest.mark.long

HOSTILE = "<img src=x onerror=alert(1)>"
SECTIONS = (
    "rankings",
    "probability",
    "dates",
    "segments",
    "cutoffs",
    "drivers",
    "exclusions",
    "method",
    "lineage",
)


@dataclass(frozen=True)
class Evaluated:
    """A small company's evaluation, with everything that its page shows."""

    evaluation: EvaluationResult
    history: TrainingHistory
    explained_model: tuple[Propensity, pl.DataFrame]

    def page(self) -> str:
        return evaluation_page.render_evaluation_page(
            self.evaluation, self.history, self.explained_model
        )

    def with_predictions(self, *changes: pl.Expr) -> "Evaluated":
        """Return the same evaluation with changed predictions."""
        predictions = self.evaluation.predictions.with_columns(*changes)
        return replace(self, evaluation=replace(self.evaluation, predictions=predictions))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=60, months=18, seed=7)
    settings = config_settings.load_settings(folder / "expansion.toml").model_copy(
        update={
            "model": ModelConfig(
                ensemble_size=2, n_estimators=20, min_child_samples=10, horizons_days=(30, 60, 180)
            ),
            "evaluation": EvaluationConfig(n_bootstrap=20, capacity=5, refit_months=3),
        }
    )
    tables, activity = load.load_data(settings, now=datetime(2026, 6, 1, tzinfo=UTC))
    as_of = datetime(2026, 6, 1, tzinfo=UTC)
    history = training_run.build_history(settings, tables, activity, as_of)
    folds: list[tuple[Propensity, pl.DataFrame]] = []
    evaluation = evaluate.evaluate_walk_forward(
        history.panel.snapshots,
        history.contracts,
        settings,
        end=as_of,
        on_fold=lambda model, snapshots: folds.append((model, snapshots)),
    )
    return Evaluated(evaluation, history, folds[-1])


@pytest.fixture(scope="module")
def page(evaluated: Evaluated) -> str:
    return evaluated.page()


def section(page: str, key: str) -> str:
    match = re.search(rf'<section id="{key}".*?</section>', page, re.DOTALL)
    assert match, key
    return match[0]


def test_the_verdict_comes_first(page: str, evaluated: Evaluated) -> None:
    verdict = re.search(r'<p class="verdict">(.*?)</p>', page, re.DOTALL)

    assert verdict
    assert (
        re.sub(r"<[^>]+>", "", verdict[1]).replace("&#39;", "'")
        == evaluated.evaluation.summarize_verdict()
    )
    assert page.index("verdict") < page.index("<section")


def test_every_section_exists_and_is_linked(page: str) -> None:
    assert re.findall(r'<section id="([^"]+)"', page) == list(SECTIONS)
    for key in SECTIONS:
        assert f'<a href="#{key}">' in page


def test_every_chart_is_drawn_once(page: str) -> None:
    assert page.count("<svg") == page.count("<figure") >= 10
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_page_is_small_and_makes_no_request(page: str) -> None:
    assert len(page.encode()) < 1_000_000
    assert not re.search(r"(?:https?:)?//\w", page)
    assert "<script" not in page


def test_the_page_names_no_account(page: str, evaluated: Evaluated) -> None:
    rows = evaluated.history.tables.accounts.rows
    for name in [*rows["account_id"], *rows["name"]]:
        assert name not in page


def test_the_metrics_are_those_of_the_evaluation(page: str, evaluated: Evaluated) -> None:
    model_auroc = evaluated.evaluation.metrics[evaluate.MODEL]["auroc"]

    assert f'{model_auroc.value:.3f} <span class="interval">' in section(page, "rankings")
    for ranking in evaluated.evaluation.metrics:
        assert ranking in section(page, "rankings")


def test_contributions_of_signal_groups_add_up_to_the_margin(evaluated: Evaluated) -> None:
    model, folds = evaluated.explained_model
    _, base = model.compute_contributions(folds)

    match = attribution_charts.summarize_attributions(model, folds)

    assert (match["up"] + match["down"]).sum() + base.mean() == pytest.approx(
        model.predict(folds).margin.mean()
    )
    assert match["size"].to_list() == pytest.approx((match["up"] - match["down"]).to_list())
    assert match["size"].is_sorted(descending=True)


def test_excluded_accounts_are_counted_by_reason(page: str, evaluated: Evaluated) -> None:
    counts = evaluated.history.panel.excluded.group_by("reason").len()

    for reason, count in counts.rows():
        assert re.search(
            rf"{re.escape(reason)}</th><td>{count:,}</td>", section(page, "exclusions")
        )


def test_the_page_is_deterministic(page: str, evaluated: Evaluated) -> None:
    assert evaluated.page() == page


@pytest.fixture(scope="module")
def hostile_page(evaluated: Evaluated) -> str:
    """Render a page with hostile text in the data and a secret in the settings."""
    excluded = evaluated.history.panel.excluded.with_columns(reason=pl.lit(HOSTILE))
    settings = evaluated.evaluation.settings
    changes = {
        "roles": settings.roles.model_copy(update={"login": (HOSTILE,)}),
        "database": settings.database.model_copy(update={"url": "postgresql://u:hush@h/d"}),
    }
    plan = (
        pl.when(pl.col("probability").rank() % 2 == 0).then(pl.lit(HOSTILE)).otherwise(pl.lit("a"))
    )
    evaluation = replace(
        evaluated.evaluation,
        skipped={evaluated.evaluation.predictions["cutoff"][0]: HOSTILE},
        predictions=evaluated.evaluation.predictions.with_columns(plan=plan),
        settings=settings.model_copy(update=changes),
    )
    history = replace(evaluated.history, panel=replace(evaluated.history.panel, excluded=excluded))
    model_metrics = evaluated.evaluation.metrics[evaluate.MODEL]
    champion = ChampionComparison(
        f"The champion is {HOSTILE}.", model_metrics, MetricEstimate(0.05, -0.01, 0.11)
    )
    control_gains = {"auroc": MetricEstimate(0.002, -0.01, 0.014)}
    return evaluation_page.render_evaluation_page(
        evaluation,
        history,
        evaluated.explained_model,
        comparison=champion,
        control_gains=control_gains,
    )


def test_text_from_the_data_is_escaped(hostile_page: str) -> None:
    assert "<img" not in hostile_page
    count = hostile_page.count("&lt;img src=x onerror=alert(1)&gt;")
    assert count >= 5  # in a reason, a cutoff, a role, a plan and the champion


def test_champion_and_control_gains_are_shown_only_when_given(hostile_page: str, page: str) -> None:
    assert '<th scope="row">champion</th>' in section(hostile_page, "rankings")
    assert "+5.0 points (-1.0 to +11.0)" in section(hostile_page, "rankings")
    assert "0.002" in section(hostile_page, "drivers")
    assert '<th scope="row">champion</th>' not in page
    assert "Gain from logins" not in page


def test_secrets_in_the_settings_are_not_shown(hostile_page: str) -> None:
    assert "hush" not in hostile_page


def test_sections_report_that_only_one_class_is_known(evaluated: Evaluated) -> None:
    is_labelled = pl.col("expanded").is_not_null()
    all_negative = pl.when(is_labelled).then(pl.lit(value=False)).alias("expanded")

    page = evaluated.with_predictions(all_negative).page()

    assert re.findall(r'<section id="([^"]+)"', page) == list(SECTIONS)
    for key in ("rankings", "probability"):
        assert "Only one class is known so far" in section(page, key)
    assert "No cutoff has test snapshots of both classes yet." in section(page, "cutoffs")


def test_equal_probabilities_can_be_drawn(evaluated: Evaluated, page: str) -> None:
    constant = evaluated.with_predictions(pl.lit(0.1).alias("probability")).page()

    assert constant.count("<svg") == page.count("<svg")


def test_the_page_renders_without_any_label(evaluated: Evaluated) -> None:
    unlabelled = evaluated.with_predictions(
        pl.lit(None, pl.Boolean).alias("expanded"),
        pl.lit(None, pl.Int64).alias("days_to_expansion"),
    )

    page = evaluation_page.render_evaluation_page(unlabelled.evaluation, unlabelled.history)

    assert "0 with a label" in page
    for key in ("rankings", "probability"):
        assert "No label is known so far" in section(page, key)
    assert "No date can be evaluated yet" in section(page, "dates")
    assert "No model was passed for explanation." in section(page, "drivers")
