"""Parts of a benchmark's script: options, steps in their own process, the page's file.

Every step runs in its own process, so that its peak memory is its own. The script stays small,
because on Linux a child starts with the peak of its parent. Imports nothing heavy.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests import ROOT
from tests.benchmarks.page_format import describe_code_state

__all__ = [
    "create_parser",
    "load_sections",
    "log_line",
    "measure_section",
    "peak_memory_bytes",
    "print_result",
    "run_step",
    "write_page",
]


def create_parser(description: str | None, folder: Path | None = None) -> argparse.ArgumentParser:
    """Return a parser of the options that every benchmark with a page has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--small", action="store_true", help="smoke test")
    parser.add_argument("--folder", type=Path, default=folder, help="what is built is stored here")
    parser.add_argument("--page", type=Path, help="page to write; default under docs/measured")
    return parser


def run_step(module: str, name: str, *arguments: object) -> dict[str, Any]:
    """Run one step of a benchmark's module in its own process; return the result it printed."""
    command = [sys.executable, "-m", module, "--step", name, *map(str, arguments)]
    process = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(process.stdout)
    return result


def print_result(result: dict[str, Any]) -> None:
    """Print a step's result as one line of JSON."""
    sys.stdout.write(json.dumps(result) + "\n")


def peak_memory_bytes() -> int:
    """Return the peak memory of this process so far."""
    # Linux reports kibibytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure_section(file: Path, measure: Callable[[], dict[str, Any]], **facts: object) -> None:
    """Measure one section of a page; store its result with the day, the code's state and facts."""
    started = time.monotonic()
    stored = {"result": measure(), "at": f"{datetime.now(UTC):%Y-%m-%d}"}
    stored |= {"seconds": time.monotonic() - started} | describe_code_state() | facts
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(stored), encoding="utf-8")
    log_line(f"section {file.stem:12} {stored['seconds']:7.0f} s")


def load_sections(folder: Path, names: list[str]) -> dict[str, Any]:
    """Load every section that was measured, in the order of the names."""
    files = {name: folder / f"{name}.json" for name in names}
    return {
        name: json.loads(file.read_text(encoding="utf-8"))
        for name, file in files.items()
        if file.exists()
    }


def write_page(name: str, text: str, arguments: argparse.Namespace, folder: Path) -> None:
    """Write a page; a smoke run writes to its folder, not over real measurements."""
    file = arguments.page or (folder if arguments.small else ROOT / "docs/measured") / name
    file.write_text(text, encoding="utf-8")
    log_line(f"the page is {file}")


def log_line(text: str) -> None:
    """Write a line to standard error at once."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
