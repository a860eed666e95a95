"""The architecture: order of layers, sub-packages without cycles, homes of heavy libraries."""

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("data", "features", "training", "serving")
MAX_FOLDER_ENTRIES = 16
NOT_SOURCE = {"__init__.py", "__pycache__", "local"}
# The modules and packages that may import each heavy library.
LIBRARY_HOMES = {
    "narwhals": {
        "data/ingest/table_loader.py",
        "features/activity/",
        "features/online.py",
    },
    "pyspark": {"features/activity/daily_aggregates.py", "features/activity/spark/"},
    "mlflow": {"training/registry/"},
    "lightgbm": {
        "training/model/gbm.py",
        "training/model/propensity.py",
        "training/evaluation/reference_models.py",
        "training/registry/serialization.py",
    },
    "optuna": {"training/tuning/"},
    "sqlalchemy": {
        "data/ingest/sql.py",
        "training/tuning/study_store.py",
        "serving/cli/commands/options.py",
        "serving/delivery/",
        "serving/events/",
        "serving/monitoring/feedback_report.py",
        "serving/notify/digest/content.py",
        "serving/notify/slack/",
        "serving/scoring/list_history.py",
        "serving/store/",
        "serving/web/",
    },
    "alembic": {"serving/store/migrate.py", "serving/store/migrations/"},
    "fastapi": {
        "serving/web/app.py",
        "serving/web/dependencies.py",
        "serving/web/routes/",
        "serving/web/uvicorn_server.py",
    },
    "starlette": {"serving/events/ingest/asgi.py", "serving/web/"},
    "uvicorn": {"serving/web/uvicorn_server.py"},
    "httpx": {"serving/delivery/crm/odoo/client.py"},
    "hubspot": {"serving/delivery/crm/hubspot/client.py"},
    "simple_salesforce": {
        "serving/delivery/crm/salesforce/client.py",
        "serving/delivery/crm/salesforce/errors.py",
    },
    "slack_sdk": {"serving/notify/slack/client.py"},
    "matplotlib": {"training/report/"},
}


def _modules() -> list[Path]:
    paths = (path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py")))
    return [path for path in paths if not NOT_SOURCE & set(path.relative_to(ROOT).parts[:-1])]


def _modules_of(package: Path) -> list[Path]:
    return [path for path in _modules() if package in path.parents]


def _packages() -> list[Path]:
    return sorted({path.parent for path in _modules()})


@functools.cache
def _imports(path: Path) -> set[str]:
    """Return the dotted names that a module imports, deferred and type-checking imports included.

    ``from a.b import c`` counts as ``a.b.c``, which may be a module or a name in one.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _top_level_imports(path: Path) -> set[str]:
    return {name.split(".")[0] for name in _imports(path)}


def _sibling_imports(package: Path) -> dict[str, set[str]]:
    """Map each module and sub-package of a package to the siblings that it imports."""
    prefix = package.relative_to(ROOT).parts
    siblings = {
        path.relative_to(package).parts[0].removesuffix(".py") for path in _modules_of(package)
    }
    graph = defaultdict(set)
    for path in _modules_of(package):
        importer = path.relative_to(package).parts[0].removesuffix(".py")
        for name in _imports(path):
            parts = tuple(name.split("."))
            if len(parts) > len(prefix) and parts[: len(prefix)] == prefix:
                graph[importer].add(parts[len(prefix)])
    return {
        importer: (imported & siblings) - {importer, "__init__"}
        for importer, imported in graph.items()
        if importer != "__init__"
    }


def _path_between(graph: Mapping[str, set[str]], start: str, goal: str) -> list[str]:
    """Return the shortest chain of imports from one sibling to another; empty if there is none."""
    chains, visited = [[start]], set()
    for chain in chains:
        for imported in sorted(graph.get(chain[-1], set()) - visited):
            if imported == goal:
                return [*chain, goal]
            visited.add(imported)
            chains.append([*chain, imported])
    return []


def _identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", _modules(), ids=_identify)
def test_a_layer_imports_itself_and_the_layers_before_it(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    later = set(LAYERS[LAYERS.index(layer) + 1 :])

    assert not _top_level_imports(path) & (later | {"tests", "notebooks"})


@pytest.mark.parametrize("package", _packages(), ids=_identify)
def test_sub_packages_do_not_import_each_other_in_a_cycle(package: Path) -> None:
    graph = _sibling_imports(package)
    sub_packages = [name for name in graph if (package / name).is_dir()]

    cycles = [_path_between(graph, name, name) for name in sub_packages]

    assert not [" -> ".join(cycle) for cycle in cycles if cycle]


@pytest.mark.parametrize("library", LIBRARY_HOMES)
def test_a_heavy_library_is_imported_only_in_its_home(library: str) -> None:
    importers = {_identify(path) for path in _modules() if library in _top_level_imports(path)}
    homes = LIBRARY_HOMES[library]

    assert not {path for path in importers if not path.startswith(tuple(homes))}
    assert not {home for home in homes if not any(path.startswith(home) for path in importers)}


@pytest.mark.parametrize("package", _packages(), ids=_identify)
def test_a_folder_holds_few_entries(package: Path) -> None:
    entries = {entry.name for entry in package.iterdir()} - NOT_SOURCE

    assert len(entries) <= MAX_FOLDER_ENTRIES, sorted(entries)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_exports_names_that_exist(layer: str) -> None:
    package = importlib.import_module(layer)

    for name in package.__all__:
        assert hasattr(package, name) or importlib.util.find_spec(f"{layer}.{name}"), name


def test_the_folder_called_mlflow_does_not_shadow_the_library() -> None:
    spec = importlib.util.find_spec("mlflow")

    assert spec is not None
    assert spec.origin is not None
    assert not list((ROOT / "mlflow").rglob("*.py"))


def test_no_other_distribution_installs_our_packages() -> None:
    owners = importlib.metadata.packages_distributions()

    for layer in LAYERS:
        assert set(owners.get(layer, [])) <= {"expansion-propensity"}


def test_the_data_package_is_not_ignored_by_git() -> None:
    result = subprocess.run(
        ["git", "check-ignore", "data/ingest/table_loader.py"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )

    assert result.returncode == 1


def test_pinned_requirements_name_no_registry() -> None:
    for requirements in ROOT.glob("requirements*.txt"):
        assert "://" not in requirements.read_text(encoding="utf-8")


def test_tests_do_not_edit_the_import_path() -> None:
    edits = re.compile(r"sys\.path\b|syspath_prepend\(")
    modules = [path for path in sorted((ROOT / "tests").rglob("*.py")) if path != Path(__file__)]

    assert not [_identify(path) for path in modules if edits.search(path.read_text("utf-8"))]
