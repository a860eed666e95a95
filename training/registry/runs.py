"""Log a run to MLflow: parameters, metrics, lineage, plots and files."""

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

from training.dataset.fingerprint import TableFingerprint
from training.registry.run_record import RunRecord
from training.registry.store import TrackingStore

__all__ = ["log_run", "start_run", "write_run_files"]

_MAX_METRICS_PER_CALL: Final = 1000  # limit of MLflow


@contextmanager
def start_run(store: TrackingStore, record: RunRecord) -> Iterator[Run]:
    """Open a run and mark it as finished or failed on exit."""
    run = store.client.create_run(store.experiment, run_name=record.name)
    try:
        yield run
        store.client.set_terminated(run.info.run_id)
    except BaseException:
        with suppress(MlflowException, OSError):  # the store itself may have failed
            store.client.set_terminated(run.info.run_id, "FAILED")
        raise


def log_run(client: mlflow.MlflowClient, run: Run, record: RunRecord) -> None:
    """Log everything but the artifacts, in as few calls as MLflow allows."""
    run_id = run.info.run_id
    params = [Param(name, _format_param(value)) for name, value in record.parameters.items()]
    client.log_batch(run_id, params=params, tags=_build_tags(record))
    metrics = _build_metrics(record)
    for start in range(0, len(metrics), _MAX_METRICS_PER_CALL):
        client.log_batch(run_id, metrics=metrics[start : start + _MAX_METRICS_PER_CALL])
    if record.tables:
        client.log_inputs(run_id, [_build_dataset_input(table) for table in record.tables])


def _build_tags(record: RunRecord) -> list[RunTag]:
    tags = {
        **record.tags,
        "verdict": record.verdict,
        MLFLOW_RUN_NOTE: record.note,
        MLFLOW_SOURCE_NAME: "expansion train",
        MLFLOW_GIT_COMMIT: get_git_commit(__file__) or "",
    }
    return [RunTag(name, value) for name, value in tags.items() if value]


def _build_metrics(record: RunRecord) -> list[Metric]:
    """Return overall metrics, and each cutoff's metrics as a step dated by the cutoff."""
    now = int(time.time() * 1000)
    totals = [Metric(name, value, now, 0) for name, value in record.overall_metrics.items()]
    return totals + [
        Metric(f"by_cutoff/{name}", value, _to_milliseconds(cutoff), step)
        for step, (cutoff, values) in enumerate(sorted(record.metrics_by_cutoff.items()), start=1)
        for name, value in values.items()
    ]


def _to_milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _build_dataset_input(table: TableFingerprint) -> DatasetInput:
    columns = [{"name": name, "type": dtype} for name, dtype in table.columns.items()]
    profile = {"rows": table.rows, "quarantine": dict(table.quarantine), "parts": len(table.parts)}
    dataset = Dataset(
        name=table.name,
        digest=table.digest,
        source_type="code",
        source=json.dumps({"table": table.name}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def write_run_files(folder: Path, record: RunRecord) -> None:
    """Write the plots and text files of a run next to its model."""
    (folder / "plots").mkdir()
    plots = {f"plots/{name}": text for name, text in record.plots.items()}
    for name, text in {**plots, **record.files}.items():
        (folder / name).write_text(text, encoding="utf-8")


def _format_param(value: Any) -> str:  # noqa: ANN401 - any setting
    return value if isinstance(value, str) else json.dumps(value)
