"""Weekly job with the model registry on a server: train and score over HTTP."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    # MLflow uses deprecated SQLAlchemy calls.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def remote(trained_company: Any, mlflow_server: Any, tmp_path: Path) -> Any:
    """Copy the simulated company with a remote registry and its own state folder."""
    company = type(trained_company)(tmp_path / "company")
    company.folder.mkdir()
    for file in trained_company.folder.iterdir():
        if file.name in {"events", "subscriptions.parquet", "accounts.parquet", "users.parquet"}:
            (company.folder / file.name).symlink_to(file)
    text = trained_company.config.read_text()
    company.config.write_text(f'{text}\n[registry]\ntracking_uri = "{mlflow_server.url}"\n')
    return company


def test_a_server_registry_gives_the_same_result_as_a_local_one(
    trained_company: Any, remote: Any
) -> None:
    trained = remote.run_json("train", "--no-promote")
    remote.run_json("promote", "--force", "the tests need a model's list")
    scored = remote.run_json("score")

    assert trained["verdict"] == trained_company.result("train")["verdict"]
    assert scored["listed"] == trained_company.result("score")["listed"]
    assert not list(remote.folder.rglob("mlflow.db"))
    remote_scores, local_scores = (
        [(row["account_id"], row["probability"]) for row in company["accounts"]]
        for company in (remote.active_list(), trained_company.result("show"))
    )
    assert remote_scores == local_scores
