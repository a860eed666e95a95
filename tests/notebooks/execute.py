"""Execute the notebooks, each in its own kernel, and store their outputs: ``make notebooks``.

The first notebook simulates the company that all of them read; the others then run two at a time.
Values that change between runs or machines are removed: times and kernel versions. Plots are
stored with a palette, at less than half of their size.
"""

import asyncio
import base64
import hashlib
import io
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
COMPANY_FOLDER = ROOT / "data/local/notebooks"
_PROCESSES = 2
_LONGEST_CELL_SECONDS = 300
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def list_notebooks() -> list[str]:
    """Return the notebooks' file names, in reading order."""
    return sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook with its stored outputs."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[Any]:
    """Return the code cells of a notebook."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def hash_code(notebook: NotebookNode) -> str:
    """Return a hash of the notebook's code, which is stored in its metadata at execution."""
    sources = "\0".join(cell.source for cell in code_cells(notebook))
    return hashlib.sha256(sources.encode()).hexdigest()[:16]


def execute_notebook(path: Path, folder: Path) -> NotebookNode:
    """Execute a notebook from its source alone, in a folder."""
    notebook = read_notebook(path)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=_LONGEST_CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],  # hides advice on networks
        resources={"metadata": {"path": str(folder)}},
    )
    asyncio.run(client.async_execute())  # its own event loop, closed at the end
    for cell in notebook.cells:
        cell.metadata = {}
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _compress_png(output.data["image/png"])
    notebook.metadata = {**_METADATA, "expansion": {"executed": hash_code(notebook)}}
    return notebook


def execute_all(names: Iterable[str], folder: Path) -> dict[str, Future[NotebookNode]]:
    """Execute notebooks in a folder; return a future per notebook."""
    first, *others = names
    # The largest notebook takes longest, so it starts first.
    others.sort(key=lambda name: (NOTEBOOKS / name).stat().st_size, reverse=True)
    with ThreadPoolExecutor(_PROCESSES) as pool:
        runs = {first: pool.submit(_execute_timed, first, folder)}
        runs[first].exception()
        runs |= {name: pool.submit(_execute_timed, name, folder) for name in others}
    return runs


def _compress_png(png: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    buffer = io.BytesIO()
    picture.quantize(128).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def _execute_timed(name: str, folder: Path) -> NotebookNode:
    started = perf_counter()
    try:
        return execute_notebook(NOTEBOOKS / name, folder)
    finally:
        print(f"{name}: {perf_counter() - started:.0f} s", file=sys.stderr)  # noqa: T201


def main() -> None:
    """Execute all notebooks on a new company, or the named ones on the existing company."""
    if not sys.argv[1:]:
        shutil.rmtree(COMPANY_FOLDER, ignore_errors=True)
    runs = execute_all(sys.argv[1:] or list_notebooks(), NOTEBOOKS)
    for name, run in runs.items():
        if run.exception() is None:
            nbformat.write(run.result(), NOTEBOOKS / name)
    failed = {name: run.exception() for name, run in runs.items() if run.exception()}
    sys.exit("\n".join(f"{name}: {error}" for name, error in failed.items()) or None)


if __name__ == "__main__":
    main()
