"""The capacity is what was set, else what the team's hours allow, else an assumption."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import EvaluationConfig, Settings, Team
from data.errors import SettingsError
from training.rules import team_capacity

ACCOUNTS = pl.DataFrame({"csm": ["Ada", "Bo", None, "Ada"]})


def test_without_anything_set_twenty_are_assumed_and_it_is_said() -> None:
    found = team_capacity.resolve_capacity(Settings(), ACCOUNTS)

    assert found.accounts == 20
    assert found.explanation == "no capacity is set: 20 accounts per as-of are assumed."
    assert team_capacity.with_team_capacity(Settings(), ACCOUNTS) == Settings()


def test_the_csms_of_the_accounts_table_count_where_the_settings_do_not() -> None:
    settings = Settings(team=Team(hours_per_month=10, minutes_per_account=50))

    found = team_capacity.resolve_capacity(settings, ACCOUNTS)

    assert found.accounts == 24
    assert found.explanation.startswith("24 accounts per as-of: 2 CSMs with 10 hours each")
    assert team_capacity.with_team_capacity(settings, ACCOUNTS).evaluation.capacity == 24


def test_a_capacity_that_is_set_goes_before_the_teams_hours() -> None:
    settings = Settings(
        team=Team(csms=9, hours_per_month=9), evaluation=EvaluationConfig(capacity=20)
    )

    assert team_capacity.resolve_capacity(settings, ACCOUNTS).explanation == (
        "20 accounts per as-of, as evaluation.capacity says."
    )
    assert team_capacity.with_team_capacity(settings, ACCOUNTS).evaluation.capacity == 20


@given(st.integers(1, 50), st.floats(0.1, 200), st.floats(1, 600))
def test_the_hours_are_used_but_not_exceeded(csms: int, hours: float, minutes: float) -> None:
    given_team = Team(csms=csms, hours_per_month=hours, minutes_per_account=minutes)

    worked = team_capacity.resolve_capacity(Settings(team=given_team), ACCOUNTS).accounts

    available = csms * hours * 60
    assert worked == 1 or worked * minutes <= available * (1 + 1e-9)
    assert (worked + 1) * minutes > available * (1 - 1e-9)


def test_hours_of_nobody_are_refused() -> None:
    settings = Settings(team=Team(hours_per_month=10))

    with pytest.raises(SettingsError, match=r"set team\.csms\.$"):
        team_capacity.resolve_capacity(
            settings, pl.DataFrame({"csm": [None]}, schema={"csm": pl.String})
        )
