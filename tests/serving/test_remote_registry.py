"""The weekly road with the models on a server: train and score through http alone."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    # MLflow's own way with SQLAlchemy.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def remote(road: Any, mlflow_server: Any, tmp_path: Path) -> Any:
    """The simulated company, with its registry at a URL and a state folder of its own."""
    company = type(road)(tmp_path / "company")
    company.folder.mkdir()
    for file in road.folder.iterdir():
        if file.name in {"events", "subscriptions.parquet", "accounts.parquet", "users.parquet"}:
            (company.folder / file.name).symlink_to(file)
    text = road.config.read_text()
    company.config.write_text(f'{text}\n[registry]\ntracking_uri = "{mlflow_server.url}"\n')
    return company


def test_what_is_trained_and_scored_through_a_server_is_what_a_folder_gives(
    road: Any, remote: Any
) -> None:
    trained = remote.ask("train", "--no-promote")
    remote.ask("promote", "--force", "the tests read a model's list")
    scored = remote.ask("score")

    assert trained["verdict"] == road.told("train")["verdict"]
    assert scored["listed"] == road.told("score")["listed"]
    assert not list(remote.folder.rglob("mlflow.db"))
    mine, theirs = (
        [(row["account_id"], row["probability"]) for row in company["accounts"]]
        for company in (remote.shown(), road.told("show"))
    )
    assert mine == theirs
