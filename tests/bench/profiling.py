"""Where the time of a whole build goes: by function, and by table of one file.

Polars does its work where a plan is collected, so a function that only writes a plan costs nothing
here; the second list takes the plans of one file apart.
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

import generator
import narwhals as nw
import ours

from data.config.settings import Settings
from data.ingest import table_loader
from features.activity import daily_aggregates, daily_tables, deduplication
from features.panel import builder
from training.pipeline import training_run

_FEWEST_SECONDS = 0.01
_TOLD = 12  # functions on the page
Spent = dict[str, list[float]]


def profile(folder: Path) -> dict[str, Any]:
    """Build once with a clock around every function; print what each took, and tell the largest."""
    config = ours.configured(folder)
    tables = table_loader.load_tables(config, generator.NOW)
    _print_stages(tables.events[len(tables.events) // 2], config)
    spent = _watch()
    (tables, log), _ = ours.timed(lambda: training_run.load_data(config, now=generator.NOW))
    last = training_run.resolve_as_of(config, log, now=generator.NOW)
    builder.build_panel(log, tables, ours.as_ofs_before(last), config)
    _print_functions(spent)
    largest = sorted(spent.items(), key=lambda item: -item[1][2])[:_TOLD]
    return {"functions": [[name, calls, own] for name, (calls, _, own) in largest]}


def _watch() -> Spent:
    """Put a clock around every function of the floor, wherever a module refers to it."""
    spent: Spent = defaultdict(lambda: [0, 0.0, 0.0])
    below: list[float] = []
    watched: dict[Callable[..., Any], Callable[..., Any]] = {}
    for module in _modules():
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value.__module__.startswith("features."):
                clocked = watched.setdefault(value, _clocked(value, spent, below))
                setattr(module, name, clocked)
    return spent


def _modules() -> list[ModuleType]:
    ours_alone = ("features.", "training.pipeline.training_run")
    return [module for name, module in sys.modules.items() if name.startswith(ours_alone)]


def _clocked(function: Callable[..., Any], spent: Spent, below: list[float]) -> Callable[..., Any]:
    """The function, with calls, seconds in all and seconds of its own added up under its name."""
    row = spent[f"{function.__module__}.{function.__qualname__}"]

    @functools.wraps(function)
    def clocked(*args: object, **kwargs: object) -> object:
        below.append(0.0)
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds, inside = time.perf_counter() - start, below.pop()
            row[0] += 1
            row[1] += seconds
            row[2] += seconds - inside
            if below:
                below[-1] += seconds

    return clocked


def _print_functions(spent: Spent) -> None:
    _say(f"\n{'function':44}{'calls':>8}{'seconds':>9}{'its own':>9}")
    for name, (calls, seconds, own) in sorted(spent.items(), key=lambda item: -item[1][2]):
        if own >= _FEWEST_SECONDS:
            _say(f"{name.removeprefix('features.'):44}{calls:8.0f}{seconds:9.2f}{own:9.2f}")


def _print_stages(partition: table_loader.Partition, config: Settings) -> None:
    """What one file costs: each line is a plan of its own, from the file on."""
    valid = partition.valid_rows()
    held, in_memory = ours.timed(lambda: valid.collect(engine="streaming").lazy())
    survey = daily_tables._profile_partition(partition)
    first, last = (datetime.fromisoformat(survey[end]) for end in ("first", "last"))
    span = deduplication.PartitionSpan(partition, survey["seen"], first, last)
    plan = daily_aggregates.classify_events(
        nw.from_native(held), roles=config.roles, seats=config.seats
    ).to_native()
    events = plan.collect(engine="streaming").lazy()
    stages: dict[str, Callable[[], Any]] = {
        "survey": lambda: daily_tables._profile_partition(partition),
        "first copies": lambda: deduplication.drop_duplicate_events(span, [])[0].collect(
            engine="streaming"
        ),
        "naming": lambda: plan.collect(engine="streaming"),
    }
    for table in (
        daily_aggregates.daily_user_activity,
        daily_aggregates.daily_event_volume,
        daily_aggregates.first_seen_user_feature,
    ):
        counted = table(nw.from_native(events)).to_native()
        stages[table.__name__] = functools.partial(counted.collect, engine="streaming")
    _say(f"one file of {survey['seen']:,} rows: {partition.name}")
    _say(f"  {'reading and judging':24}{in_memory:7.2f} s")
    for name, work in stages.items():
        _say(f"  {name:24}{ours.timed(work)[1]:7.2f} s")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
