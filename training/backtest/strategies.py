"""The ways of working that compete: whom each would hand to a CSM on a day, and who comes first.

A way offers accounts day by day. What it offers may rest only on what was known before the day:
the figures of :mod:`training.backtest.utilization`, and snapshots of the panel as of a Monday's morning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "VENDOR_CLAIMS",
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
# What vendors of such tools write of such ways of working; nobody has verified it.
VENDOR_CLAIMS: Final[Mapping[str, str]] = {
    "review": "40 to 55 % caught",
    "rule": "70 to 80 % caught",
    "events": "92 to 97 % caught",
}
Array = NDArray[np.float64]
Days = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Strategy:
    """How one way of working goes.

    Attributes
    ----------
    name, rule : str
        As it is printed; one sentence on when it flags an account.
    active_days : numpy.ndarray of bool, shape (n_days,)
        The days on which it offers anything.
    score_day : callable
        From the number of a day to a score per account, higher first; nan where not offered.
    streak_id : numpy.ndarray of int, shape (n_accounts, n_days), optional
        The stretch that an account is in, by the day before its first: once worked, it is not
        offered again in the same stretch,
    once_per_streak : numpy.ndarray of bool, shape (n_days,), optional
        on these days; all by default.
    is_manual_review : bool
        Whether people look for these accounts one by one, which costs time as well.
    is_condition : bool
        Whether an account is offered for what is true of it, not for its place among others.
    claim : str or None
        What vendors say of such a way.
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

    def __repr__(self) -> str:
        return f"Plan({self.name!r}: {self.rule})"


def build_manual_review(
    name: str, utilization: Array, *, threshold: float, every_days: int
) -> Strategy:
    """Look through a spreadsheet every so many days, and work the accounts above a share."""
    return Strategy(
        name,
        f"Every {every_days} days the CSMs look at the accounts one by one, those not seen for"
        f" longest first, as far as the time goes, and work those above {threshold:.0%} of seats or"
        " usage.",
        _every_nth_day(every_days, utilization.shape[1]),
        lambda day: _mask_scores(utilization[:, day], utilization[:, day] > threshold),
        is_manual_review=True,
        claim=VENDOR_CLAIMS["review"],
    )


def build_crm_rule(utilization: Array, *, threshold: float) -> Strategy:
    """Flag every night whoever stands at a share or above, the fullest first."""
    return Strategy(
        "CRM rule",
        f"Every night, accounts at {threshold:.0%} of seats or usage or above, the fullest first.",
        np.ones(utilization.shape[1], dtype=bool),
        lambda day: _mask_scores(utilization[:, day], utilization[:, day] >= threshold),
        claim=VENDOR_CLAIMS["rule"],
    )


def build_event_rule(
    utilization: Array, *, threshold: float, min_days: int, lookback_columns: int = 0
) -> Strategy:
    """Flag an account that has stood at a share for some days in a row, once per stretch.

    So many columns lie ``lookback_columns`` the first day that is replayed: a stretch may begin in them.
    """
    streak = count_streaks(utilization >= threshold)[:, lookback_columns:]
    # A stretch is known by the day before its first.
    start = np.arange(streak.shape[1]) - streak
    return Strategy(
        "event rule",
        f"Every day, accounts at {threshold:.0%} of seats or usage or above for {min_days} days in a row,"
        " the fullest first; once in each such stretch.",
        np.ones(streak.shape[1], dtype=bool),
        lambda day: _mask_scores(
            utilization[:, lookback_columns + day], streak[:, day] >= min_days
        ),
        streak_id=start,
        claim=VENDOR_CLAIMS["events"],
    )


def build_weekly_list(
    name: str, rule: str, scores: Array, *, is_condition: bool = False
) -> Strategy:
    """Work a list from its top, made anew each week.

    Parameters
    ----------
    name, rule : str
        As for :class:`Strategy`.
    scores : numpy.ndarray, shape (n_accounts, n_days)
        On the first day and every seventh after it, higher first; nan where not on the list, and on
        all other days.
    is_condition : bool
        As for :class:`Strategy`.
    """
    return Strategy(
        name,
        rule,
        _every_nth_day(WEEK_DAYS, scores.shape[1]),
        lambda day: scores[:, day],
        is_condition=is_condition,
    )


def combine_strategies(name: str, rule: str, weekly: Strategy, daily: Strategy) -> Strategy:
    """Work a weekly list, and a daily rule on the days between."""
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
    """Count the days in a row, up to each day, on which something held.

    Examples
    --------
    >>> count_streaks(np.array([[True, True, False, True]])).tolist()
    [[1, 2, 0, 1]]
    """
    day = np.arange(1, condition.shape[1] + 1)
    last_not = np.maximum.accumulate(np.where(condition, 0, day), axis=1)
    return np.asarray(day - last_not, dtype=np.int64)


def _every_nth_day(days: int, total_days: int) -> NDArray[np.bool_]:
    return np.asarray(np.arange(total_days) % days == 0)


def _mask_scores(score: Array, offered: NDArray[np.bool_]) -> Array:
    return np.where(offered, score, np.nan)
