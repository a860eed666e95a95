"""A search is resumable and reproducible, keeps studies apart, and prefers the current settings."""

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import polars as pl
import pytest
import sqlalchemy as sa

from data.config.settings import ModelConfig, Settings
from data.errors import SearchError
from tests.unit.training.conftest import change_section
from training.registry.run_record import RunRecord
from training.tuning import cv_objective, search, search_space, study_store
from training.tuning.cv_objective import InnerCV, InnerFold
from training.tuning.search import SearchResult

pytestmark = pytest.mark.long


@dataclass
class SearchCase:
    """A history, settings with their own state folder, and the messages of the search."""

    past: Any
    settings: Settings
    messages: list[str] = field(default_factory=list)
    steps: list[tuple[str, int, int]] = field(default_factory=list)

    def search(self, trials: int, **changes: Any) -> SearchResult:
        options = {
            "progress": lambda *step: self.steps.append(step),
            "notify": self.messages.append,
        }
        return search.run_search(self.past, self.settings, trials=trials, **options | changes)

    def store_trials_at(self, url: str) -> None:
        self.settings = change_section(self.settings, "registry", tuning_url=url)

    def study(self) -> optuna.Study:
        (study,) = self.studies()
        return study

    def studies(self) -> list[optuna.Study]:
        url = f"sqlite:///{self.settings.state_folder / 'search.db'}"
        names = optuna.get_all_study_names(url)
        return [optuna.load_study(study_name=name, storage=url) for name in names]


Make = Callable[..., SearchCase]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without trials, because creating its tables takes longer than most tests."""
    file = tmp_path_factory.mktemp("empty") / "search.db"
    optuna.storages.RDBStorage(f"sqlite:///{file}").engine.dispose()
    return file


@pytest.fixture(scope="module")
def make(
    history: Any, settings: Settings, empty: Path, tmp_path_factory: pytest.TempPathFactory
) -> Make:
    def make_case(**model: Any) -> SearchCase:
        past = SimpleNamespace(
            as_of=history.end,
            panel=SimpleNamespace(snapshots=history.snapshots),
            contracts=history.contracts,
        )
        case_settings = change_section(settings, "model", **model).model_copy(
            update={"base": tmp_path_factory.mktemp("company")}
        )
        # No evaluation follows, so the search may use the whole history.
        case_settings = change_section(case_settings, "evaluation", first_as_of=history.end.date())
        case_settings.state_folder.mkdir(parents=True)
        shutil.copy(empty, case_settings.state_folder)
        return SearchCase(past, case_settings)

    return make_case


def bowl(fold: InnerFold, inner_cv: InnerCV, model: ModelConfig) -> Any:
    """Return a loss without a model: lowest at a learning rate of .03 and a ridge penalty of 30."""
    rng = np.random.default_rng(fold.cutoff.toordinal())
    noise = rng.uniform(0.5, 1.5, inner_cv.accounts)
    height = np.log(model.learning_rate / 0.03) ** 2 + 0.1 * np.log(model.ridge_penalty / 30) ** 2
    return noise * (0.5 + 0.05 * height) / inner_cv.accounts


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv_objective, "compute_account_losses", bowl)


@pytest.fixture(scope="module")
def whole(make: Make) -> SearchResult:
    """Result of nine trials in one run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cv_objective, "compute_account_losses", bowl)
        return make().search(9)


def are_equal(one: SearchResult, other: SearchResult) -> bool:
    return (one.settings.model, one.summary) == (other.settings.model, other.summary)


def interrupt_after(after: int) -> Callable[..., Any]:
    """Return the bowl loss that raises KeyboardInterrupt after a number of folds."""
    folds_left = iter(range(after))

    def losses(*given: Any) -> Any:
        if next(folds_left, None) is None:
            raise KeyboardInterrupt
        return bowl(*given)

    return losses


def test_repeating_a_search_gives_the_same_result(
    make: Make, whole: SearchResult, cheap: None
) -> None:
    assert are_equal(make().search(9), whole)
    assert whole.summary["trials"] == 9
    assert whole.summary["best_loss"] < whole.summary["reference_loss"]
    assert not whole.summary["unchanged"]


def test_another_seed_tries_other_settings(make: Make, cheap: None) -> None:
    one, other = make().search(3), make(seed=8).search(3)

    assert one.summary["best_settings"] != other.summary["best_settings"]


@pytest.mark.parametrize("first", [1, 2, 7])
def test_a_resumed_search_gives_the_result_of_an_uninterrupted_one(
    first: int, make: Make, whole: SearchResult, cheap: None
) -> None:
    company = make()

    company.search(first)
    result = company.search(9)

    assert are_equal(result, whole)
    assert company.messages == [f"Finished trials of this search: {first}."]
    assert company.steps[-1] == ("search", 9, 9)
    assert len(company.study().trials) == 9


