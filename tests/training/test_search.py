"""A search goes on where it stopped, repeats to the byte, mixes nothing, and keeps what is good."""

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
from training.registry.run_record import RunRecord
from training.tuning import cv_objective, search, search_space, study_store
from training.tuning.cv_objective import InnerCV, InnerFold
from training.tuning.search import SearchResult

pytestmark = pytest.mark.long


@dataclass
class Company:
    """A past, settings with a state folder of their own, and what was said of the search."""

    past: Any
    settings: Settings
    said: list[str] = field(default_factory=list)
    steps: list[tuple[str, int, int]] = field(default_factory=list)

    def search(self, trials: int, **changes: Any) -> SearchResult:
        told = {"progress": lambda *step: self.steps.append(step), "say": self.said.append}
        return search.run_search(self.past, self.settings, trials=trials, **told | changes)

    def study(self) -> optuna.Study:
        (study,) = self.studies()
        return study

    def studies(self) -> list[optuna.Study]:
        url = f"sqlite:///{self.settings.state_folder / 'search.db'}"
        names = optuna.get_all_study_names(url)
        return [optuna.load_study(study_name=name, storage=url) for name in names]


Make = Callable[..., Company]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without trials: making its tables takes longer than most tests."""
    file = tmp_path_factory.mktemp("empty") / "search.db"
    optuna.storages.RDBStorage(f"sqlite:///{file}").engine.dispose()
    return file


@pytest.fixture(scope="module")
def make(
    history: Any, settings: Settings, empty: Path, tmp_path_factory: pytest.TempPathFactory
) -> Make:
    def made(**model: Any) -> Company:
        past = SimpleNamespace(
            as_of=history.end,
            panel=SimpleNamespace(snapshots=history.snapshots),
            contracts=history.contracts,
        )
        chosen = settings.model_copy(
            update={
                "base": tmp_path_factory.mktemp("company"),
                "model": settings.model.model_copy(update=model),
                # Nothing is judged afterwards: the whole past may be looked at.
                "evaluation": settings.evaluation.model_copy(
                    update={"first_as_of": history.end.date()}
                ),
            }
        )
        chosen.state_folder.mkdir(parents=True)
        shutil.copy(empty, chosen.state_folder)
        return Company(past, chosen)

    return made


def bowl(fold: InnerFold, judged: InnerCV, model: ModelConfig) -> Any:
    """A loss without any model: lowest at a learning rate of .03 and a ridge of 30."""
    rng = np.random.default_rng(fold.cutoff.toordinal())
    noise = rng.uniform(0.5, 1.5, judged.accounts)
    height = np.log(model.learning_rate / 0.03) ** 2 + 0.1 * np.log(model.ridge_penalty / 30) ** 2
    return noise * (0.5 + 0.05 * height) / judged.accounts


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv_objective, "compute_account_losses", bowl)


@pytest.fixture(scope="module")
def whole(make: Make) -> SearchResult:
    """What comes of nine trials at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cv_objective, "compute_account_losses", bowl)
        return make().search(9)


def same(one: SearchResult, other: SearchResult) -> bool:
    return (one.settings.model, one.summary) == (other.settings.model, other.summary)


def stopping(after: int) -> Callable[..., Any]:
    """As the bowl, but somebody presses Ctrl-C in the fold after so many."""
    judged = iter(range(after))

    def losses(*given: Any) -> Any:
        if next(judged, None) is None:
            raise KeyboardInterrupt
        return bowl(*given)

    return losses


def test_the_same_trials_from_scratch_give_the_same(
    make: Make, whole: SearchResult, cheap: None
) -> None:
    assert same(make().search(9), whole)
    assert whole.summary["trials"] == 9
    assert whole.summary["best_loss"] < whole.summary["usual_loss"]
    assert not whole.summary["kept"]


def test_another_seed_tries_others(make: Make, cheap: None) -> None:
    one, other = make().search(3), make(seed=8).search(3)

    assert one.summary["best_settings"] != other.summary["best_settings"]


@pytest.mark.parametrize("first", [1, 2, 7])
def test_going_on_ends_as_if_it_had_been_one_search(
    first: int, make: Make, whole: SearchResult, cheap: None
) -> None:
    company = make()

    company.search(first)
    found = company.search(9)

    assert same(found, whole)
    assert company.said == [f"Trials of this search that are done already: {first}."]
    assert company.steps[-1] == ("search", 9, 9)
    assert len(company.study().trials) == 9


