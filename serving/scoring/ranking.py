"""Ranking: order of the list, rank in each CSM portfolio, and weekly capacity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from data.config.settings import MONTH_DAYS, Settings
from serving.scoring import playbook
from training.rules.team_capacity import resolve_capacity

__all__ = ["REVENUE_RANKINGS", "CsmCapacity", "compute_csm_capacity", "rank_accounts"]

_WEEK_DAYS: Final = 7
REVENUE_RANKINGS: Final = {
    "expected_arr": "by expected ARR",
    "expected_arr_per_minute": "by expected ARR per minute of work",
}


@dataclass(frozen=True)
class CsmCapacity:
    """Accounts that one CSM can work in a week, and a sentence that explains the number."""

    accounts: int
    explanation: str


def compute_csm_capacity(settings: Settings, accounts: pl.DataFrame) -> CsmCapacity:
    """Convert the team's capacity to accounts per CSM and week.

    ⌊capacity per 30 days × 7 / 30 / CSMs⌋, and at least one. The number of CSMs is ``team.csms``,
    else the distinct CSMs in the accounts table, else one.

    Raises ``SettingsError`` if hours are set but the number of CSMs is unknown.

    Examples
    --------
    >>> four = Settings(team={"csms": 4, "hours_per_month": 20, "minutes_per_account": 45})
    >>> compute_csm_capacity(four, pl.DataFrame()).accounts  # 106 in 30 days, 26.5 each, 6.2 a week
    6
    """
    team_capacity = resolve_capacity(settings, accounts)
    named_csms = accounts["csm"].drop_nulls().n_unique() if "csm" in accounts.columns else 0
    csms = settings.team.csms or named_csms or 1
    per_csm = max(team_capacity.accounts * _WEEK_DAYS // (MONTH_DAYS * csms), 1)
    csm_text = f" for each of {csms} CSMs" if csms > 1 else ""
    text = f"{per_csm} {'account' if per_csm == 1 else 'accounts'} a week{csm_text}"
    return CsmCapacity(per_csm, f"{text}, of {team_capacity.accounts} per {MONTH_DAYS} days.")


def rank_accounts(
    rows: pl.DataFrame, *, by: str, minutes: Mapping[str, float], weekly_capacity: int
) -> pl.DataFrame:
    """Rank the accounts and mark those within this week's capacity.

    Parameters
    ----------
    rows : polars.DataFrame
        ``account_id``, ``csm`` (null: no CSM, a portfolio of its own), ``rank_key`` (higher comes
        first), ``expected_arr``, ``motion``, ``outreach_allowed``.
    by : {"probability", "expected_arr", "expected_arr_per_minute"}
        Sort criterion; ties by account. Accounts without expected ARR come last, by ``rank_key``.
        Without any probability, ``rank_key`` decides.

    Returns
    -------
    polars.DataFrame
        In rank order, with ``rank`` (1, 2, …), ``portfolio_rank`` (the same within each portfolio)
        and ``in_weekly_capacity``: the first accounts of each portfolio with outreach allowed, up
        to the weekly capacity; without ``rank_key``.
    """
    key = pl.lit(None, dtype=pl.Float64)
    if by != "probability":
        key = pl.col("expected_arr")
    if by == "expected_arr_per_minute":
        key = key / playbook.motion_minutes(pl.col("motion"), minutes)
    # Among accounts with a key, the rank key is ignored.
    keyed = rows.with_columns(key=key).with_columns(
        rank_key=pl.when(pl.col("key").is_null()).then("rank_key")
    )
    outreach_count = pl.col("outreach_allowed").cast(pl.Int64).cum_sum().over("csm")
    return (
        keyed.sort("key", "rank_key", "account_id", descending=[True, True, False], nulls_last=True)
        .with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
        .with_columns(
            portfolio_rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("csm"),
            in_weekly_capacity=pl.col("outreach_allowed") & (outreach_count <= weekly_capacity),
        )
        .drop("key", "rank_key")
    )
