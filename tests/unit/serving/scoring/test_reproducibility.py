"""Model files and scores are byte-identical for any number of threads."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from data import simulator
from serving.store.schema import SCORES

pytestmark = pytest.mark.long

AS_OF = "2026-06-01"
QUICK_SETTINGS = """
[model]
ensemble_size = 3
n_estimators = 40
min_child_samples = 10

[evaluation]
n_bootstrap = 20
refit_months = 4
"""


def run(folder: Path, threads: int, *command: str) -> dict[str, Any]:
    """Run a command in its own process, which reads the thread settings at start."""
    names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    threading = dict.fromkeys(names, str(threads)) | {"PYTHONHASHSEED": str(threads)}
    script, config = Path(sys.executable).with_name("expansion"), folder / "expansion.toml"
    process = subprocess.run(
        [script, command[0], "-c", config, *command[1:], "--json"],
        env=os.environ | threading,
        stdout=subprocess.PIPE,
        check=True,
    )
    payload: dict[str, Any] = json.loads(process.stdout)
    return payload


def read_model_files(folder: Path) -> dict[str, bytes]:
    """Return every file of the registered model by relative path."""
    (card,) = folder.glob("mlartifacts/**/model/card.json")
    return {
        str(file.relative_to(card.parent)): file.read_bytes()
        for file in sorted(card.parent.rglob("*"))
        if file.is_file()
    }


def read_scores(folder: Path) -> list[dict[str, Any]]:
    engine = sa.create_engine(f"sqlite:///{folder / 'crm.db'}")
    columns = [column for column in SCORES.c if column.name != "run_id"]
    with engine.connect() as connection:
        rows = connection.execute(sa.select(*columns).order_by(SCORES.c.account_id))
        return [dict(row) for row in rows.mappings()]


def test_model_and_scores_are_equal_on_one_and_two_threads(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    simulator.write_company(first, accounts=80, months=20, seed=7)
    with (first / "expansion.toml").open("a") as file:
        file.write(QUICK_SETTINGS)
    shutil.copytree(first, second)

    for folder, threads in ((first, 1), (second, 2)):
        run(folder, threads, "train", "--as-of", AS_OF, "--no-promote")
        run(folder, threads, "promote", "--force", "the test reads a model's list")
        run(folder, threads, "score", "--as-of", AS_OF)

    assert len(read_model_files(first)) > 4
    assert read_model_files(first) == read_model_files(second)
    scores = read_scores(first), read_scores(second)
    assert len(scores[0]) > 40
    assert scores[0] == scores[1]