@pytest.mark.parametrize("folds", [0, 2, 4, 16])
def test_an_interrupted_trial_does_not_count_and_is_done_again(
    folds: int, make: Make, whole: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = make()
    monkeypatch.setattr(cv_objective, "compute_account_losses", stopping(folds))

    with pytest.raises(SearchError) as told:
        company.search(9)

    states = [trial.state.name for trial in company.study().trials]
    assert states[-1] == "FAIL"
    assert str(told.value) == (
        f"the search was interrupted after {len(states) - 1} of 9 trials, and nothing was"
        f" registered; the same command with --as-of {company.past.as_of:%Y-%m-%d} goes on from"
        " there."
    )
    monkeypatch.setattr(cv_objective, "compute_account_losses", bowl)
    assert same(company.search(9), whole)


def test_trials_that_are_kept_in_postgresql_are_gone_on_with(
    make: Make, whole: SearchResult, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = make()
    company.settings.state_folder.joinpath("search.db").unlink()
    url = postgres.replace("postgresql:", "postgresql+psycopg:")
    where = company.settings.registry.model_copy(update={"tuning_url": url})
    company.settings = company.settings.model_copy(update={"registry": where})
    monkeypatch.setattr(cv_objective, "compute_account_losses", stopping(5))
    with pytest.raises(SearchError, match="the search was interrupted after"):
        company.search(9)
    monkeypatch.setattr(cv_objective, "compute_account_losses", bowl)

    found = company.search(9)

    assert same(found, whole)
    with study_store.open_storage(company.settings) as storage:
        (name,) = optuna.get_all_study_names(storage)
        kept = optuna.load_study(study_name=name, storage=storage)
        assert len(study_store.list_finished_trials(kept)) == 9
    assert not company.settings.state_folder.joinpath("search.db").exists()


def test_a_disk_that_fills_is_told_and_the_trials_before_it_count(
    make: Make, whole: SearchResult, cheap: None
) -> None:
    company = make()
    pages = company.settings.state_folder.joinpath("search.db").stat().st_size // 4096

    def small(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 3}")

    sa.event.listen(sa.Engine, "connect", small)
    try:
        with pytest.raises(SearchError, match="database or disk is full") as told:
            company.search(9)
    finally:
        sa.event.remove(sa.Engine, "connect", small)

    assert "\n" not in str(told.value)
    before = len(study_store.list_finished_trials(company.study()))
    assert 0 < before < 9
    assert same(company.search(9), whole)
    assert company.said[-1] == f"Trials of this search that are done already: {before}."


def test_a_trial_that_was_killed_does_not_count(
    make: Make, whole: SearchResult, cheap: None
) -> None:
    company = make()
    company.search(3)
    company.study().ask()

    assert same(company.search(9), whole)
    assert [trial.state.name for trial in company.study().trials].count("RUNNING") == 1


def test_more_trials_than_asked_for_are_all_used(make: Make, cheap: None) -> None:
    company = make()

    assert same(company.search(3), company.search(2))


def test_the_settings_come_first_and_the_champions_second(make: Make, cheap: None) -> None:
    company = make()
    champion = company.settings.model.model_copy(update={"ridge_penalty": 7.0, "num_leaves": 5})

    company.search(3, champion={"settings": champion.model_dump(mode="json")})

    first, second, _ = company.study().trials
    assert first.params == search_space.encode_settings(company.settings.model)
    assert second.params == search_space.encode_settings(champion)


@pytest.mark.parametrize(
    "card",
    [None, {}, {"settings": None}, {"settings": {"trees": 3}}, {"settings": {"n_estimators": 0}}],
)
def test_a_champion_whose_settings_are_not_known_is_left_out(card: Any) -> None:
    assert search._build_initial_trials(ModelConfig(), card) == [
        search_space.encode_settings(ModelConfig())
    ]


def test_settings_outside_the_space_are_judged_exactly_as_they_stand(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ModelConfig] = []
    monkeypatch.setattr(
        cv_objective,
        "compute_account_losses",
        lambda *given: (seen.append(given[-1]), bowl(*given))[1],
    )
    company = make(rounds=5000, l2=0.0, learning_rate=0.03, ridge=30.0)

    found = company.search(2)

    assert seen[0] == company.settings.model
    assert found.settings == company.settings
    assert found.summary["kept"]
    assert found.summary["why"].startswith(
        "The settings stay as they stand: none of 2 trials loses"
    )


def test_a_trial_that_does_worse_than_half_of_the_others_is_given_up_and_counts(
    make: Make, cheap: None
) -> None:
    found = make().search(20)

    assert found.summary["trials"] == 20
    assert 0 < found.summary["pruned"] < 15


@pytest.mark.parametrize("other", ["features", "search space", "settings", "data"])
def test_trials_of_another_search_are_not_mixed_in(
    other: str, make: Make, cheap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = make()
    company.search(3)
    if other == "features":
        monkeypatch.setattr(study_store, "INPUTS", study_store.INPUTS[:-1])
    elif other == "search space":
        monkeypatch.setattr(study_store, "_VERSION", study_store._VERSION - 1)
    elif other == "settings":
        members = company.settings.model.model_copy(update={"ensemble_size": 4})
        company.settings = company.settings.model_copy(update={"model": members})
    else:
        seats = pl.col("seat_utilization") * 2
        company.past.panel.snapshots = company.past.panel.snapshots.with_columns(seats)

    found = company.search(2)

    assert found.summary["trials"] == 2
    (said,) = company.said
    assert said.startswith("The trials kept for this as-of are of other ")
    assert other in said
    assert said.endswith(": a new search is begun.")
    assert sorted(len(study.trials) for study in company.studies()) == [2, 3]


def test_nothing_is_looked_at_that_the_model_is_judged_by(make: Make, cheap: None) -> None:
    company, spoiled = make(), make()
    first = company.past.as_of.date() - timedelta(days=90)
    for each in (company, spoiled):
        rules = each.settings.evaluation.model_copy(update={"first_as_of": first})
        each.settings = each.settings.model_copy(update={"evaluation": rules})
    spoiled.past.panel.snapshots = spoiled.past.panel.snapshots.with_columns(
        seat_utilization=pl.when(pl.col("as_of") < first).then("seat_utilization")
    )
    spoiled.past.contracts = spoiled.past.contracts.filter(pl.col("known").dt.date() < first)

    one, other = company.search(3), spoiled.search(3)

    assert same(one, other)
    assert one.summary["known_before"] == str(first)


def test_a_history_too_short_to_compare_on_keeps_the_settings(make: Make, cheap: None) -> None:
    company = make()
    company.past.contracts = company.past.contracts.filter(pl.lit(value=False))

    found = company.search(3)

    assert found.settings == company.settings
    assert (found.summary["kept"], found.summary["trials"]) == (True, 0)
    assert found.summary["why"].startswith(
        "The settings stay as they stand, and were not searched: "
    )
    assert not company.studies()


def spoil_as_text(file: Path) -> None:
    file.write_text("No study at all, but a page of notes that somebody left here.\n" * 20)


def spoil_as_tables(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("create table studies (name text)")
    database.close()


@pytest.mark.parametrize("spoil", [spoil_as_text, spoil_as_tables, Path.mkdir])
def test_a_file_that_holds_no_studies_is_told_in_one_sentence(
    spoil: Callable[[Path], None], make: Make, cheap: None
) -> None:
    company = make()
    file = company.settings.state_folder / "search.db"
    file.unlink()
    spoil(file)

    with pytest.raises(SearchError) as told:
        company.search(2)

    assert str(told.value).startswith(f"the trials of the search cannot be kept in {file}: ")
    assert str(told.value).endswith("and run again; nothing was registered.")
    assert "\n" not in str(told.value)


def test_a_database_that_may_not_be_written_is_told_in_one_sentence(
    make: Make, cheap: None
) -> None:
    company = make()
    company.search(1)
    file = company.settings.state_folder / "search.db"
    url = f"sqlite:///file:{file}?mode=ro&uri=true"
    where = company.settings.registry.model_copy(update={"tuning_url": url})
    company.settings = company.settings.model_copy(update={"registry": where})

    with pytest.raises(SearchError, match="attempt to write a readonly database"):
        company.search(2)


def test_a_password_is_not_told(make: Make, cheap: None) -> None:
    company = make()
    where = company.settings.registry.model_copy(
        update={"tuning_url": "postgresql+nodriver://me:secret@nowhere/trials"}
    )
    company.settings = company.settings.model_copy(update={"registry": where})

    with pytest.raises(SearchError, match="postgresql\\+nodriver://nowhere/trials") as told:
        company.search(2)

    assert "secret" not in str(told.value)


def test_optuna_says_nothing(make: Make, cheap: None, capfd: pytest.CaptureFixture[str]) -> None:
    make().search(2)

    assert capfd.readouterr() == ("", "")


def test_two_real_trials_are_told_to_the_card_and_to_the_run(make: Make) -> None:
    company = make(members=2)

    found = company.search(2)
    trained, shown = found.annotate_run(
        SimpleTrained({"verdict": "Good."}),  # type: ignore[arg-type]
        RunRecord("as of then", note="A page."),
    )

    about = trained.card["search"]
    assert repr(found) == f"Found({about['why']!r})"
    assert about["why"] in shown.note
    assert shown.tags["search"] == about["why"]
    assert shown.parameters["search.trials"] == 2
    assert shown.overall_metrics["search/usual_loss"] == pytest.approx(about["usual_loss"])
    assert 0.3 < about["usual_loss"] < 1
    assert about["best_loss"] <= about["usual_loss"]
    assert found.settings.model_copy(update={"model": company.settings.model}) == company.settings


@dataclass(frozen=True)
class SimpleTrained:
    """As much of a training as is noted on."""

    about: dict[str, Any]


def test_what_was_chosen_is_told_in_words() -> None:
    about = {
        "trials": 9,
        "kept": False,
        "taken": 4,
        "best": 7,
        "loss": 0.81,
        "usual_loss": 0.85,
        "best_loss": 0.80,
        "best_gain": 0.05,
        "best_gain_standard_error": 0.02,
    }

    assert search.choice.summarize_selection(about) == (
        "Trial 4 of 9 is taken, which loses 0.8100: within a standard error of the best, trial 7,"
        " and nearer to the settings as they stand. The best loses 0.8000 against 0.8500, a gain of"
        " 0.0500 with a standard error of 0.0200."
    )
    assert "is taken, the best: it loses 0.8000" in search.choice.summarize_selection(
        {**about, "taken": 7}
    )
    assert search.choice.summarize_selection({**about, "kept": True}).endswith(
        "which is no more than that."
    )
