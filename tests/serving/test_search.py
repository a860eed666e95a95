"""``expansion train --trials`` at the command line, on the simulated company."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from data.config import settings
from serving.cli.main import main
from training import registry
from training.tuning import cv_objective

# MLflow's own way with SQLAlchemy.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# Eighty accounts expand rarely, so wide windows and nothing that is judged afterwards.
SEARCHED = """
[outcome]
horizon_days = 90
[model]
ensemble_size = 2
n_estimators = 40
min_child_samples = 10
horizons_days = [30, 90]
[evaluation]
n_bootstrap = 20
capacity = 5
first_as_of = 2100-01-01
"""


@pytest.fixture(scope="module")
def searched(road: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The company of the road, with other settings and a state folder of its own."""
    folder = tmp_path_factory.mktemp("searched") / "company"
    shutil.copytree(road.folder, folder, ignore=shutil.ignore_patterns("ml*", "*.db", "*.lock"))
    text = (folder / "expansion.toml").read_text().split("[outcome]")[0]
    (folder / "expansion.toml").write_text(text + SEARCHED)
    company = type(road)(folder)
    company.said["two"] = company.run("train", "--trials", 2, "--json")
    return company


def _newest(searched: Any) -> registry.RegisteredModel:
    """The last model trained, which nothing has judged: no as-of is."""
    return registry.load_alias(settings.load_settings(searched.config), registry.CHALLENGER)


def test_the_search_is_part_of_the_answer_and_of_the_card(searched: Any) -> None:
    told = searched.told("two")

    newest = _newest(searched)
    assert told["search"] == newest.card["search"]
    assert told["search"]["trials"] == 2
    assert told["settings"] == newest.card["settings"]
    assert told["settings"]["ensemble_size"] == 2
    assert "optuna" not in searched.said["two"].stderr.lower()
    assert "search: 2 done" in searched.said["two"].stderr


def test_a_second_run_goes_on_and_says_so(searched: Any) -> None:
    result = searched.run("train", "--trials", 3)

    assert result.exit_code == 0, result.output
    assert "Trials of this search that are done already: 2." in result.stderr
    assert _newest(searched).card["search"]["trials"] == 3
    assert "The settings stay as they stand: " in result.stdout or "\nTrial " in result.stdout


def test_an_interrupted_search_registers_nothing_and_says_how_to_go_on(
    searched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cv_objective, "compute_account_losses", interrupted)
    before = _newest(searched).version

    result = searched.run("train", "--trials", 9, "--json")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "the search was interrupted after" in result.stderr.splitlines()[-1]
    assert "nothing was registered; the same command with --as-of" in result.stderr
    assert _newest(searched).version == before


def test_a_company_too_small_to_search_is_trained_as_it_stands(road: Any, tmp_path: Path) -> None:
    shutil.copytree(road.folder, tmp_path / "company", ignore=shutil.ignore_patterns("ml*", "*.db"))
    told = type(road)(tmp_path / "company").ask("train", "--trials", 5)

    assert told["search"]["trials"] == 0
    assert told["search"]["why"].startswith(
        "The settings stay as they stand, and were not searched"
    )
    assert told["settings"]["n_estimators"] == 40


@pytest.mark.parametrize("trials", ["0", "-3", "many"])
def test_trials_are_a_number_from_one_on(trials: str) -> None:
    result: Result = CliRunner().invoke(main, ["train", "--trials", trials])

    assert result.exit_code == 2
    assert "Invalid value for '--trials'" in result.stderr


def test_a_file_that_holds_no_studies_is_refused_before_the_work(
    tmp_path: Path, refused: Callable[[Result], str]
) -> None:
    (tmp_path / "search.db").write_text("some notes\n" * 100)
    (tmp_path / "expansion.toml").write_text("state = '.'")

    result = CliRunner().invoke(
        main, ["train", "-c", str(tmp_path / "expansion.toml"), "--trials", "2"]
    )

    assert "search.db: file is not a database. Put that right" in refused(result)
