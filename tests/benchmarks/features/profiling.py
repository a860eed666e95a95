"""Profile of a full build: seconds by function, and by daily table of one file.

Polars computes where a plan is collected, so a function that only builds a plan costs nothing
here; the second list measures the plans of one file separately.
"""

import functools
import inspect
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import narwhals as nw

from data.config.settings import Settings
from data.ingest import table_loader
from features.activity import daily_aggregates, deduplication, load, profile
from features.panel import builder
from tests.benchmarks.features import log_generator, polars_build
from training.pipeline import training_run

_MIN_SECONDS = 0.01
_TOP_FUNCTIONS = 12  # functions shown on the page
FunctionTimes = dict[str, list[float]]


def profile_build(folder: Path) -> dict[str, Any]:
    """Build once with a timer around every function; print all times and return the largest."""
    config = polars_build.load_bench_settings(folder)
    tables = table_loader.load_tables(config, log_generator.NOW)
    _print_stage_times(tables.events[len(tables.events) // 2], config)
    spent = _instrument_functions()
    (tables, log), _ = polars_build.measure_seconds(
        lambda: load.load_data(config, now=log_generator.NOW)
    )
    last = training_run.resolve_as_of(config, log, now=log_generator.NOW)
    builder.build_panel(log, tables, polars_build.list_as_ofs(last), config)
    _print_function_times(spent)
    largest = sorted(spent.items(), key=lambda item: -item[1][2])[:_TOP_FUNCTIONS]
    return {"functions": [[name, calls, own] for name, (calls, _, own) in largest]}


def _instrument_functions() -> FunctionTimes:
    """Wrap every function of the features layer with a timer, in every module that refers to it."""
    spent: FunctionTimes = defaultdict(lambda: [0, 0.0, 0.0])
    child_seconds: list[float] = []
    wrappers: dict[Callable[..., Any], Callable[..., Any]] = {}
    for module in _list_modules():
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value.__module__.startswith("features."):
                wrapper = wrappers.setdefault(value, _wrap_with_timer(value, spent, child_seconds))
                setattr(module, name, wrapper)
    return spent


def _list_modules() -> list[ModuleType]:
    prefixes = ("features.", "training.pipeline.training_run")
    return [module for name, module in sys.modules.items() if name.startswith(prefixes)]


def _wrap_with_timer(
    function: Callable[..., Any], spent: FunctionTimes, child_seconds: list[float]
) -> Callable[..., Any]:
    """Return the function wrapped to accumulate its calls, total seconds and own seconds."""
    row = spent[f"{function.__module__}.{function.__qualname__}"]

    @functools.wraps(function)
    def timed_call(*args: object, **kwargs: object) -> object:
        child_seconds.append(0.0)
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds, seconds_of_calls = time.perf_counter() - start, child_seconds.pop()
            row[0] += 1
            row[1] += seconds
            row[2] += seconds - seconds_of_calls
            if child_seconds:
                child_seconds[-1] += seconds

    return timed_call


def _print_function_times(spent: FunctionTimes) -> None:
    _log_line(f"\n{'function':44}{'calls':>8}{'seconds':>9}{'its own':>9}")
    for name, (calls, seconds, own) in sorted(spent.items(), key=lambda item: -item[1][2]):
        if own >= _MIN_SECONDS:
            _log_line(f"{name.removeprefix('features.'):44}{calls:8.0f}{seconds:9.2f}{own:9.2f}")


def _print_stage_times(partition: table_loader.Partition, config: Settings) -> None:
    """Print the cost of one file; each line is a separate plan that starts from the file."""
    valid = partition.valid_rows()
    collected, in_memory = polars_build.measure_seconds(
        lambda: valid.collect(engine="streaming").lazy()
    )
    profiled = profile.profile_partition(partition)
    first, last = (datetime.fromisoformat(profiled[end]) for end in ("first", "last"))
    span = deduplication.PartitionSpan(partition, profiled["rows"], first, last)
    plan = daily_aggregates.classify_events(
        nw.from_native(collected), roles=config.roles, seats=config.seats
    ).to_native()
    events = plan.collect(engine="streaming").lazy()
    stages: dict[str, Callable[[], Any]] = {
        "profile": lambda: profile.profile_partition(partition),
        "deduplication": lambda: deduplication.drop_duplicate_events(span, [])[0].collect(
            engine="streaming"
        ),
        "classification": lambda: plan.collect(engine="streaming"),
    }
    for table in (
        daily_aggregates.aggregate_user_activity,
        daily_aggregates.aggregate_event_volume,
        daily_aggregates.first_seen_user_feature,
    ):
        aggregated = table(nw.from_native(events)).to_native()
        stages[table.__name__] = functools.partial(aggregated.collect, engine="streaming")
    _log_line(f"one file of {profile['rows']:,} rows: {partition.name}")
    _log_line(f"  {'read and validate':24}{in_memory:7.2f} s")
    for name, work in stages.items():
        _log_line(f"  {name:24}{polars_build.measure_seconds(work)[1]:7.2f} s")


def _log_line(line: str) -> None:
    sys.stderr.write(line + "\n")
