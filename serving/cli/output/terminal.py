"""Terminal streams: results on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

__all__ = [
    "format_share",
    "print_json",
    "print_line",
    "print_status",
    "print_table",
    "show_progress",
    "stderr",
    "stdout",
]

stdout = Console()
stderr = Console(stderr=True)


def print_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, default=str, ensure_ascii=False) + "\n")


def print_line(text: str, style: str = "") -> None:
    """Print a text verbatim on stdout."""
    stdout.print(text, highlight=False, markup=False, style=style)


def print_table(
    title: str, columns: Sequence[str | Column], rows: Iterable[Sequence[str | Text]]
) -> None:
    """Print a table with its cells verbatim, unless it has no rows."""
    table = Table(*columns, title=escape(title))
    for row in rows:
        table.add_row(*row)
    if table.row_count:
        stdout.print(table, markup=False)


@contextmanager
def show_progress() -> Iterator[Any]:
    """Show a progress bar per stage on a terminal, else one line per finished stage; on stderr."""
    if not stderr.is_terminal:
        yield _print_finished_stage
        return
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # A step may take minutes, so the remaining time is estimated over one hour of steps.
    with Progress(*columns, console=stderr, speed_estimate_period=3600) as bars:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done)

        yield advance


def _print_finished_stage(stage: str, done: int, total: int) -> None:
    if done == total:
        stderr.print(f"{stage}: {total} done", highlight=False)


def print_status(text: str) -> None:
    """Print a status line on stderr."""
    stderr.print(text, highlight=False, markup=False)


def format_share(value: float | None) -> str:
    """Format a share as a percentage."""
    return "unknown" if value is None else f"{value:.1%}"
