"""What a line says, put together: here of accounts that are left alone for a while."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data import simulator
from data.config import settings as configured
from serving.scoring import score
from training.pipeline import training_run

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
TODAY = AS_OF.date()
Scored = Callable[..., pl.DataFrame]


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """The list of the day by the tier rules; of accounts that are at tier 1."""
    folder: Path = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=200, months=8, seed=5)
    config = configured.load_settings(folder / "expansion.toml")
    tables, log = training_run.load_data(config, now=AS_OF + timedelta(days=1))
    made = partial(score.score, None, tables, log, AS_OF, config)

    def told(**more: Any) -> pl.DataFrame:
        return made(**more).accounts.sort("account_id").filter(tier=1)

    return told


def promised(lines: pl.DataFrame, ready: date) -> pl.DataFrame:
    """What the list of last week would have said of them."""
    week_ago = TODAY - timedelta(weeks=1)
    said = lines.select("account_id", "probability", "tier")
    return said.with_columns(as_of=pl.lit(week_ago), readiness_date=pl.lit(ready))


def test_nobody_is_talked_to_before_they_are_no_longer_left_alone(listed: Scored) -> None:
    new = listed()
    assert (new["readiness_date"] == TODAY).all()
    until = TODAY + timedelta(days=90)
    one, two = new["account_id"][:2]

    rested = listed(
        promised=promised(new, TODAY),
        not_now={one: until},
        worked={two: TODAY - timedelta(days=9)},
    )

    days = dict(rested.select("account_id", "readiness_date").iter_rows())
    assert days[one] == until
    assert days[two] == TODAY + timedelta(days=51)
    assert "rest_until" not in rested.columns
