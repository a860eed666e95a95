"""Capacity comes from the setting, else from the team's hours, else from the default."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import EvaluationConfig, Settings, TeamConfig
from data.errors import SettingsError
from training.rules import team_capacity

ACCOUNTS = pl.DataFrame({"csm": ["Ada", "Bo", None, "Ada"]})


def test_the_default_capacity_is_twenty_and_noted() -> None:
    capacity = team_capacity.resolve_capacity(Settings(), ACCOUNTS)

    assert capacity.accounts == 20
    assert capacity.explanation == "no capacity is set: 20 accounts per as-of date are assumed."
    assert team_capacity.apply_team_capacity(Settings(), ACCOUNTS) == Settings()


def test_the_accounts_table_gives_the_number_of_csms() -> None:
    settings = Settings(team=TeamConfig(hours_per_month=10, minutes_per_account=50))

    capacity = team_capacity.resolve_capacity(settings, ACCOUNTS)

    assert capacity.accounts == 24
    assert capacity.explanation.startswith("24 accounts per as-of date: 2 CSMs with 10 hours each")
    assert team_capacity.apply_team_capacity(settings, ACCOUNTS).evaluation.capacity == 24


def test_a_configured_capacity_takes_precedence() -> None:
    settings = Settings(
        team=TeamConfig(csms=9, hours_per_month=9), evaluation=EvaluationConfig(capacity=20)
    )

    assert team_capacity.resolve_capacity(settings, ACCOUNTS).explanation == (
        "20 accounts per as-of date, set by evaluation.capacity."
    )
    assert team_capacity.apply_team_capacity(settings, ACCOUNTS).evaluation.capacity == 20


@given(st.integers(1, 50), st.floats(0.1, 200), st.floats(1, 600))
def test_capacity_uses_but_does_not_exceed_the_hours(
    csms: int, hours: float, minutes: float
) -> None:
    team = TeamConfig(csms=csms, hours_per_month=hours, minutes_per_account=minutes)

    contacts = team_capacity.resolve_capacity(Settings(team=team), ACCOUNTS).accounts

    available = csms * hours * 60
    assert contacts == 1 or contacts * minutes <= available * (1 + 1e-9)
    assert (contacts + 1) * minutes > available * (1 - 1e-9)


def test_hours_without_csms_are_rejected() -> None:
    settings = Settings(team=TeamConfig(hours_per_month=10))

    with pytest.raises(SettingsError, match=r"set team\.csms\.$"):
        team_capacity.resolve_capacity(
            settings, pl.DataFrame({"csm": [None]}, schema={"csm": pl.String})
        )
