"""The evaluation page: every section, also of a history of which little is known."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl
import pytest

from data import simulator
from data.config import settings as reading
from data.config.settings import EvaluationConfig as Rules
from data.config.settings import ModelConfig
from training.evaluation import evaluate
from training.evaluation.evaluate import EvaluationResult
from training.metrics.cluster_bootstrap import MetricEstimate
from training.model.propensity import Propensity
from training.pipeline import training_run
from training.pipeline.training_run import TrainingHistory
from training.promotion.champion_comparison import ChampionComparison
from training.report import attribution_summary, evaluation_page

pytestmark = pytest.mark.long

HOSTILE = "<img src=x onerror=alert(1)>"
SECTIONS = (
    "rankings",
    "probability",
    "dates",
    "kinds",
    "cuts",
    "drivers",
    "left-out",
    "method",
    "made-from",
)


@dataclass(frozen=True)
class Walk:
    """A small company's walk through history, and all that its page is made of."""

    walked: EvaluationResult
    past: TrainingHistory
    explained: tuple[Propensity, pl.DataFrame]

    def page(self) -> str:
        return evaluation_page.render_evaluation_page(self.walked, self.past, self.explained)

    def with_predictions(self, *changes: pl.Expr) -> "Walk":
        """The same walk, had it come otherwise."""
        predictions = self.walked.predictions.with_columns(*changes)
        return replace(self, walked=replace(self.walked, predictions=predictions))


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=60, months=18, seed=7)
    settings = reading.load_settings(folder / "expansion.toml").model_copy(
        update={
            "model": ModelConfig(
                ensemble_size=2, n_estimators=20, min_child_samples=10, horizons_days=(30, 60, 180)
            ),
            "evaluation": Rules(n_bootstrap=20, capacity=5, refit_months=3),
        }
    )
    tables, log = training_run.load_data(settings, now=datetime(2026, 6, 1, tzinfo=UTC))
    as_of = datetime(2026, 6, 1, tzinfo=UTC)
    past = training_run.build_history(settings, tables, log, as_of)
    judged: list[tuple[Propensity, pl.DataFrame]] = []
    walked = evaluate.evaluate_walk_forward(
        past.panel.snapshots,
        past.contracts,
        settings,
        end=as_of,
        on_fold=lambda model, snapshots: judged.append((model, snapshots)),
    )
    return Walk(walked, past, judged[-1])


@pytest.fixture(scope="module")
def page(walk: Walk) -> str:
    return walk.page()


def section(page: str, key: str) -> str:
    found = re.search(rf'<section id="{key}".*?</section>', page, re.DOTALL)
    assert found, key
    return found[0]


def test_the_verdict_stands_above_all(page: str, walk: Walk) -> None:
    verdict = re.search(r'<p class="verdict">(.*?)</p>', page, re.DOTALL)

    assert verdict
    assert (
        re.sub(r"<[^>]+>", "", verdict[1]).replace("&#39;", "'") == walk.walked.summarize_verdict()
    )
    assert page.index("verdict") < page.index("<section")


def test_every_section_is_there_and_can_be_reached(page: str) -> None:
    assert re.findall(r'<section id="([^"]+)"', page) == list(SECTIONS)
    for key in SECTIONS:
        assert f'<a href="#{key}">' in page


def test_every_chart_is_drawn_once(page: str) -> None:
    assert page.count("<svg") == page.count("<figure") >= 10
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_page_is_one_small_file_without_a_request(page: str) -> None:
    assert len(page.encode()) < 1_000_000
    assert not re.search(r"(?:https?:)?//\w", page)
    assert "<script" not in page


def test_the_page_names_no_account(page: str, walk: Walk) -> None:
    rows = walk.past.tables.accounts.rows
    for name in [*rows["account_id"], *rows["name"]]:
        assert name not in page


def test_the_figures_are_those_of_the_walk(page: str, walk: Walk) -> None:
    mine = walk.walked.metrics[evaluate.MODEL]["auroc"]

    assert f'{mine.value:.3f} <span class="interval">' in section(page, "rankings")
    for ranking in walk.walked.metrics:
        assert ranking in section(page, "rankings")


