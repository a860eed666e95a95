"""Parts of the benchmark pages: table, machine, code state, template. Imports nothing heavy."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from tests import ROOT

__all__ = ["describe_code_state", "describe_machine", "format_table", "load_page_template"]


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


def describe_code_state() -> dict[str, Any]:
    """Return the commit, and whether the code has changed since."""
    git = ["git", "-C", str(ROOT)]
    run_git = partial(subprocess.run, stdout=subprocess.PIPE, check=False, text=True)
    commit = run_git([*git, "rev-parse", "--short", "HEAD"]).stdout.strip()
    layers = ["data", "features", "training", ":!*.md"]
    changed = bool(run_git([*git, "status", "--porcelain", "--", *layers]).stdout.strip())
    return {"commit": commit, "changed": changed}


def load_page_template(file: Path, filters: Mapping[str, Callable[..., Any]]) -> jinja2.Template:
    """Load a template; a line that holds only a tag leaves no blank line."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(file.parent),
        autoescape=False,  # noqa: S701 - Markdown of our own figures
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    return environment.get_template(file.name)
