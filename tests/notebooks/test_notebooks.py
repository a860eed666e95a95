"""The notebooks run without a warning, and the committed outputs match the code."""

import re
import shutil
from concurrent.futures import Future
from typing import Any

import pytest
from nbformat import NotebookNode

from tests.notebooks import execute

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.filterwarnings("default"),  # warnings of Jupyter itself
]
NAMES = execute.list_notebooks()
LARGEST_BYTES = 400_000
LOCAL_PATH = re.compile(r"(/home/|/root/|/tmp/|/Users/|/work/|[A-Z]:\\\\)")


@pytest.fixture(scope="module")
def executions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[NotebookNode]]:
    """Execute every notebook in a folder with its own company."""
    folder = tmp_path_factory.mktemp("project") / "notebooks"
    shutil.copytree(execute.NOTEBOOKS, folder)
    return execute.execute_all(NAMES, folder)


def _outputs(notebook: NotebookNode) -> list[Any]:
    return [output for cell in execute.code_cells(notebook) for output in cell.outputs]


def test_there_are_notebooks() -> None:
    assert len(NAMES) == 5


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_its_source(name: str, executions: Any) -> None:
    notebook = executions[name].result()

    assert not [o.text for o in _outputs(notebook) if o.get("name") == "stderr"]


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_shows_the_outputs_of_its_code(name: str, executions: Any) -> None:
    committed = execute.read_notebook(execute.NOTEBOOKS / name)
    cells = execute.code_cells(committed)
    output_types = [[o.output_type for o in cell.outputs] for cell in cells]
    output_types_now = [
        [o.output_type for o in cell.outputs]
        for cell in execute.code_cells(executions[name].result())
    ]

    assert committed.metadata["expansion"]["executed"] == execute.hash_code(committed), (
        "make notebooks"
    )
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert output_types == output_types_now, "make notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_is_small_and_shows_plots(name: str) -> None:
    committed = execute.read_notebook(execute.NOTEBOOKS / name)
    plots = [o for o in _outputs(committed) if "image/png" in o.get("data", {})]

    assert (execute.NOTEBOOKS / name).stat().st_size < LARGEST_BYTES
    assert len(plots) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_contains_no_local_path(name: str) -> None:
    text = (execute.NOTEBOOKS / name).read_text(encoding="utf-8")

    assert not LOCAL_PATH.findall(re.sub(r'"image/png": "[^"]*"', "", text))