def test_pushes_of_the_signals_are_the_whole_of_every_score(walk: Walk) -> None:
    model, judged = walk.explained
    _, base = model.compute_contributions(judged)

    found = attribution_summary.summarize_attributions(model, judged)

    assert (found["up"] + found["down"]).sum() + base.mean() == pytest.approx(
        model.predict(judged).margin.mean()
    )
    assert found["size"].to_list() == pytest.approx((found["up"] - found["down"]).to_list())
    assert found["size"].is_sorted(descending=True)


def test_who_was_left_out_is_counted_by_reason(page: str, walk: Walk) -> None:
    counts = walk.past.panel.excluded.group_by("reason").len()

    for reason, count in counts.rows():
        assert re.search(rf"{re.escape(reason)}</th><td>{count:,}</td>", section(page, "left-out"))


def test_the_same_walk_is_the_same_page(page: str, walk: Walk) -> None:
    assert walk.page() == page


@pytest.fixture(scope="module")
def spoiled(walk: Walk) -> str:
    """The page where words from the data are hostile, and the settings hold a secret."""
    excluded = walk.past.panel.excluded.with_columns(reason=pl.lit(HOSTILE))
    mine = walk.walked.settings
    changed = {
        "roles": mine.roles.model_copy(update={"login": (HOSTILE,)}),
        "crm": mine.crm.model_copy(update={"url": "postgresql://u:hush@h/d"}),
    }
    plan = (
        pl.when(pl.col("probability").rank() % 2 == 0).then(pl.lit(HOSTILE)).otherwise(pl.lit("a"))
    )
    walked = replace(
        walk.walked,
        skipped={walk.walked.predictions["cut"][0]: HOSTILE},
        predictions=walk.walked.predictions.with_columns(plan=plan),
        settings=mine.model_copy(update=changed),
    )
    past = replace(walk.past, panel=replace(walk.past.panel, excluded=excluded))
    mine = walk.walked.metrics[evaluate.MODEL]
    champion = ChampionComparison(
        f"The champion is {HOSTILE}.", mine, MetricEstimate(0.05, -0.01, 0.11)
    )
    added = {"auroc": MetricEstimate(0.002, -0.01, 0.014)}
    return evaluation_page.render_evaluation_page(
        walked, past, walk.explained, comparison=champion, control_gains=added
    )


def test_words_from_the_data_are_shown_and_not_obeyed(spoiled: str) -> None:
    assert "<img" not in spoiled
    shown = spoiled.count("&lt;img src=x onerror=alert(1)&gt;")
    assert shown >= 5  # of a reason, a cut, a role, a plan and the champion


def test_the_champion_and_the_controls_are_told_where_they_were_asked_for(
    spoiled: str, page: str
) -> None:
    assert '<th scope="row">champion</th>' in section(spoiled, "rankings")
    assert "+5.0 points (-1.0 to +11.0)" in section(spoiled, "rankings")
    assert "0.002" in section(spoiled, "drivers")
    assert '<th scope="row">champion</th>' not in page
    assert "NPS would have added" not in page


def test_no_secret_of_the_settings_is_shown(spoiled: str) -> None:
    assert "hush" not in spoiled


def test_where_only_one_outcome_is_known_the_sections_say_so(walk: Walk) -> None:
    known = pl.col("expanded").is_not_null()
    never = pl.when(known).then(pl.lit(value=False)).alias("expanded")

    page = walk.with_predictions(never).page()

    assert re.findall(r'<section id="([^"]+)"', page) == list(SECTIONS)
    for key in ("rankings", "probability"):
        assert "Only one outcome is known so far" in section(page, key)
    assert "No cut has judged both outcomes yet." in section(page, "cuts")


def test_where_nothing_is_known_the_page_stands_and_every_section_says_why(walk: Walk) -> None:
    nothing = walk.with_predictions(
        pl.lit(None, pl.Boolean).alias("expanded"),
        pl.lit(None, pl.Int64).alias("days_to_expansion"),
    )

    page = evaluation_page.render_evaluation_page(nothing.walked, nothing.past)

    assert "0 with a known outcome" in page
    for key in ("rankings", "probability"):
        assert "No outcome is known so far" in section(page, key)
    assert "No expansion can be judged yet" in section(page, "dates")
    assert "No model was handed over to be explained." in section(page, "drivers")
