"""Panels to evaluate: built once and stored, because they are the expensive part."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from data import simulator
from data.config import settings
from data.config.settings import Settings
from features.activity.load import load_data
from features.catalogue import FEATURE_NAMES
from features.panel.builder import SNAPSHOT_KEYS
from tests import ROOT
from tests.benchmarks.model.bench_plan import OPENSTACK
from training.pipeline import training_run

__all__ = [
    "CompanyHistory",
    "build_panels",
    "hash_panel_code",
    "load_ground_truth",
    "load_history",
    "resolve_end",
]

_END = datetime(2026, 6, 1, tzinfo=UTC)
_NOW = _END + timedelta(days=1)
# A smoke run checks that the benchmark runs, not the quality of the model.
_SMOKE = {
    "model": {"ensemble_size": 2, "n_estimators": 40},
    "evaluation": {"refit_months": 36, "n_bootstrap": 20},
}


@dataclass(frozen=True)
class CompanyHistory:
    """A company's history as walk-forward validation reads it."""

    settings: Settings
    snapshots: pl.DataFrame
    contracts: pl.DataFrame
    end: datetime


def build_panels(name: str, folder: Path, weeks_back: tuple[int, ...]) -> dict[str, Any]:
    """Build a company's panels at the end and weeks before it, unless they are stored.

    The name is ``openstack``, or ``simulated-ACCOUNTS-MONTHS-SEED``. Every as-of of a panel moves
    with its end, as in a weekly run.
    """
    panel_folder = folder / "panels" / name
    missing = [
        week for week in weeks_back if not _is_current(panel_folder / f"snapshots-{week}.parquet")
    ]
    if missing:
        # An earlier run may have been interrupted, or used other features.
        shutil.rmtree(panel_folder, ignore_errors=True)
        config = _prepare_company(name, folder)
        tables, log = load_data(config, now=_NOW)
        panel_folder.mkdir(parents=True)
        for week in weeks_back:
            history = training_run.build_history(config, tables, log, resolve_end(week))
            history.panel.snapshots.write_parquet(panel_folder / f"snapshots-{week}.parquet")
        history.contracts.write_parquet(panel_folder / "contracts.parquet")
        (panel_folder / "provenance.json").write_text(
            json.dumps({"date": str(_utc_today()), "code": hash_panel_code()})
        )
        _delete_large_files(name, folder)
    provenance: dict[str, Any] = json.loads((panel_folder / "provenance.json").read_text())
    return provenance


def load_history(name: str, folder: Path, *, smoke: bool, week: int = 0) -> CompanyHistory:
    """Load a company's panel of ``week`` weeks before the end."""
    panel_folder = folder / "panels" / name
    return CompanyHistory(
        _apply_smoke_settings(settings.load_settings(_settings_path(name, folder)), smoke=smoke),
        pl.read_parquet(panel_folder / f"snapshots-{week}.parquet"),
        pl.read_parquet(panel_folder / "contracts.parquet"),
        resolve_end(week),
    )


def load_ground_truth(name: str, folder: Path, table: str) -> pl.DataFrame:
    """Load a ground-truth table of the simulator: ``truth`` or ``drivers``."""
    return pl.read_parquet(folder / "companies" / name / f"{table}.parquet").with_columns(
        cs.by_name("as_of", require_all=False).dt.date()
    )


def resolve_end(week: int) -> datetime:
    """Return the end of the data, or ``week`` weeks before it."""
    return _END - timedelta(weeks=week)


def hash_panel_code() -> str:
    """Return a hash of the code that builds panels."""
    digest = hashlib.sha256()
    for layer in ("data", "features"):
        for file in sorted((ROOT / layer).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _prepare_company(name: str, folder: Path) -> Settings:
    if name != OPENSTACK:
        _, accounts, months, seed = name.split("-")
        simulator.write_company(
            folder / "companies" / name, accounts=int(accounts), months=int(months), seed=int(seed)
        )
        return settings.load_settings(_settings_path(name, folder))
    state = str(folder / "companies" / name)
    return settings.load_settings(_settings_path(name, folder)).model_copy(update={"state": state})


def _settings_path(name: str, folder: Path) -> Path:
    if name == OPENSTACK:
        return ROOT / "data/examples/openstack.toml"
    return folder / "companies" / name / "expansion.toml"


def _apply_smoke_settings(config: Settings, *, smoke: bool) -> Settings:
    if not smoke:
        return config
    sections = {
        name: getattr(config, name).model_copy(update=changes) for name, changes in _SMOKE.items()
    }
    return config.model_copy(update=sections)


def _is_current(file: Path) -> bool:
    """Check that a stored panel has the columns that the model reads now."""
    return file.exists() and set(pl.read_parquet_schema(file)) == {*SNAPSHOT_KEYS, *FEATURE_NAMES}


def _delete_large_files(name: str, folder: Path) -> None:
    """Delete a company's large files; its small ones stay."""
    for heavy in ("events", "activity"):
        shutil.rmtree(folder / "companies" / name / heavy, ignore_errors=True)


def _utc_today() -> date:
    return datetime.now(UTC).date()
