"""Execute the notebooks, each in a kernel of its own, and write them back: ``make notebooks``.

Two at a time, after the first, which simulates the company that all of them read. What changes from
run to run or machine to machine is left out: times, and versions of the kernel. Plots are kept with
a palette, at less than half of their size.
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
COMPANY = ROOT / "data/local/notebooks"
_AT_ONCE = 2
_LONGEST_CELL_SECONDS = 300
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def names() -> list[str]:
    """The notebooks' file names, in reading order."""
    return sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    """Read a notebook as it stands."""
    return nbformat.read(path, as_version=4)


def code(notebook: NotebookNode) -> list[Any]:
    """Its cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def digest(notebook: NotebookNode) -> str:
    """What its code is; kept in its metadata when it is executed."""
    sources = "\0".join(cell.source for cell in code(notebook))
    return hashlib.sha256(sources.encode()).hexdigest()[:16]


def executed(path: Path, folder: Path) -> NotebookNode:
    """Execute a notebook from its source alone, in a folder."""
    notebook = read(path)
    for cell in code(notebook):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=_LONGEST_CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],  # it advises on networks; here is none
        resources={"metadata": {"path": str(folder)}},
    )
    asyncio.run(client.async_execute())  # a loop of its own, closed when done
    for cell in notebook.cells:
        cell.metadata = {}
    for cell in code(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _smaller(output.data["image/png"])
    notebook.metadata = {**_METADATA, "expansion": {"executed": digest(notebook)}}
    return notebook


def each(wanted: Iterable[str], folder: Path) -> dict[str, Future[NotebookNode]]:
    """Execute notebooks as they would run in a folder, and say of each what came of it."""
    first, *others = wanted
    others.sort(key=lambda name: (NOTEBOOKS / name).stat().st_size, reverse=True)  # longest first
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        runs = {first: pool.submit(_told, first, folder)}
        runs[first].exception()
        runs |= {name: pool.submit(_told, name, folder) for name in others}
    return runs


def _smaller(png: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    kept = io.BytesIO()
    picture.quantize(128).save(kept, "PNG", optimize=True)
    return base64.b64encode(kept.getvalue()).decode()


def _told(name: str, folder: Path) -> NotebookNode:
    started = perf_counter()
    try:
        return executed(NOTEBOOKS / name, folder)
    finally:
        print(f"{name}: {perf_counter() - started:.0f} s", file=sys.stderr)  # noqa: T201


def main() -> None:
    """Execute all on a company made anew, or those that are named on the one that is there."""
    if not sys.argv[1:]:
        shutil.rmtree(COMPANY, ignore_errors=True)
    runs = each(sys.argv[1:] or names(), NOTEBOOKS)
    for name, run in runs.items():
        if run.exception() is None:
            nbformat.write(run.result(), NOTEBOOKS / name)
    failed = {name: run.exception() for name, run in runs.items() if run.exception()}
    sys.exit("\n".join(f"{name}: {error}" for name, error in failed.items()) or None)


if __name__ == "__main__":
    main()
