"""The same data, settings and versions give the same bytes of model and scores, on any threads."""

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
QUICK = """
[model]
ensemble_size = 3
n_estimators = 40
min_child_samples = 10

[evaluation]
n_bootstrap = 20
refit_months = 4
"""


def run(folder: Path, threads: int, *command: str) -> dict[str, Any]:
    """Run a command in a process of its own, which sets up its threads as it starts."""
    names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    threading = dict.fromkeys(names, str(threads)) | {"PYTHONHASHSEED": str(threads)}
    script, config = Path(sys.executable).with_name("expansion"), folder / "expansion.toml"
    done = subprocess.run(
        [script, command[0], "-c", config, *command[1:], "--json"],
        env=os.environ | threading,
        stdout=subprocess.PIPE,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def made(folder: Path) -> dict[str, bytes]:
    """Every file of the model that is registered, by its place in it."""
    (card,) = folder.glob("mlartifacts/**/model/card.json")
    return {
        str(file.relative_to(card.parent)): file.read_bytes()
        for file in sorted(card.parent.rglob("*"))
        if file.is_file()
    }


def scored(folder: Path) -> list[dict[str, Any]]:
    engine = sa.create_engine(f"sqlite:///{folder / 'crm.db'}")
    columns = [column for column in SCORES.c if column.name != "run_id"]
    with engine.connect() as connection:
        found = connection.execute(sa.select(*columns).order_by(SCORES.c.account_id))
        return [dict(row) for row in found.mappings()]


def test_model_and_scores_are_the_same_on_one_thread_and_on_two(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    simulator.write_company(one, accounts=80, months=20, seed=7)
    with (one / "expansion.toml").open("a") as file:
        file.write(QUICK)
    shutil.copytree(one, two)

    for folder, threads in ((one, 1), (two, 2)):
        run(folder, threads, "train", "--as-of", AS_OF, "--no-promote")
        run(folder, threads, "promote", "--force", "the test reads a model's list")
        run(folder, threads, "score", "--as-of", AS_OF)

    assert len(made(one)) > 4
    assert made(one) == made(two)
    lists = scored(one), scored(two)
    assert len(lists[0]) > 40
    assert lists[0] == lists[1]