@pytest.mark.parametrize("folds", [0, 2, 4, 16])
def test_an_interrupted_trial_does_not_count_and_is_repeated(
    folds: int, make: Make, whole: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = make()
    monkeypatch.setattr(cv_objective, "compute_account_losses", interrupt_after(folds))

    with pytest.raises(SearchError) as error:
        company.search(9)

    states = [trial.state.name for trial in company.study().trials]
    assert states[-1] == "FAIL"
    assert str(error.value) == (
        f"the search was interrupted after {len(states) - 1} of 9 trials, and nothing was"
        f" registered; the same command with --as-of {company.past.as_of:%Y-%m-%d} resumes"
        " it."
    )
    monkeypatch.setattr(cv_objective, "compute_account_losses", bowl)
    assert are_equal(company.search(9), whole)


def test_trials_in_postgresql_are_resumed(
    make: Make, whole: SearchResult, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = make()
    company.settings.state_folder.joinpath("search.db").unlink()
    company.store_trials_at(postgres.replace("postgresql:", "postgresql+psycopg:"))
    monkeypatch.setattr(cv_objective, "compute_account_losses", interrupt_after(5))
    with pytest.raises(SearchError, match="the search was interrupted after"):
        company.search(9)
    monkeypatch.setattr(cv_objective, "compute_account_losses", bowl)

    result = company.search(9)

    assert are_equal(result, whole)
    with study_store.open_storage(company.settings) as storage:
        (name,) = optuna.get_all_study_names(storage)
        stored_study = optuna.load_study(study_name=name, storage=storage)
        assert len(study_store.list_finished_trials(stored_study)) == 9
    assert not company.settings.state_folder.joinpath("search.db").exists()


def test_a_full_disk_raises_an_error_and_earlier_trials_count(
    make: Make, whole: SearchResult, cheap: None
) -> None:
    company = make()
    pages = company.settings.state_folder.joinpath("search.db").stat().st_size // 4096

    def limit_pages(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 3}")

    sa.event.listen(sa.Engine, "connect", limit_pages)
    try:
        with pytest.raises(SearchError, match="database or disk is full") as error:
            company.search(9)
    finally:
        sa.event.remove(sa.Engine, "connect", limit_pages)

    assert "\n" not in str(error.value)
    before = len(study_store.list_finished_trials(company.study()))
    assert 0 < before < 9
    assert are_equal(company.search(9), whole)
    assert company.messages[-1] == f"Finished trials of this search: {before}."


def test_a_trial_that_was_killed_does_not_count(
    make: Make, whole: SearchResult, cheap: None
) -> None:
    company = make()
    company.search(3)
    company.study().ask()

    assert are_equal(company.search(9), whole)
    assert [trial.state.name for trial in company.study().trials].count("RUNNING") == 1


def test_more_stored_trials_than_requested_are_all_used(make: Make, cheap: None) -> None:
    company = make()

    assert are_equal(company.search(3), company.search(2))


def test_the_settings_come_first_and_the_champions_second(make: Make, cheap: None) -> None:
    company = make()
    champion = company.settings.model.model_copy(update={"ridge_penalty": 7.0, "num_leaves": 5})

    company.search(3, champion={"settings": champion.model_dump(mode="json")})

    first, second, _ = company.study().trials
    assert first.params == search_space.clip_settings(company.settings.model)
    assert second.params == search_space.clip_settings(champion)


@pytest.mark.parametrize(
    "card",
    [None, {}, {"settings": None}, {"settings": {"trees": 3}}, {"settings": {"n_estimators": 0}}],
)
def test_a_champion_with_unknown_settings_is_ignored(card: Any) -> None:
    assert search.build_initial_trials(ModelConfig(), card) == [
        search_space.clip_settings(ModelConfig())
    ]


def test_current_settings_outside_the_space_are_evaluated_unchanged(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[ModelConfig] = []
    monkeypatch.setattr(
        cv_objective,
        "compute_account_losses",
        lambda *given: (evaluated.append(given[-1]), bowl(*given))[1],
    )
    company = make(n_estimators=5000, reg_lambda=0.0, learning_rate=0.03, ridge_penalty=30.0)

    result = company.search(2)

    assert evaluated[0] == company.settings.model
    assert result.settings == company.settings
    assert result.summary["unchanged"]
    assert result.summary["reason"].startswith(
        "The settings are unchanged: none of 2 trials has a lower loss"
    )


def test_a_trial_worse_than_the_median_is_pruned_and_counts(make: Make, cheap: None) -> None:
    result = make().search(20)

    assert result.summary["trials"] == 20
    assert 0 < result.summary["pruned"] < 15


@pytest.mark.parametrize("other", ["features", "search space", "settings", "data"])
def test_trials_of_another_search_are_not_mixed_in(
    other: str, make: Make, cheap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = make()
    company.search(3)
    if other == "features":
        monkeypatch.setattr(study_store, "INPUTS", study_store.INPUTS[:-1])
    elif other == "search space":
        monkeypatch.setattr(study_store, "OBJECTIVE_VERSION", study_store.OBJECTIVE_VERSION - 1)
    elif other == "settings":
        company.settings = change_section(company.settings, "model", ensemble_size=4)
    else:
        seats = pl.col("seat_utilization") * 2
        company.past.panel.snapshots = company.past.panel.snapshots.with_columns(seats)

    result = company.search(2)

    assert result.summary["trials"] == 2
    (message,) = company.messages
    assert message.startswith("The stored trials of this as-of have different ")
    assert other in message
    assert message.endswith(": starting a new search.")
    assert sorted(len(study.trials) for study in company.studies()) == [2, 3]


def test_the_search_uses_no_evaluation_data(make: Make, cheap: None) -> None:
    company, with_changed_future = make(), make()
    first = company.past.as_of.date() - timedelta(days=90)
    for each in (company, with_changed_future):
        each.settings = change_section(each.settings, "evaluation", first_as_of=first)
    with_changed_future.past.panel.snapshots = (
        with_changed_future.past.panel.snapshots.with_columns(
            seat_utilization=pl.when(pl.col("as_of") < first).then("seat_utilization")
        )
    )
    with_changed_future.past.contracts = with_changed_future.past.contracts.filter(
        pl.col("known").dt.date() < first
    )

    one, other = company.search(3), with_changed_future.search(3)

    assert are_equal(one, other)
    assert one.summary["cutoff"] == str(first)


def test_a_history_too_short_for_a_search_keeps_the_settings(make: Make, cheap: None) -> None:
    company = make()
    company.past.contracts = company.past.contracts.filter(pl.lit(value=False))

    result = company.search(3)

    assert result.settings == company.settings
    assert (result.summary["unchanged"], result.summary["trials"]) == (True, 0)
    assert result.summary["reason"].startswith("The settings are unchanged and were not searched: ")
    assert not company.studies()


def spoil_as_text(file: Path) -> None:
    file.write_text("No study at all, but a page of notes that somebody left here.\n" * 20)


def spoil_as_tables(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("create table studies (name text)")
    database.close()


@pytest.mark.parametrize("spoil", [spoil_as_text, spoil_as_tables, Path.mkdir])
def test_an_invalid_study_file_raises_a_one_line_error(
    spoil: Callable[[Path], None], make: Make, cheap: None
) -> None:
    company = make()
    file = company.settings.state_folder / "search.db"
    file.unlink()
    spoil(file)

    with pytest.raises(SearchError) as error:
        company.search(2)

    assert str(error.value).startswith(f"the trials of the search cannot be stored in {file}: ")
    assert str(error.value).endswith("and run again; nothing was registered.")
    assert "\n" not in str(error.value)


def test_a_readonly_database_raises_an_error(make: Make, cheap: None) -> None:
    company = make()
    company.search(1)
    file = company.settings.state_folder / "search.db"
    company.store_trials_at(f"sqlite:///file:{file}?mode=ro&uri=true")

    with pytest.raises(SearchError, match="attempt to write a readonly database"):
        company.search(2)


def test_a_password_is_not_shown(make: Make, cheap: None) -> None:
    company = make()
    company.store_trials_at("postgresql+nodriver://me:secret@nowhere/trials")

    with pytest.raises(SearchError, match="postgresql\\+nodriver://nowhere/trials") as error:
        company.search(2)

    assert "secret" not in str(error.value)


def test_optuna_prints_nothing(make: Make, cheap: None, capfd: pytest.CaptureFixture[str]) -> None:
    make().search(2)

    assert capfd.readouterr() == ("", "")


def test_two_real_trials_are_recorded_in_the_card_and_the_run(make: Make) -> None:
    company = make(ensemble_size=2)

    result = company.search(2)
    training_result, record = result.annotate_run(
        SimpleTrained({"verdict": "Good."}),  # type: ignore[arg-type]
        RunRecord("as of then", note="A page."),
    )

    summary = training_result.card["search"]
    assert repr(result) == f"SearchResult({summary['reason']!r})"
    assert summary["reason"] in record.note
    assert record.tags["search"] == summary["reason"]
    assert record.parameters["search.trials"] == 2
    assert record.overall_metrics["search/reference_loss"] == pytest.approx(
        summary["reference_loss"]
    )
    assert 0.3 < summary["reference_loss"] < 1
    assert summary["best_loss"] <= summary["reference_loss"]
    assert result.settings.model_copy(update={"model": company.settings.model}) == company.settings


@dataclass(frozen=True)
class SimpleTrained:
    """The part of a training result that the search annotates."""

    card: dict[str, Any]


def test_the_selection_is_described_in_a_sentence() -> None:
    summary = {
        "trials": 9,
        "unchanged": False,
        "selected": 4,
        "best": 7,
        "loss": 0.81,
        "reference_loss": 0.85,
        "best_loss": 0.80,
        "best_gain": 0.05,
        "best_gain_standard_error": 0.02,
    }

    assert search_space.summarize_selection(summary) == (
        "Trial 4 of 9 is selected with a loss of 0.8100: within one standard error of the best,"
        " trial 7, and nearer to the current settings. The best has a loss of 0.8000 against"
        " 0.8500, a gain of 0.0500 with a standard error of 0.0200."
    )
    assert "is selected, the best: it has a loss of 0.8000" in search_space.summarize_selection(
        {**summary, "selected": 7}
    )
    assert search_space.summarize_selection({**summary, "unchanged": True}).endswith(
        "which is within one standard error."
    )
