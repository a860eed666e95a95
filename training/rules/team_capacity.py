"""How many accounts a team can work: what was set, what its hours allow, or an assumption."""

from dataclasses import dataclass

import polars as pl

from data.config.settings import MONTH_DAYS, Settings
from data.errors import SettingsError

__all__ = ["ContactCapacity", "describe_default_capacity", "resolve_capacity", "with_team_capacity"]


@dataclass(frozen=True)
class ContactCapacity:
    """Accounts a team can work per 30-day as-of, and where the number is from, in a sentence."""

    accounts: int
    explanation: str


def resolve_capacity(settings: Settings, accounts: pl.DataFrame) -> ContactCapacity:
    """Decide how many accounts a team can work per as-of.

    ``evaluation.capacity`` holds where it is set, else the hours of ``[team]``.

    Parameters
    ----------
    settings : data.config.settings.Settings
        Team and evaluation.
    accounts : polars.DataFrame
        The accounts table; ``csm`` counts the team where ``team.csms`` does not.

    Returns
    -------
    ContactCapacity
        At least one account.

    Raises
    ------
    data.errors.SettingsError
        If hours are given, but neither the settings nor the accounts table tell of how many CSMs.

    Examples
    --------
    >>> four = Settings(team={"csms": 4, "hours_per_month": 6, "minutes_per_account": 45})
    >>> resolve_capacity(four, pl.DataFrame()).explanation
    '32 accounts per as-of: 4 CSMs with 6 hours each in 30 days, at 45 minutes an account.'
    """
    configured, team = settings.evaluation.capacity, settings.team
    if "capacity" in settings.evaluation.model_fields_set:
        return ContactCapacity(
            configured, f"{configured} accounts per as-of, as evaluation.capacity says."
        )
    if team.hours_per_month is None:
        return ContactCapacity(configured, describe_default_capacity(configured))
    csms = team.csms or _count_csms(accounts)
    available = max(int(csms * team.hours_per_month * 60 / team.minutes_per_account), 1)
    return ContactCapacity(
        available,
        f"{available} accounts per as-of: {csms} CSMs with {team.hours_per_month:g} hours each in"
        f" {MONTH_DAYS} days, at {team.minutes_per_account:g} minutes an account.",
    )


def describe_default_capacity(accounts: int) -> str:
    """Say that nobody has said how many accounts a team can work."""
    return f"no capacity is set: {accounts} accounts per as-of are assumed."


def with_team_capacity(settings: Settings, accounts: pl.DataFrame) -> Settings:
    """Set ``evaluation.capacity`` to what the team's hours allow, where they decide it."""
    if settings.team.hours_per_month is None:
        return settings
    available = resolve_capacity(settings, accounts).accounts
    evaluation = settings.evaluation.model_copy(update={"capacity": available})
    return settings.model_copy(update={"evaluation": evaluation})


def _count_csms(accounts: pl.DataFrame) -> int:
    csm_count = accounts["csm"].drop_nulls().n_unique() if "csm" in accounts.columns else 0
    if not csm_count:
        raise SettingsError(
            "team.hours_per_month needs the number of CSMs, and the accounts table names none in"
            " its column csm; set team.csms."
        )
    return csm_count
