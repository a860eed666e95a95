"""Readiness dates of accounts in cool-down."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data import simulator
from data.config import settings as settings_loader
from features.activity import load
from serving.scoring import score
from serving.scoring.list_history import ListHistory

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
TODAY = AS_OF.date()
Score = Callable[..., pl.DataFrame]


@pytest.fixture(scope="module")
def score_tier_1(tmp_path_factory: pytest.TempPathFactory) -> Score:
    """A function that ranks by tier rules and returns the tier 1 accounts."""
    folder: Path = tmp_path_factory.mktemp("company")
    simulator.write_company(folder, accounts=200, months=8, seed=5)
    config = settings_loader.load_settings(folder / "expansion.toml")
    tables, log = load.load_data(config, now=AS_OF + timedelta(days=1))
    score_list = partial(score.score, None, tables, log, AS_OF, config)

    def run(**history: Any) -> pl.DataFrame:
        return score_list(history=ListHistory(**history)).accounts.sort("account_id").filter(tier=1)

    return run


def communicated(rows: pl.DataFrame, ready: date) -> pl.DataFrame:
    """The dates communicated by the list of the previous week."""
    week_ago = TODAY - timedelta(weeks=1)
    columns = rows.select("account_id", "band", "tier")
    return columns.with_columns(as_of=pl.lit(week_ago), readiness_date=pl.lit(ready))


def test_no_readiness_date_lies_before_the_end_of_a_cooldown(score_tier_1: Score) -> None:
    new = score_tier_1()
    assert (new["readiness_date"] == TODAY).all()
    until = TODAY + timedelta(days=90)
    one, two = new["account_id"][:2]

    suppressed = score_tier_1(
        previous_dates=communicated(new, TODAY),
        snoozed_until={one: until},
        recent_touches={two: TODAY - timedelta(days=9)},
    )

    days = dict(suppressed.select("account_id", "readiness_date").iter_rows())
    assert days[one] == until
    assert days[two] == TODAY + timedelta(days=51)
    assert "cooldown_until" not in suppressed.columns
