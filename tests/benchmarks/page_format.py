"""Parts of the benchmark pages: a Markdown table, and the machine. Imports nothing heavy."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable

__all__ = ["describe_machine", "format_table"]


def format_table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table, with an empty line after it."""
    names = tuple(head)
    lines = [names, ("---",) * len(names), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def describe_machine(libraries: Iterable[str]) -> str:
    """Return CPUs, memory, and the versions of Python and of some libraries."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} CPUs, {memory:.0f} GB, Python {platform.python_version()}, {versions}"
