"""The Spark session: started or joined, and its complaints turned into one sentence."""

import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from data import errors
from data.config.settings import EngineConfig
from data.errors import SettingsError, SourceError
from features.activity.spark.worker import BATCH_ROWS

__all__ = ["open_session", "suppress_pandas_check", "translate_spark_error"]

# How a worker's Python and how Java put what went wrong.
_PROJECT_ERROR: Final = re.compile(r"^data\.errors\.(\w+): (.*)$", re.MULTILINE)
_JAVA_CAUSE: Final = re.compile(r"^: (.*)$", re.MULTILINE)


def open_session(engine: EngineConfig) -> Any:  # noqa: ANN401
    """Start Spark, or join the session that is there, with days counted in UTC.

    Parameters
    ----------
    engine : data.config.settings.Engine
        Master and options.

    Returns
    -------
    pyspark.sql.SparkSession
        A session of its own, so that another's settings stay as they are.

    Raises
    ------
    data.errors.SettingsError
        If Java or PySpark is missing.
    data.errors.SourceError
        If Spark does not start.
    """
    _require_java()
    try:
        with suppress_pandas_check():
            from pyspark.sql import SparkSession  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            '[engine] kind = "spark" needs PySpark, which is not installed. Install it with'
            " pip install '.[spark]', or set kind = \"polars\"."
        ) from None
    with translate_spark_error(), suppress_pandas_check():
        active = SparkSession.getActiveSession() or _start_session(SparkSession.builder, engine)
        ours = active.newSession()
        for name, value in engine.options.items():
            if ours.conf.isModifiable(name):
                ours.conf.set(name, value)
        ours.conf.set("spark.sql.session.timeZone", "UTC")
        ours.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", BATCH_ROWS)
    return ours


def _require_java() -> None:
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        raise SettingsError(
            '[engine] kind = "spark" needs Java 17 or later, and none was found. Install a Java'
            ' runtime or let JAVA_HOME name one, or set kind = "polars".'
        )


def _start_session(builder: Any, engine: EngineConfig) -> Any:  # noqa: ANN401
    options = {
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "FATAL",
        # A task is one core's work; Polars would take them all.
        "spark.executorEnv.POLARS_MAX_THREADS": "1",
    }
    if engine.master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        options |= {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1"}
        options |= {"spark.driver.bindAddress": "127.0.0.1"}
        # Two hundred, the default, are for a cluster.
        options |= {"spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1))}
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit has a master of its own
        builder = builder.master(engine.master)
    for name, value in (options | dict(engine.options)).items():
        builder = builder.config(name, value)
    return builder.appName("expansion").getOrCreate()


@contextmanager
def suppress_pandas_check() -> Iterator[None]:
    """Spark looks whether it knows the pandas that is installed; no row here passes through it."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "PySpark does not yet fully support pandas", FutureWarning
        )
        yield


@contextmanager
def translate_spark_error() -> Iterator[None]:
    """Turn what goes wrong on Spark into one of our errors."""
    from py4j.protocol import Py4JError  # noqa: PLC0415
    from pyspark.errors import PySparkException  # noqa: PLC0415

    try:
        yield
    except (PySparkException, Py4JError) as error:
        told = str(error)
        ours = _PROJECT_ERROR.search(told)
        if ours is not None:  # raised by a task, on a worker
            raise getattr(errors, ours[1])(ours[2]) from None
        cause = (_JAVA_CAUSE.findall(told) or told.split("\n"))[0].strip()[:200].rstrip(".")
        raise SourceError(
            f"Spark could not read the log: {cause}. Ask for its own log with"
            " [engine.options] 'spark.log.level' = 'ERROR', or read it here: kind = \"polars\"."
        ) from None
