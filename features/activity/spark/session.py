"""Spark session, its jobs in Arrow batches, and error translation."""

import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import polars as pl
import pyarrow as pa

from data import errors
from data.config.settings import EngineConfig
from data.errors import SettingsError, SourceError
from features.activity.spark.worker import ARROW_TYPES, BATCH_ROWS

__all__ = ["collect_to_polars", "map_in_arrow", "open_session", "translate_spark_error"]

# Error formats of a worker's Python and of Java.
_PROJECT_ERROR: Final = re.compile(r"^data\.errors\.(\w+): (.*)$", re.MULTILINE)
_JAVA_CAUSE: Final = re.compile(r"^: (.*)$", re.MULTILINE)


def open_session(engine: EngineConfig) -> Any:  # noqa: ANN401
    """Start Spark, or join the running session, with the session time zone UTC.

    Raises ``SettingsError`` if Java or PySpark is missing. Raises ``SourceError`` if Spark does not
    start.

    Returns
    -------
    pyspark.sql.SparkSession
        A new session, so that the settings of others are unchanged.
    """
    _require_java()
    try:
        with _suppress_pandas_check():
            from pyspark.sql import SparkSession  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            '[engine] kind = "spark" needs PySpark, which is not installed. Install it with'
            " pip install '.[spark]', or set kind = \"polars\"."
        ) from None
    with translate_spark_error(), _suppress_pandas_check():
        active = SparkSession.getActiveSession() or _start_session(SparkSession.builder, engine)
        session = active.newSession()
        for name, value in engine.options.items():
            if session.conf.isModifiable(name):
                session.conf.set(name, value)
        session.conf.set("spark.sql.session.timeZone", "UTC")
        session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", BATCH_ROWS)
    return session


def _require_java() -> None:
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        raise SettingsError(
            '[engine] kind = "spark" needs Java 17 or later, and none was found. Install a Java'
            ' runtime or set JAVA_HOME, or set kind = "polars".'
        )


def _start_session(builder: Any, engine: EngineConfig) -> Any:  # noqa: ANN401
    options = {
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "FATAL",
        # A task uses one core; Polars would use all of them.
        "spark.executorEnv.POLARS_MAX_THREADS": "1",
    }
    if engine.master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        options |= {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1"}
        options |= {"spark.driver.bindAddress": "127.0.0.1"}
        # The default of 200 is meant for a cluster.
        options |= {"spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1))}
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit sets the master
        builder = builder.master(engine.master)
    for name, value in (options | dict(engine.options)).items():
        builder = builder.config(name, value)
    return builder.appName("expansion").getOrCreate()


@contextmanager
def _suppress_pandas_check() -> Iterator[None]:
    """Suppress Spark's warning about the pandas version; no row passes through pandas here."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "PySpark does not yet fully support pandas", FutureWarning
        )
        yield


@contextmanager
def translate_spark_error() -> Iterator[None]:
    """Convert Spark exceptions into the project's errors."""
    from py4j.protocol import Py4JError  # noqa: PLC0415
    from pyspark.errors import PySparkException  # noqa: PLC0415

    try:
        yield
    except (PySparkException, Py4JError) as error:
        text = str(error)
        project_error = _PROJECT_ERROR.search(text)
        if project_error is not None:  # raised by a task, on a worker
            raise getattr(errors, project_error[1])(project_error[2]) from None
        cause = (_JAVA_CAUSE.findall(text) or text.split("\n"))[0].strip()[:200].rstrip(".")
        raise SourceError(
            f"Spark could not read the log: {cause}. See Spark's log with"
            " [engine.options] 'spark.log.level' = 'ERROR', or use Polars: kind = \"polars\"."
        ) from None


def map_in_arrow(
    frame: Any,  # noqa: ANN401
    map_batches: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: pl.Schema,
) -> Any:  # noqa: ANN401
    """Map a frame's Arrow batches on the workers to batches of a schema."""
    ddl = ", ".join(f"`{name}` {ARROW_TYPES[dtype][0]}" for name, dtype in schema.items())
    with _suppress_pandas_check():
        return frame.mapInArrow(map_batches, ddl)


def collect_to_polars(frame: Any) -> pl.DataFrame:  # noqa: ANN401
    """Collect a small Spark frame."""
    return pl.DataFrame(pl.from_arrow(frame.toArrow()))
