"""The architecture, held by tests: floors, doors, and the folder called mlflow."""

import ast
import functools
import importlib.metadata
import importlib.util
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("data", "features", "training", "serving")
# Each heavy library has one door.
DOORS = {
    "narwhals": {
        "features/daily.py",
        "features/engines.py",
        "features/activity.py",
        "features/due.py",
        "features/moment.py",
        "features/spark.py",
        "data/sources.py",
    },
    "pyspark": {
        "features/engines.py",
        "features/spark.py",
        "features/spark_copies.py",
        "features/spark_session.py",
    },
    "mlflow": {
        "training/registry/aliases.py",
        "training/registry/kept.py",
        "training/registry/promotion.py",
        "training/registry/runs.py",
        "training/registry/store.py",
    },
    "lightgbm": {
        "training/model.py",
        "training/trees.py",
        "training/artifact.py",
        "training/learners.py",
    },
    "optuna": {"training/search.py", "training/studies.py"},
    "sqlalchemy": {
        "serving/answers.py",
        "serving/promises.py",
        "data/database.py",
        "training/studies.py",
        "serving/state/",
        "serving/outbox/",
        "serving/crm/",
        "serving/events/",
        "serving/web/",
        "serving/slack/",
        "serving/digest/reading.py",
        "serving/commands/options.py",
    },
    "fastapi": {
        "serving/events/routes.py",
        "serving/web/accounts_routes.py",
        "serving/web/app.py",
        "serving/web/company_routes.py",
        "serving/web/list_routes.py",
        "serving/web/server.py",
        "serving/web/sign_in_routes.py",
        "serving/web/site.py",
    },
    "uvicorn": {"serving/web/server.py"},
    "alembic": {"serving/state/"},
    "httpx": {"serving/crm/odoo/__init__.py", "serving/crm/odoo/client.py"},
    "hubspot": {"serving/crm/hubspot/door.py"},
    "simple_salesforce": {
        "serving/crm/salesforce/client.py",
        "serving/crm/salesforce/complaints.py",
        "serving/crm/salesforce/soql.py",
    },
    "slack_sdk": {"serving/slack/wire.py"},
    "matplotlib": {
        "training/plots.py",
        "training/drivers.py",
        "training/record.py",
        "serving/report/paint.py",
        "serving/report/strokes.py",
        "serving/report/probability_charts.py",
        "serving/report/way_charts.py",
    },
}


def _modules() -> list[Path]:
    local = ROOT / "data" / "local"
    found = (path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py")))
    return [path for path in found if local not in path.parents]


@functools.cache
def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_floor_imports_itself_and_the_floors_before_it(path: Path) -> None:
    floor = path.relative_to(ROOT).parts[0]
    above = set(FLOORS[FLOORS.index(floor) + 1 :])

    assert not _imports(path) & (above | {"tests", "notebooks"})


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_has_one_door(library: str) -> None:
    users = {str(path.relative_to(ROOT)) for path in _modules() if library in _imports(path)}

    assert not {user for user in users if not user.startswith(tuple(DOORS[library]))}


def test_the_folder_called_mlflow_does_not_shadow_the_library() -> None:
    spec = importlib.util.find_spec("mlflow")

    assert spec is not None
    assert spec.origin is not None
    assert not list((ROOT / "mlflow").rglob("*.py"))


def test_the_four_packages_are_ours_alone() -> None:
    owners = importlib.metadata.packages_distributions()

    for floor in FLOORS:
        assert set(owners.get(floor, [])) <= {"expansion-propensity"}


def test_the_data_package_is_not_ignored_by_git() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "data/sources.py"], cwd=ROOT, capture_output=True, check=False
    )

    assert ignored.returncode == 1


def test_pins_name_no_registry() -> None:
    for pins in ROOT.glob("requirements*.txt"):
        assert "://" not in pins.read_text(encoding="utf-8")
