"""Weekly capacity: accounts that one CSM can work in a week."""

from dataclasses import dataclass

import polars as pl

from data.config.settings import MONTH_DAYS, Settings
from training.rules.team_capacity import resolve_capacity

__all__ = ["WEEK_DAYS", "CsmCapacity", "compute_csm_capacity"]

WEEK_DAYS = 7


@dataclass(frozen=True)
class CsmCapacity:
    """Accounts that one CSM can work in a week, and a sentence that explains the number."""

    accounts: int
    explanation: str


def compute_csm_capacity(settings: Settings, accounts: pl.DataFrame) -> CsmCapacity:
    """Convert the team's capacity to accounts per CSM and week.

    ⌊capacity per 30 days × 7 / 30 / CSMs⌋, and at least one. The number of CSMs is ``team.csms``,
    else the distinct CSMs in the accounts table, else one.

    Parameters
    ----------
    settings : Settings
        Team and evaluation.
    accounts : polars.DataFrame
        The accounts table.

    Raises
    ------
    data.errors.SettingsError
        If hours are set but the number of CSMs is unknown.

    Examples
    --------
    >>> four = Settings(team={"csms": 4, "hours_per_month": 20, "minutes_per_account": 45})
    >>> compute_csm_capacity(four, pl.DataFrame()).accounts  # 106 in 30 days, 26.5 each, 6.2 a week
    6
    """
    team_capacity = resolve_capacity(settings, accounts)
    named_csms = accounts["csm"].drop_nulls().n_unique() if "csm" in accounts.columns else 0
    csms = settings.team.csms or named_csms or 1
    per_csm = max(team_capacity.accounts * WEEK_DAYS // (MONTH_DAYS * csms), 1)
    csm_text = f" for each of {csms} CSMs" if csms > 1 else ""
    text = f"{per_csm} {'account' if per_csm == 1 else 'accounts'} a week{csm_text}"
    return CsmCapacity(per_csm, f"{text}, of {team_capacity.accounts} per {MONTH_DAYS} days.")
