"""Team capacity per as-of: from the settings, the working hours, or a default."""

from dataclasses import dataclass

import polars as pl

from data.config.settings import MONTH_DAYS, Settings
from data.errors import SettingsError

__all__ = [
    "ContactCapacity",
    "apply_team_capacity",
    "describe_default_capacity",
    "resolve_capacity",
]


@dataclass(frozen=True)
class ContactCapacity:
    """Accounts a team can contact per 30-day as-of, and how the number was derived."""

    accounts: int
    explanation: str


def resolve_capacity(settings: Settings, accounts: pl.DataFrame) -> ContactCapacity:
    """Determine how many accounts a team can contact per as-of.

    ``evaluation.capacity`` takes precedence where it is set, then the hours of ``[team]``. It is at
    least one. The column ``csm`` of the accounts table gives the team size where
    ``team.csms`` is not set.

    Raises
    ------
    data.errors.SettingsError
        If hours are set but the number of CSMs is neither in the settings nor in the accounts
        table.

    Examples
    --------
    >>> four = Settings(team={"csms": 4, "hours_per_month": 6, "minutes_per_account": 45})
    >>> resolve_capacity(four, pl.DataFrame()).explanation
    '32 accounts per as-of date: 4 CSMs with 6 hours each in 30 days, at 45 minutes an account.'
    """
    configured, team = settings.evaluation.capacity, settings.team
    if "capacity" in settings.evaluation.model_fields_set:
        return ContactCapacity(
            configured, f"{configured} accounts per as-of date, set by evaluation.capacity."
        )
    if team.hours_per_month is None:
        return ContactCapacity(configured, describe_default_capacity(configured))
    csms = team.csms or _count_csms(accounts)
    available = max(int(csms * team.hours_per_month * 60 / team.minutes_per_account), 1)
    return ContactCapacity(
        available,
        f"{available} accounts per as-of date: {csms} CSMs with {team.hours_per_month:g} hours each"
        f" in {MONTH_DAYS} days, at {team.minutes_per_account:g} minutes an account.",
    )


def describe_default_capacity(accounts: int) -> str:
    """Return the note that no capacity is set and the default is used."""
    return f"no capacity is set: {accounts} accounts per as-of date are assumed."


def apply_team_capacity(settings: Settings, accounts: pl.DataFrame) -> Settings:
    """Return settings with ``evaluation.capacity`` derived from the team's hours, if set."""
    if settings.team.hours_per_month is None:
        return settings
    available = resolve_capacity(settings, accounts).accounts
    evaluation = settings.evaluation.model_copy(update={"capacity": available})
    return settings.model_copy(update={"evaluation": evaluation})


def _count_csms(accounts: pl.DataFrame) -> int:
    csm_count = accounts["csm"].drop_nulls().n_unique() if "csm" in accounts.columns else 0
    if not csm_count:
        raise SettingsError(
            "team.hours_per_month needs the number of CSMs, and the accounts table has none in"
            " its column csm; set team.csms."
        )
    return csm_count
