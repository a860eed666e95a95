"""How many accounts one CSM can work in one week."""

from dataclasses import dataclass

import polars as pl

from data.settings import MONTH_DAYS, Settings
from training import team

__all__ = ["WEEK_DAYS", "Weekly", "weekly"]

WEEK_DAYS = 7


@dataclass(frozen=True)
class Weekly:
    """Accounts that one CSM can work in a week, and where the number is from, in a sentence."""

    accounts: int
    why: str


def weekly(settings: Settings, accounts: pl.DataFrame) -> Weekly:
    """Cut the team's capacity down to one week and one CSM.

    ⌊capacity per 30 days × 7 / 30 / CSMs⌋, and at least one; the CSMs are those of ``team.csms``,
    else those that the accounts table names, else one.

    Parameters
    ----------
    settings : data.settings.Settings
        Team and evaluation; see :func:`training.team.capacity`.
    accounts : polars.DataFrame
        The accounts table.

    Raises
    ------
    data.errors.SettingsError
        If hours are given, but it is not known of how many CSMs.

    Examples
    --------
    >>> four = Settings(team={"csms": 4, "hours_per_month": 20, "minutes_per_account": 45})
    >>> weekly(four, pl.DataFrame()).accounts  # 106 in 30 days, 26.5 each, 6.2 a week
    6
    """
    whole = team.capacity(settings, accounts)
    named = accounts["csm"].drop_nulls().n_unique() if "csm" in accounts.columns else 0
    csms = settings.team.csms or named or 1
    each = max(whole.accounts * WEEK_DAYS // (MONTH_DAYS * csms), 1)
    among = f" for each of {csms} CSMs" if csms > 1 else ""
    told = f"{each} {'account' if each == 1 else 'accounts'} a week{among}"
    return Weekly(each, f"{told}, of {whole.accounts} per {MONTH_DAYS} days.")
