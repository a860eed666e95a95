"""A third derivation: the account aggregates agree with SQL (DuckDB) and pandas.

The SQL is also the reference implementation of ``tests/benchmarks``. Here it checks every
aggregate of every account.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars import selectors as cs
from polars.testing import assert_frame_equal

from data import simulator
from data.config import settings
from data.config.settings import MONTH_DAYS, Settings
from data.ingest import table_loader
from features.activity.daily_tables import Activity
from features.panel import account_aggregates, builder
from tests import ROOT
from tests.benchmarks.features import duckdb_build, pandas_build
from tests.tables import build_log

OPENSTACK = ROOT / "data/examples/openstack.toml"
AS_OFS = 3


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=60, months=14, seed=5)
    config = settings.load_settings(folder / "expansion.toml")
    stable = ("department", "email_domain", "seat_type")
    return config.model_copy(
        update={"tables": config.tables.model_copy(update={"time_invariant_attributes": stable})}
    )


OTHER_RULES = {
    "seats": settings.SeatsConfig(events=("login", "api_call"), window_days=90),
    "roles": settings.RolesConfig(login=(), nps=("nps", "support_ticket"), support_ticket=()),
    "adoption": settings.AdoptionConfig(advanced_features=("goals", "rules", "reports")),
}


@pytest.mark.parametrize(
    "rules",
    [{}, {"seats": settings.SeatsConfig(window_days=60)}, OTHER_RULES],
    ids=["usual rules", "two months", "other rules"],
)
def test_sql_counts_the_same_on_a_simulated_log(
    company: Settings, tmp_path: Path, rules: dict[str, Any]
) -> None:
    actual, expected = build_both(company.model_copy(update=rules), tmp_path)

    assert actual.height > 50 * AS_OFS
    assert_same(actual, expected)


def test_pandas_counts_the_same_on_a_simulated_log(company: Settings, tmp_path: Path) -> None:
    tables, log, as_ofs = read(company, tmp_path)

    actual = build_aggregates(log, tables, as_ofs, company)
    result = list(pandas_build.aggregate_as_ofs(files(company), tables, as_ofs, company))

    for as_of, frame in zip(as_ofs, result, strict=True):
        reference = pl.from_pandas(frame.reset_index())
        computed = actual.filter(pl.col("as_of") == as_of.date())
        assert reference.width > 100
        assert_same(computed.select(reference.columns), reference)


@pytest.mark.slow
def test_sql_counts_the_same_on_a_real_product_log(tmp_path: Path) -> None:
    config = settings.load_settings(OPENSTACK)
    folder = config.base / config.tables.folder
    if not folder.exists():
        pytest.skip(f"the OpenStack log is not on this machine: no folder {folder.resolve()}")

    actual, expected = build_both(config, tmp_path, as_ofs=24)

    assert actual.height > 10_000
    assert_same(actual, expected)


def build_both(
    config: Settings, folder: Path, as_ofs: int = AS_OFS
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the aggregates of both, at as-ofs a month apart back from the end of the log."""
    tables, log, moments = read(config, folder, as_ofs)
    con = duckdb_build.open_database()
    duckdb_build.build_activity(con, files(config), tables, config)
    expected = pl.concat(duckdb_build.aggregate_as_ofs(con, moments, config))
    return build_aggregates(log, tables, moments, config), expected


def read(
    config: Settings, folder: Path, as_ofs: int = AS_OFS
) -> tuple[table_loader.Tables, Activity, list[datetime]]:
    tables = table_loader.load_tables(config)
    log = build_log(tables, folder, config)
    assert log.last_day is not None
    # Not on the last day: rows known after an as-of must not be used.
    last = datetime.fromisoformat(f"{log.last_day}T00:00Z") - timedelta(days=20)
    return tables, log, [last - timedelta(days=MONTH_DAYS * back) for back in range(as_ofs)]


def files(config: Settings) -> list[Path]:
    return sorted((config.base / config.tables.folder).glob(str(config.tables.events)))


def build_aggregates(
    log: Activity, tables: table_loader.Tables, as_ofs: list[datetime], config: Settings
) -> pl.DataFrame:
    """Return the account aggregates before they become features."""
    taken: list[pl.DataFrame] = []
    at = account_aggregates.aggregate_accounts

    def listening(*args: Any, **kwargs: Any) -> pl.DataFrame:
        taken.append(at(*args, **kwargs))
        return taken[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account_aggregates, "aggregate_accounts", listening)
        builder.build_panel(log, tables, as_ofs, config)
    return pl.concat(taken)


def assert_same(actual: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Assert equality in every row and column, floats to nine digits."""
    assert set(expected.columns) == set(actual.columns)
    left, right = (
        frame.select(actual.columns)
        .cast({cs.numeric(): pl.Float64, cs.datetime(): pl.Datetime("us", "UTC")})
        .sort([name for name in ("as_of", "account_id") if name in actual.columns])
        for frame in (actual, expected)
    )
    assert_frame_equal(left, right, rel_tol=1e-9, abs_tol=1e-9)
