"""The ways of working that compete: whom each would hand to a CSM on a day, and who comes first.

A way offers accounts day by day. What it offers may rest only on what was known before the day:
the figures of :mod:`training.backtest.daily`, and snapshots of the panel as of a Monday's morning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLAIMS",
    "WEEK_DAYS",
    "Plan",
    "both",
    "events",
    "listed",
    "nightly",
    "review",
    "streaks",
]

WEEK_DAYS: Final = 7
# What vendors of such tools write of such ways of working; nobody has verified it.
CLAIMS: Final[Mapping[str, str]] = {
    "review": "40 to 55 % caught",
    "rule": "70 to 80 % caught",
    "events": "92 to 97 % caught",
}
Array = NDArray[np.float64]
Days = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Plan:
    """How one way of working goes.

    Attributes
    ----------
    name, rule : str
        As it is printed; one sentence on when it flags an account.
    acts : numpy.ndarray of bool, shape (n_days,)
        The days on which it offers anything.
    offers : callable
        From the number of a day to a score per account, higher first; nan where not offered.
    stretch : numpy.ndarray of int, shape (n_accounts, n_days), optional
        The stretch that an account is in, by the day before its first: once worked, it is not
        offered again in the same stretch,
    once : numpy.ndarray of bool, shape (n_days,), optional
        on these days; all by default.
    reviewed : bool
        Whether people look for these accounts one by one, which costs time as well.
    points : bool
        Whether an account is offered for what is true of it, not for its place among others.
    claim : str or None
        What vendors say of such a way.
    """

    name: str
    rule: str
    acts: NDArray[np.bool_]
    offers: Callable[[int], Array]
    stretch: Days | None = None
    once: NDArray[np.bool_] | None = None
    reviewed: bool = False
    points: bool = True
    claim: str | None = None

    def __repr__(self) -> str:
        return f"Plan({self.name!r}: {self.rule})"


def review(name: str, fullness: Array, *, above: float, every_days: int) -> Plan:
    """Look through a spreadsheet every so many days, and work the accounts above a share."""
    return Plan(
        name,
        f"Every {every_days} days the CSMs look at the accounts one by one, those not seen for"
        f" longest first, as far as the time goes, and work those above {above:.0%} of seats or"
        " usage.",
        _every(every_days, fullness.shape[1]),
        lambda day: _where(fullness[:, day], fullness[:, day] > above),
        reviewed=True,
        claim=CLAIMS["review"],
    )


def nightly(fullness: Array, *, share: float) -> Plan:
    """Flag every night whoever stands at a share or above, the fullest first."""
    return Plan(
        "CRM rule",
        f"Every night, accounts at {share:.0%} of seats or usage or above, the fullest first.",
        np.ones(fullness.shape[1], dtype=bool),
        lambda day: _where(fullness[:, day], fullness[:, day] >= share),
        claim=CLAIMS["rule"],
    )


def events(fullness: Array, *, share: float, days: int, before: int = 0) -> Plan:
    """Flag an account that has stood at a share for some days in a row, once per stretch.

    So many columns lie ``before`` the first day that is replayed: a stretch may begin in them.
    """
    streak = streaks(fullness >= share)[:, before:]
    # A stretch is known by the day before its first.
    start = np.arange(streak.shape[1]) - streak
    return Plan(
        "event rule",
        f"Every day, accounts at {share:.0%} of seats or usage or above for {days} days in a row,"
        " the fullest first; once in each such stretch.",
        np.ones(streak.shape[1], dtype=bool),
        lambda day: _where(fullness[:, before + day], streak[:, day] >= days),
        stretch=start,
        claim=CLAIMS["events"],
    )


def listed(name: str, rule: str, scores: Array, *, points: bool = False) -> Plan:
    """Work a list from its top, made anew each week.

    Parameters
    ----------
    name, rule : str
        As for :class:`Plan`.
    scores : numpy.ndarray, shape (n_accounts, n_days)
        On the first day and every seventh after it, higher first; nan where not on the list, and on
        all other days.
    points : bool
        As for :class:`Plan`.
    """
    return Plan(
        name,
        rule,
        _every(WEEK_DAYS, scores.shape[1]),
        lambda day: scores[:, day],
        points=points,
    )


def both(name: str, rule: str, weekly: Plan, daily: Plan) -> Plan:
    """Work a weekly list, and a daily rule on the days between."""
    return Plan(
        name,
        rule,
        weekly.acts | daily.acts,
        lambda day: weekly.offers(day) if weekly.acts[day] else daily.offers(day),
        stretch=daily.stretch,
        once=~weekly.acts,
        points=False,
    )


def streaks(held: NDArray[np.bool_]) -> Days:
    """Count the days in a row, up to each day, on which something held.

    Examples
    --------
    >>> streaks(np.array([[True, True, False, True]])).tolist()
    [[1, 2, 0, 1]]
    """
    day = np.arange(1, held.shape[1] + 1)
    last_not = np.maximum.accumulate(np.where(held, 0, day), axis=1)
    return np.asarray(day - last_not, dtype=np.int64)


def _every(days: int, of: int) -> NDArray[np.bool_]:
    return np.asarray(np.arange(of) % days == 0)


def _where(score: Array, offered: NDArray[np.bool_]) -> Array:
    return np.where(offered, score, np.nan)
