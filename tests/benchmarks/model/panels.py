"""A company of the benchmark: its panels, built once because they are expensive, and its walk."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
    "BenchCompany",
    "CompanyHistory",
    "build_panels",
    "hash_panel_code",
    "resolve_end",
    "update_sections",
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


@dataclass(frozen=True)
class BenchCompany:
    """What is stored of a company: ``openstack``, or ``simulated-ACCOUNTS-MONTHS-SEED``."""

    name: str
    folder: Path
    smoke: bool = False

    @property
    def source_folder(self) -> Path:
        return self.folder / "companies" / self.name

    @property
    def panel_folder(self) -> Path:
        return self.folder / "panels" / self.name

    @property
    def walk_folder(self) -> Path:
        return self.folder / "walks" / self.name

    def load_settings(self) -> Settings:
        """Load a user's settings."""
        if self.name == OPENSTACK:
            config = settings.load_settings(ROOT / "data/examples/openstack.toml")
            return config.model_copy(update={"state": str(self.source_folder)})
        return settings.load_settings(self.source_folder / "expansion.toml")

    def load_history(self, week: int = 0) -> CompanyHistory:
        """Load the panel of ``week`` weeks before the end."""
        config = self.load_settings()
        return CompanyHistory(
            update_sections(config, _SMOKE) if self.smoke else config,
            pl.read_parquet(self.panel_folder / f"snapshots-{week}.parquet"),
            pl.read_parquet(self.panel_folder / "contracts.parquet"),
            resolve_end(week),
        )

    def load_ground_truth(self, table: str) -> pl.DataFrame:
        """Load a ground-truth table of the simulator: ``truth`` or ``drivers``."""
        return pl.read_parquet(self.source_folder / f"{table}.parquet").with_columns(
            cs.by_name("as_of", require_all=False).dt.date()
        )

    def load_predictions(self) -> pl.DataFrame:
        """Load the predictions of walk-forward validation."""
        return pl.read_parquet(self.walk_folder / "predictions.parquet")

    def load_explanations(self) -> pl.DataFrame:
        """Load the first reasons of each prediction, and the error of additivity."""
        return pl.read_parquet(self.walk_folder / "explanations.parquet")

    def has_metrics(self) -> bool:
        """Check whether any fold of the company could be trained and evaluated."""
        return (self.walk_folder / "metrics.json").exists()

    def load_metrics(self) -> dict[str, Any]:
        """Load the metrics of walk-forward validation."""
        stored: dict[str, Any] = json.loads(
            (self.walk_folder / "metrics.json").read_text(encoding="utf-8")
        )
        return stored


def build_panels(company: BenchCompany, *weeks_back: str) -> dict[str, Any]:
    """Build a company's panels at the end and weeks before it, unless they are stored.

    Every as-of of a panel moves with its end, as in a weekly run.
    """
    files = {int(week): company.panel_folder / f"snapshots-{week}.parquet" for week in weeks_back}
    if not all(_is_current(file) for file in files.values()):
        # An earlier run may have been interrupted, or used other features.
        shutil.rmtree(company.panel_folder, ignore_errors=True)
        if company.name != OPENSTACK:
            _, *sizes = company.name.split("-")
            accounts, months, seed = map(int, sizes)
            simulator.write_company(
                company.source_folder, accounts=accounts, months=months, seed=seed
            )
        config = company.load_settings()
        tables, log = load_data(config, now=_NOW)
        company.panel_folder.mkdir(parents=True)
        for week, file in files.items():
            history = training_run.build_history(config, tables, log, resolve_end(week))
            history.panel.snapshots.write_parquet(file)
        history.contracts.write_parquet(company.panel_folder / "contracts.parquet")
        (company.panel_folder / "provenance.json").write_text(
            json.dumps({"date": str(datetime.now(UTC).date()), "code": hash_panel_code()})
        )
        for heavy in ("events", "activity"):
            shutil.rmtree(company.source_folder / heavy, ignore_errors=True)
    provenance: dict[str, Any] = json.loads((company.panel_folder / "provenance.json").read_text())
    return provenance


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


def update_sections(config: Settings, updates: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Return settings with some values of some sections replaced."""
    sections = {
        name: getattr(config, name).model_copy(update=changes) for name, changes in updates.items()
    }
    return config.model_copy(update=sections)


def _is_current(file: Path) -> bool:
    """Check that a stored panel has the columns that the model reads now."""
    return file.exists() and set(pl.read_parquet_schema(file)) == {*SNAPSHOT_KEYS, *FEATURE_NAMES}
