"""``expansion train --trials`` at the command line, on the simulated company."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from data.config import settings
from serving.cli.main import main
from training import registry
from training.tuning import cv_objective

# MLflow uses deprecated SQLAlchemy calls.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# Eighty accounts expand rarely: use a long horizon, and no evaluation after the search.
SEARCH_SETTINGS = """
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
def searched_company(trained_company: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Copy the trained company with other settings and its own state folder."""
    folder = tmp_path_factory.mktemp("searched") / "company"
    company = trained_company.copy(folder, "ml*", "*.db", "*.lock")
    text = company.config.read_text().split("[outcome]")[0]
    company.config.write_text(text + SEARCH_SETTINGS)
    company.results["two"] = company.run("train", "--trials", 2, "--json")
    return company


def load_newest(searched_company: Any) -> registry.RegisteredModel:
    """Load the latest trained model, which has not been evaluated."""
    return registry.load_alias(settings.load_settings(searched_company.config), registry.CHALLENGER)


def test_the_search_is_part_of_the_output_and_the_card(searched_company: Any) -> None:
    payload = searched_company.result("two")

    model = load_newest(searched_company)
    assert payload["search"] == model.card["search"]
    assert payload["search"]["trials"] == 2
    assert payload["settings"] == model.card["settings"]
    assert payload["settings"]["ensemble_size"] == 2
    assert "optuna" not in searched_company.results["two"].stderr.lower()
    assert "search: 2 done" in searched_company.results["two"].stderr


def test_a_second_run_resumes_the_search(searched_company: Any) -> None:
    result = searched_company.run("train", "--trials", 3)

    assert result.exit_code == 0, result.output
    assert "Finished trials of this search: 2." in result.stderr
    assert load_newest(searched_company).card["search"]["trials"] == 3
    assert "The settings are unchanged: " in result.stdout or "\nTrial " in result.stdout


def test_an_interrupted_search_registers_nothing_and_explains_how_to_resume(
    searched_company: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cv_objective, "compute_account_losses", interrupt)
    before = load_newest(searched_company).version

    result = searched_company.run("train", "--trials", 9, "--json")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "the search was interrupted after" in result.stderr.splitlines()[-1]
    assert "nothing was registered; the same command with --as-of" in result.stderr
    assert load_newest(searched_company).version == before


def test_a_company_too_small_to_search_keeps_its_settings(
    trained_company: Any, tmp_path: Path
) -> None:
    company = trained_company.copy(tmp_path / "company", "ml*", "*.db")

    payload = company.run_json("train", "--trials", 5)

    assert payload["search"]["trials"] == 0
    assert payload["search"]["reason"].startswith(
        "The settings are unchanged and were not searched"
    )
    assert payload["settings"]["n_estimators"] == 40


@pytest.mark.parametrize("trials", ["0", "-3", "many"])
def test_trials_must_be_a_positive_number(trials: str) -> None:
    result: Result = CliRunner().invoke(main, ["train", "--trials", trials])

    assert result.exit_code == 2
    assert "Invalid value for '--trials'" in result.stderr


def test_an_invalid_study_file_is_rejected_before_training(
    tmp_path: Path, error_message: Callable[[Result], str]
) -> None:
    (tmp_path / "search.db").write_text("some notes\n" * 100)
    (tmp_path / "expansion.toml").write_text("state = '.'")

    result = CliRunner().invoke(
        main, ["train", "-c", str(tmp_path / "expansion.toml"), "--trials", "2"]
    )

    assert "search.db: file is not a database. Repair or move it" in error_message(result)
