"""How many accounts a team can work: what was set, what its hours allow, or an assumption."""

from dataclasses import dataclass

import polars as pl

from data.errors import SettingsError
from data.settings import MONTH_DAYS, Settings

__all__ = ["Capacity", "assumed", "capacity", "staffed"]


@dataclass(frozen=True)
class Capacity:
    """Accounts a team can work per 30-day as-of, and where the number is from, in a sentence."""

    accounts: int
    why: str


def capacity(settings: Settings, accounts: pl.DataFrame) -> Capacity:
    """Decide how many accounts a team can work per as-of.

    ``evaluation.capacity`` holds where it is set, else the hours of ``[team]``.

    Parameters
    ----------
    settings : data.settings.Settings
        Team and evaluation.
    accounts : polars.DataFrame
        The accounts table; ``csm`` counts the team where ``team.csms`` does not.

    Returns
    -------
    Capacity
        At least one account.

    Raises
    ------
    data.errors.SettingsError
        If hours are given, but neither the settings nor the accounts table tell of how many CSMs.

    Examples
    --------
    >>> four = Settings(team={"csms": 4, "hours_per_month": 6, "minutes_per_account": 45})
    >>> capacity(four, pl.DataFrame()).why
    '32 accounts per as-of: 4 CSMs with 6 hours each in 30 days, at 45 minutes an account.'
    """
    set_to, team = settings.evaluation.capacity, settings.team
    if "capacity" in settings.evaluation.model_fields_set:
        return Capacity(set_to, f"{set_to} accounts per as-of, as evaluation.capacity says.")
    if team.hours_per_month is None:
        return Capacity(set_to, assumed(set_to))
    csms = team.csms or _csms(accounts)
    worked = max(int(csms * team.hours_per_month * 60 / team.minutes_per_account), 1)
    return Capacity(
        worked,
        f"{worked} accounts per as-of: {csms} CSMs with {team.hours_per_month:g} hours each in"
        f" {MONTH_DAYS} days, at {team.minutes_per_account:g} minutes an account.",
    )


def assumed(accounts: int) -> str:
    """Say that nobody has said how many accounts a team can work."""
    return f"no capacity is set: {accounts} accounts per as-of are assumed."


def staffed(settings: Settings, accounts: pl.DataFrame) -> Settings:
    """Set ``evaluation.capacity`` to what the team's hours allow, where they decide it."""
    if settings.team.hours_per_month is None:
        return settings
    found = capacity(settings, accounts).accounts
    rules = settings.evaluation.model_copy(update={"capacity": found})
    return settings.model_copy(update={"evaluation": rules})


def _csms(accounts: pl.DataFrame) -> int:
    named = accounts["csm"].drop_nulls().n_unique() if "csm" in accounts.columns else 0
    if not named:
        raise SettingsError(
            "team.hours_per_month needs the number of CSMs, and the accounts table names none in"
            " its column csm; set team.csms."
        )
    return named
