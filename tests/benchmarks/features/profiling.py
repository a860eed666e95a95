"""Profile of a full build: seconds by function.

Polars computes where a plan is collected, so a function that only builds a plan costs nothing here.
"""

import inspect
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.features import polars_build
from tests.benchmarks.stopwatch import Stopwatch

_TOP_FUNCTIONS = 12  # functions shown on the page


def profile_build(folder: Path) -> dict[str, Any]:
    """Build once with a timer around every function; return the largest own times."""
    clock = Stopwatch()
    _instrument_functions(clock)
    polars_build.measure_full_build(folder)
    largest = sorted(clock.seconds.items(), key=lambda item: -item[1][0])[:_TOP_FUNCTIONS]
    return {"functions": [[name, clock.calls[name], own] for name, (own, _) in largest]}


def _instrument_functions(clock: Stopwatch) -> None:
    """Wrap every function of the features layer with a timer, in every module that refers to it."""
    prefixes = ("features.", "training.pipeline.training_run")
    for module in [module for name, module in sys.modules.items() if name.startswith(prefixes)]:
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value.__module__.startswith("features."):
                clock.wrap(module, name, f"{value.__module__}.{value.__qualname__}")
