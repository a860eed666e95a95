"""The panels that are judged: made once and kept, for they are the costly part."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from plan import OPENSTACK

from data import simulator
from data.config import settings
from data.config.settings import Settings
from features.catalogue import FEATURE_NAMES
from features.panel.builder import SNAPSHOT_KEYS
from training.pipeline import training_run

__all__ = ["Past", "code", "end_of", "load", "make", "truth"]

ROOT = Path(__file__).resolve().parents[3]
_END = datetime(2026, 6, 1, tzinfo=UTC)
_NOW = _END + timedelta(days=1)
# A smoke run asks whether the bench runs, not how good the model is.
_SMOKE = {
    "model": {"ensemble_size": 2, "n_estimators": 40},
    "evaluation": {"refit_months": 36, "n_bootstrap": 20},
}


@dataclass(frozen=True)
class Past:
    """A company's past as the walk forward reads it."""

    settings: Settings
    snapshots: pl.DataFrame
    contracts: pl.DataFrame
    end: datetime


def make(name: str, folder: Path, weeks_back: tuple[int, ...]) -> dict[str, Any]:
    """Make a company's panels as they stood at the end, and weeks before it, unless they are kept.

    Parameters
    ----------
    name : str
        ``openstack``, or ``simulated-ACCOUNTS-MONTHS-SEED``.
    folder : pathlib.Path
        The bench's.
    weeks_back : tuple of int
        For which ends; every as-of of a panel moves with its end, as it does in a weekly run.
    """
    where = folder / "panels" / name
    missing = [week for week in weeks_back if not _fits(where / f"snapshots-{week}.parquet")]
    if missing:
        # An earlier run may have been broken off, or have had other features.
        shutil.rmtree(where, ignore_errors=True)
        config = _configured(name, folder)
        tables, log = training_run.load_data(config, now=_NOW)
        where.mkdir(parents=True)
        for week in weeks_back:
            past = training_run.build_history(config, tables, log, end_of(week))
            past.panel.snapshots.write_parquet(where / f"snapshots-{week}.parquet")
        past.contracts.write_parquet(where / "contracts.parquet")
        (where / "made.json").write_text(json.dumps({"date": str(_today()), "code": code()}))
        _clear(name, folder)
    found: dict[str, Any] = json.loads((where / "made.json").read_text())
    return found


def load(name: str, folder: Path, *, smoke: bool, week: int = 0) -> Past:
    """Read a company's panel of so many weeks before the end."""
    where = folder / "panels" / name
    return Past(
        _changed(settings.load_settings(_settings_file(name, folder)), smoke=smoke),
        pl.read_parquet(where / f"snapshots-{week}.parquet"),
        pl.read_parquet(where / "contracts.parquet"),
        end_of(week),
    )


def truth(name: str, folder: Path, table: str) -> pl.DataFrame:
    """What only the simulator knows: its ``truth`` or its ``drivers``."""
    return pl.read_parquet(folder / "companies" / name / f"{table}.parquet")


def end_of(week: int) -> datetime:
    """The end of the data, or so many weeks before it."""
    return _END - timedelta(weeks=week)


def code() -> str:
    """Name the state of the code that panels are made by."""
    digest = hashlib.sha256()
    for floor in ("data", "features"):
        for file in sorted((ROOT / floor).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _configured(name: str, folder: Path) -> Settings:
    if name != OPENSTACK:
        _, accounts, months, seed = name.split("-")
        simulator.write_company(
            folder / "companies" / name, accounts=int(accounts), months=int(months), seed=int(seed)
        )
        return settings.load_settings(_settings_file(name, folder))
    state = str(folder / "companies" / name)
    return settings.load_settings(_settings_file(name, folder)).model_copy(update={"state": state})


def _settings_file(name: str, folder: Path) -> Path:
    if name == OPENSTACK:
        return ROOT / "data/examples/openstack.toml"
    return folder / "companies" / name / "expansion.toml"


def _changed(config: Settings, *, smoke: bool) -> Settings:
    if not smoke:
        return config
    sections = {
        name: getattr(config, name).model_copy(update=changes) for name, changes in _SMOKE.items()
    }
    return config.model_copy(update=sections)


def _fits(file: Path) -> bool:
    """Whether a kept panel has the columns that the model reads now."""
    return file.exists() and set(pl.read_parquet_schema(file)) == {*SNAPSHOT_KEYS, *FEATURE_NAMES}


def _clear(name: str, folder: Path) -> None:
    """Keep of a company what is small."""
    for heavy in ("events", "activity"):
        shutil.rmtree(folder / "companies" / name / heavy, ignore_errors=True)


def _today() -> date:
    return datetime.now(UTC).date()
