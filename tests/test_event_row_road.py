"""The road of an event row in docs/design.md is the one that a run takes, and it stays short."""

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from data import simulator
from data.config import settings as settings_loader
from data.config.settings import Settings
from features.activity import load
from serving import store
from serving.delivery import service
from serving.scoring import score
from training.evaluation import splits
from training.model import expansion_size, propensity
from training.pipeline import training_run
from training.registry import RegisteredModel

ROOT = Path(__file__).parents[1]
LAYERS = ("data", "features", "training", "serving")
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
MAX_FUNCTIONS, MAX_LAYER_CHANGES = 70, 19
TABLES = (pl.DataFrame, pl.LazyFrame, nw.DataFrame, nw.LazyFrame)
QUICK = {"ensemble_size": 2, "n_estimators": 5, "min_child_samples": 10}


def read_page() -> tuple[list[str], list[str]]:
    """Return the functions on the road, in the page's order, and those beside it."""
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    section = page.split("## The road of one event row")[1].split("\n## ")[0]
    road, beside = section.split("\nBeside the road")
    return re.findall(r"^\d+\. `([\w.]+)`", road, re.MULTILINE), re.findall(r"`([\w.]+)`", beside)


@contextmanager
def record_calls() -> Iterator[dict[str, bool]]:
    """Record the project's functions by first call, and whether they take or return a table."""
    handles_table: dict[str, bool] = {}
    names: dict[Any, str | None] = {}

    def record(frame: FrameType, event: str, value: Any) -> None:
        code = frame.f_code
        if code not in names:
            file = Path(code.co_filename)
            parts = file.relative_to(ROOT).with_suffix("").parts if ROOT in file.parents else ()
            is_ours = bool(parts) and parts[0] in LAYERS and "<" not in code.co_qualname
            names[code] = ".".join((*parts, code.co_qualname)) if is_ours else None
        name = names[code]
        if name is None:
            return
        if event == "call":
            arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            values = [frame.f_locals.get(argument) for argument in arguments]
        else:
            values = [value]
        found = event in {"call", "return"} and any(isinstance(each, TABLES) for each in values)
        handles_table[name] = handles_table.get(name, False) or found

    threading.setprofile(record)
    sys.setprofile(record)
    try:
        yield handles_table
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def fit_model(config: Settings) -> RegisteredModel:
    """Fit a small model on the whole history, without walk-forward validation."""
    tables, log = load.load_data(config, now=AS_OF)
    panel = training_run.build_history(config, tables, log, AS_OF).panel
    training_set = splits.build_training_set(
        panel.snapshots, panel.contracts, AS_OF, config.outcome
    )
    model = propensity.fit_propensity(
        training_set,
        config.model.model_copy(update=QUICK),
        horizon_days=config.outcome.horizon_days,
    )
    increases = expansion_size.estimate_increase_by_type(training_set.outcomes)
    return RegisteredModel(model, "1", {"increase_by_type": increases}, churn=model)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """The calls of a run from the files of the log to the embedded CRM."""
    folder = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=60, months=15, seed=5)
    config = settings_loader.load_settings(folder / "expansion.toml")
    model = fit_model(config.model_copy(update={"state": "state-of-training"}))
    now = AS_OF + timedelta(hours=1)
    with record_calls() as recorded:
        tables, log = load.load_data(config, now=now)
        engine = store.open_engine(config.database_url)
        scored = score.score(model, tables, log, AS_OF, config)
        service.deliver_list(engine, scored, tables, AS_OF, config, name="sql", record={}, now=now)
    engine.dispose()
    return recorded


def test_every_listed_function_is_called_in_the_listed_order(calls: dict[str, bool]) -> None:
    road, beside = read_page()

    assert [name for name in (*road, *beside) if name not in calls] == []
    assert road == sorted(road, key=list(calls).index)


def test_every_public_function_that_handles_a_table_is_listed(calls: dict[str, bool]) -> None:
    road, beside = read_page()

    public = {name for name, has_table in calls.items() if has_table and "._" not in name}

    assert public - {*road, *beside} == set()


def test_the_road_is_short() -> None:
    road, _ = read_page()

    changes = sum(one.split(".")[0] != other.split(".")[0] for one, other in pairwise(road))

    assert len(road) == len(set(road)) <= MAX_FUNCTIONS
    assert changes <= MAX_LAYER_CHANGES
