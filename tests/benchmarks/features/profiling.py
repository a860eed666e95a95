"""Profile of a full build: seconds by function.

Polars computes where a plan is collected, so a function that only builds a plan costs nothing here.
"""

import functools
import inspect
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.benchmarks.features import polars_build

_TOP_FUNCTIONS = 12  # functions shown on the page
FunctionTimes = dict[str, list[float]]


def profile_build(folder: Path) -> dict[str, Any]:
    """Build once with a timer around every function; return the largest own times."""
    spent = _instrument_functions()
    polars_build.measure_full_build(folder)
    largest = sorted(spent.items(), key=lambda item: -item[1][1])[:_TOP_FUNCTIONS]
    return {"functions": [[name, calls, own] for name, (calls, own) in largest]}


def _instrument_functions() -> FunctionTimes:
    """Wrap every function of the features layer with a timer, in every module that refers to it."""
    spent: FunctionTimes = defaultdict(lambda: [0, 0.0])
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
    """Return the function wrapped to accumulate its calls and own seconds."""
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
            row[1] += seconds - seconds_of_calls
            if child_seconds:
                child_seconds[-1] += seconds

    return timed_call
