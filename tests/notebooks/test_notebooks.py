"""The notebooks run from their source without a warning, and show what they gave."""

import re
import shutil
from concurrent.futures import Future
from typing import Any

import execute
import pytest
from nbformat import NotebookNode

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.filterwarnings("default"),  # those of Jupyter's own plumbing
]
NAMES = execute.names()
LARGEST_BYTES = 400_000
HERE = re.compile(r"(/home/|/root/|/tmp/|/Users/|/work/|[A-Z]:\\\\)")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[NotebookNode]]:
    """Every notebook, executed beside a company of its own."""
    folder = tmp_path_factory.mktemp("project") / "notebooks"
    shutil.copytree(execute.NOTEBOOKS, folder)
    return execute.each(NAMES, folder)


def _outputs(notebook: NotebookNode) -> list[Any]:
    return [output for cell in execute.code(notebook) for output in cell.outputs]


def test_there_are_notebooks() -> None:
    assert len(NAMES) == 5


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_its_source(name: str, runs: Any) -> None:
    notebook = runs[name].result()

    assert not [o.text for o in _outputs(notebook) if o.get("name") == "stderr"]


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_shows_what_its_code_gave(name: str, runs: Any) -> None:
    committed = execute.read(execute.NOTEBOOKS / name)
    cells = execute.code(committed)
    kinds = [[o.output_type for o in cell.outputs] for cell in cells]
    afresh = [[o.output_type for o in cell.outputs] for cell in execute.code(runs[name].result())]

    assert committed.metadata["expansion"]["executed"] == execute.digest(committed), (
        "make notebooks"
    )
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert kinds == afresh, "make notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_is_small_and_shows_plots(name: str) -> None:
    committed = execute.read(execute.NOTEBOOKS / name)
    plots = [o for o in _outputs(committed) if "image/png" in o.get("data", {})]

    assert (execute.NOTEBOOKS / name).stat().st_size < LARGEST_BYTES
    assert len(plots) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_names_no_place_on_a_machine(name: str) -> None:
    text = (execute.NOTEBOOKS / name).read_text(encoding="utf-8")

    assert not HERE.findall(re.sub(r'"image/png": "[^"]*"', "", text))
