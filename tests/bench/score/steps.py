"""The steps that are run in a process of their own: make, ours, LightGBM's own."""

import json
import resource
import shutil
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import company
import lightgbm as lgb
import numpy as np
import polars as pl
from clock import Clock
from company import AS_OF, Size

from features.panel.account_aggregates import LOOKBACK_MONTHS
from features.panel.builder import Panel
from serving import store
from serving.delivery import service
from serving.delivery.reconcile import sender
from serving.scoring import score as scoring
from training.explain import attributions
from training.model import event_date
from training.model.propensity import Propensity
from training.registry import RegisteredModel, serialization

__all__ = ["main"]


_CONTRACT = {
    "plan": pl.String,
    "usage_limit": pl.Float64,
    "mrr": pl.Float64,
    "renewal": pl.Datetime("us", "UTC"),
}


def main(name: str, folder: Path, size: Size) -> None:
    """Run one step and print what it found as one line of JSON."""
    found = _STEPS[name](folder, size)
    sys.stdout.write(json.dumps({**found, "peak_bytes": _peak()}) + "\n")


def _ours(folder: Path, _: Size) -> dict[str, Any]:
    """What `expansion score` does once the features are there, into an empty SQLite database."""
    rows, tables, config = company.load(folder)
    model = _registered(folder)
    shutil.rmtree(config.state_folder, ignore_errors=True)
    clock = _clocked(rows)
    log: Any = SimpleNamespace(last_day=AS_OF.date() - timedelta(days=1))
    before, started = _peak(), time.perf_counter()
    with clock.running("line, ranks, notes"):
        scored = scoring.score(model, tables, log, AS_OF, config)
    with clock.running("counts and levels"):
        engine = store.open_engine(config.database_url)
        done = service.deliver_list(
            engine, scored, tables, AS_OF, config, name="sql", record={}, now=AS_OF
        )
    return {
        "rows": scored.accounts.height,
        "seconds": time.perf_counter() - started,
        "steps": clock.told(),
        "peak_before_bytes": before,
        "sentences": int(scored.accounts["signals"].list.len().sum()),
        "sent": done.to_dict()["sent"],
        "database_bytes": sum(file.stat().st_size for file in config.state_folder.glob("*.db*")),
    }


def _theirs(folder: Path, _: Size) -> dict[str, Any]:
    """LightGBM's own ``predict``, and with ``pred_contrib``, of the same boosters and rows."""
    rows = pl.read_parquet(folder / "accounts.parquet")
    model = _registered(folder).model
    matrix = np.ascontiguousarray(rows.select(model.inputs).to_numpy())
    clock = Clock(_peak)
    started = time.perf_counter()
    for booster in _boosters(folder):
        with clock.running("predict"):
            booster.predict(matrix)
        with clock.running("predict, pred_contrib"):
            booster.predict(matrix, pred_contrib=True)
    return {
        "rows": len(matrix),
        "seconds": time.perf_counter() - started,
        "steps": clock.told(),
        "boosters": len(_boosters(folder)),
        "trees": _boosters(folder)[0].num_trees(),
        "columns": matrix.shape[1],
    }


def _clocked(rows: pl.DataFrame) -> Clock:
    """Put clocks around the parts of a run; the features are given, not built."""
    clock = Clock(_peak)
    given = Panel(rows, _nobody(), pl.DataFrame(), _months(rows))
    setattr(scoring, "panel", SimpleNamespace(build=lambda *_, **__: given))  # noqa: B010
    clock.around(Propensity, "estimates", "probability and curve")
    clock.around(Propensity, "estimate", "chance to leave")
    clock.around(event_date, "dates", "dates")
    clock.around(Propensity, "contributions", "contributions")
    clock.around(attributions, "explain", "sentences")
    clock.around(service, "put", "into the database")
    clock.around(sender, "send", "to the embedded CRM")
    return clock


def _registered(folder: Path) -> RegisteredModel:
    where = folder / "model"
    model, card = serialization.load_model(where, (folder / "digest").read_text())
    return RegisteredModel(model, "1", card, serialization.load_churn_model(where, card))


def _boosters(folder: Path) -> list[lgb.Booster]:
    files = sorted((folder / "model").glob("booster_*.txt"))
    return [lgb.Booster(model_file=file) for file in files]


def _months(rows: pl.DataFrame) -> pl.DataFrame:
    """As many numbers as the charts of an account show: each month as the last."""
    now = {"active_seats": "active_seats", "seats": "licensed_seats", "api_calls": "api_calls_30d"}
    return rows.select(
        "account_id",
        *(pl.lit(None, kind).alias(name) for name, kind in _CONTRACT.items()),
        *(
            pl.col(column).alias(f"{name}_m{back}")
            for name, column in now.items()
            for back in range(LOOKBACK_MONTHS + 1)
        ),
    )


def _nobody() -> pl.DataFrame:
    return pl.DataFrame(schema={"account_id": pl.String, "as_of": pl.Date, "reason": pl.String})


def _peak() -> int:
    # Linux tells kibibytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


_STEPS = {"make": company.make, "ours": _ours, "theirs": _theirs}
