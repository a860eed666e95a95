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
        "features/activity/daily_aggregates.py",
        "features/activity/bitwise.py",
        "features/activity/daily_tables.py",
        "features/activity/tasks.py",
        "features/online.py",
        "features/activity/spark/spark_engine.py",
        "data/ingest/table_loader.py",
    },
    "pyspark": {
        "features/activity/bitwise.py",
        "features/activity/spark/spark_engine.py",
        "features/activity/spark/spark_deduplication.py",
        "features/activity/spark/session.py",
    },
    "mlflow": {
        "training/registry/aliases.py",
        "training/registry/model_store.py",
        "training/registry/promotion.py",
        "training/registry/runs.py",
        "training/registry/store.py",
    },
    "lightgbm": {
        "training/model/propensity.py",
        "training/model/gbm.py",
        "training/registry/serialization.py",
        "training/evaluation/reference_models.py",
    },
    "optuna": {"training/tuning/search.py", "training/tuning/study_store.py"},
    "sqlalchemy": {
        "serving/monitoring/feedback_report.py",
        "serving/scoring/previous_dates.py",
        "data/ingest/sql.py",
        "training/tuning/study_store.py",
        "serving/state/",
        "serving/outbox/",
        "serving/crm/",
        "serving/events/",
        "serving/web/",
        "serving/slack/",
        "serving/notify/digest/load.py",
        "serving/cli/commands/options.py",
    },
    "fastapi": {
        "serving/events/ingest/asgi.py",
        "serving/web/routes/account_page.py",
        "serving/web/app.py",
        "serving/web/routes/status_pages.py",
        "serving/web/routes/list_page.py",
        "serving/web/uvicorn_server.py",
        "serving/web/routes/sign_in.py",
        "serving/web/dependencies.py",
    },
    "uvicorn": {"serving/web/uvicorn_server.py"},
    "alembic": {"serving/state/"},
    "httpx": {"serving/delivery/crm/odoo/__init__.py", "serving/delivery/crm/odoo/client.py"},
    "hubspot": {"serving/delivery/crm/hubspot/client.py"},
    "simple_salesforce": {
        "serving/delivery/crm/salesforce/client.py",
        "serving/delivery/crm/salesforce/errors.py",
        "serving/delivery/crm/salesforce/soql.py",
    },
    "slack_sdk": {"serving/notify/slack/client.py"},
    "matplotlib": {
        "training/report/run_plots.py",
        "training/report/importance_plot.py",
        "training/registry/run_record.py",
        "training/report/svg.py",
        "training/report/charts/plot_helpers.py",
        "training/report/charts/probability_charts.py",
        "training/report/charts/backtest_charts.py",
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
        ["git", "check-ignore", "data/ingest/table_loader.py"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )

    assert ignored.returncode == 1


def test_pins_name_no_registry() -> None:
    for pins in ROOT.glob("requirements*.txt"):
        assert "://" not in pins.read_text(encoding="utf-8")
