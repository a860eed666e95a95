"""Contact strategies: which accounts each would hand to a CSM on a day, and in which order.

A strategy offers accounts day by day. It may use only what was known before the day: the daily
utilization of :mod:`training.backtest.utilization`, and panel snapshots as of the start of the
week.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "WEEK_DAYS",
    "Strategy",
    "build_crm_rule",
    "build_event_rule",
    "build_manual_review",
    "build_weekly_list",
    "combine_strategies",
    "count_streaks",
]

WEEK_DAYS: Final = 7
Array = NDArray[np.float64]
Days = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Strategy:
    """One contact strategy.

    Attributes
    ----------
    name, rule : str
        Display name; one sentence on when it flags an account.
    active_days : numpy.ndarray of bool, shape (n_days,)
        The days on which it offers accounts.
    score_day : callable
        Maps the number of a day to a score per account, higher first; NaN where not offered.
    streak_id : numpy.ndarray of int, shape (n_accounts, n_days), optional
        The streak that an account is in, identified by the day before its first. An account
        contacted in a streak is not offered again in the same streak.
    once_per_streak : numpy.ndarray of bool, shape (n_days,), optional
        Days to which that limit applies; all by default.
    is_manual_review : bool
        Whether people check accounts one by one, which costs time as well.
    is_condition : bool
        Whether an account is offered because a condition holds, not because of its rank.
    claim : str or None
        The detection rate that vendors claim for such a strategy; not verified.
    """

    name: str
    rule: str
    active_days: NDArray[np.bool_]
    score_day: Callable[[int], Array]
    streak_id: Days | None = None
    once_per_streak: NDArray[np.bool_] | None = None
    is_manual_review: bool = False
    is_condition: bool = True
    claim: str | None = None


def build_manual_review(
    name: str, utilization: Array, *, threshold: float, every_days: int
) -> Strategy:
    """Review accounts by hand every ``every_days`` days and contact those above a threshold."""
    return Strategy(
        name,
        f"Every {every_days} days the CSMs review accounts one by one within their capacity, the"
        f" longest unreviewed first, and contact those above {threshold:.0%} of seats or usage.",
        _every_nth_day(every_days, utilization.shape[1]),
        lambda day: _mask_scores(utilization[:, day], utilization[:, day] > threshold),
        is_manual_review=True,
        claim="40 to 55 % detected",
    )


def build_crm_rule(utilization: Array, *, threshold: float) -> Strategy:
    """Flag, every night, accounts at or above a utilization threshold, the highest first."""
    return Strategy(
        "CRM rule",
        f"Every night, accounts at {threshold:.0%} of seats or usage or above, the highest first.",
        np.ones(utilization.shape[1], dtype=bool),
        lambda day: _mask_scores(utilization[:, day], utilization[:, day] >= threshold),
        claim="70 to 80 % detected",
    )


def build_event_rule(
    utilization: Array, *, threshold: float, min_days: int, lookback_columns: int = 0
) -> Strategy:
    """Flag an account at or above a threshold for ``min_days`` days in a row, once per streak.

    The first ``lookback_columns`` columns lie before the replay: a streak may start in them.
    """
    streak = count_streaks(utilization >= threshold)[:, lookback_columns:]
    return Strategy(
        "event rule",
        f"Every day, accounts at {threshold:.0%} of seats or usage or above for {min_days} days in"
        " a row, the highest first; once per streak.",
        np.ones(streak.shape[1], dtype=bool),
        lambda day: _mask_scores(
            utilization[:, lookback_columns + day], streak[:, day] >= min_days
        ),
        streak_id=np.arange(streak.shape[1]) - streak,
        claim="92 to 97 % detected",
    )


def build_weekly_list(
    name: str, rule: str, scores: Array, *, is_condition: bool = False
) -> Strategy:
    """Contact accounts from the top of a list that is rebuilt every week.

    ``scores`` has shape (n_accounts, n_days): on the first day and every seventh after it, higher
    first; NaN where not on the list, and on all other days.
    """
    return Strategy(
        name,
        rule,
        _every_nth_day(WEEK_DAYS, scores.shape[1]),
        lambda day: scores[:, day],
        is_condition=is_condition,
    )


def combine_strategies(name: str, rule: str, weekly: Strategy, daily: Strategy) -> Strategy:
    """Combine a weekly list with a daily rule on the days between lists."""
    return Strategy(
        name,
        rule,
        weekly.active_days | daily.active_days,
        lambda day: weekly.score_day(day) if weekly.active_days[day] else daily.score_day(day),
        streak_id=daily.streak_id,
        once_per_streak=~weekly.active_days,
        is_condition=False,
    )


def count_streaks(condition: NDArray[np.bool_]) -> Days:
    """Count the consecutive days, up to each day, on which a condition held.

    Examples
    --------
    >>> count_streaks(np.array([[True, True, False, True]])).tolist()
    [[1, 2, 0, 1]]
    """
    day = np.arange(1, condition.shape[1] + 1)
    last_false = np.maximum.accumulate(np.where(condition, 0, day), axis=1)
    return np.asarray(day - last_false, dtype=np.int64)


def _every_nth_day(days: int, total_days: int) -> NDArray[np.bool_]:
    return np.asarray(np.arange(total_days) % days == 0)


def _mask_scores(score: Array, offered: NDArray[np.bool_]) -> Array:
    return np.where(offered, score, np.nan)
