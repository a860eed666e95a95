"""A run as MLflow shows it: settings, figures, data, plots, and the model's files."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.git_utils import get_git_commit
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_RUN_NOTE, MLFLOW_SOURCE_NAME

from training.fingerprint import Fingerprint
from training.record import Record
from training.registry.store import Store

__all__ = ["log", "started", "write"]

_MOST_METRICS: Final = 1000  # that MLflow takes at once


@contextmanager
def started(store: Store, record: Record) -> Iterator[Run]:
    """Give a run that ends as finished, or as failed with whatever was logged of it."""
    run = store.client.create_run(store.experiment, run_name=record.name)
    try:
        yield run
        store.client.set_terminated(run.info.run_id)
    except BaseException:
        with suppress(MlflowException, OSError):  # the store may be what failed
            store.client.set_terminated(run.info.run_id, "FAILED")
        raise


def log(client: mlflow.MlflowClient, run: Run, record: Record) -> None:
    """Log everything but the artifacts, in as few calls as MLflow takes."""
    key = run.info.run_id
    params = [Param(name, _text(value)) for name, value in record.parameters.items()]
    client.log_batch(key, params=params, tags=_tags(record))
    metrics = _metrics(record)
    for first in range(0, len(metrics), _MOST_METRICS):
        client.log_batch(key, metrics=metrics[first : first + _MOST_METRICS])
    if record.tables:
        client.log_inputs(key, [_dataset(table) for table in record.tables])


def _tags(record: Record) -> list[RunTag]:
    tags = {
        **record.tags,
        "verdict": record.verdict,
        MLFLOW_RUN_NOTE: record.note,
        MLFLOW_SOURCE_NAME: "expansion train",
        MLFLOW_GIT_COMMIT: get_git_commit(__file__) or "",
    }
    return [RunTag(name, value) for name, value in tags.items() if value]


def _metrics(record: Record) -> list[Metric]:
    """Totals, and each cut as a step at its own date, so that both axes of the page are right."""
    now = int(time.time() * 1000)
    totals = [Metric(name, value, now, 0) for name, value in record.totals.items()]
    return totals + [
        Metric(f"by_cut/{name}", value, _milliseconds(cut), step)
        for step, (cut, figures) in enumerate(sorted(record.by_cut.items()), start=1)
        for name, value in figures.items()
    ]


def _milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _dataset(table: Fingerprint) -> DatasetInput:
    columns = [{"name": name, "type": kind} for name, kind in table.columns.items()]
    profile = {"rows": table.rows, "quarantine": dict(table.quarantine), "parts": len(table.parts)}
    told = Dataset(
        name=table.name,
        digest=table.digest,
        source_type="code",
        source=json.dumps({"table": table.name}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(profile),
    )
    return DatasetInput(told, [InputTag("mlflow.data.context", "training")])


def write(folder: Path, record: Record) -> None:
    """Write what a run keeps as files beside its model."""
    (folder / "plots").mkdir()
    for name, figure in record.plots.items():
        figure.savefig(folder / "plots" / name, dpi=100)
    for name, text in record.files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(value: Any) -> str:  # noqa: ANN401 - any setting
    return value if isinstance(value, str) else json.dumps(value)
