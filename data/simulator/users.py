"""The people behind the counts: who joined which account, when, and for how long they stay."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.simulator.account_state import NEVER, STEP_DAYS, Generator, IntVector, Vector
from data.simulator.simulation import SimulationHistory

__all__ = ["UserTable", "expand_users"]

# People of the newest department are invited a little more often than the others.
_NEWEST_DEPARTMENT_SHARE: Final = 0.35


@dataclass(frozen=True)
class UserTable:
    """One value per person, sorted by the day they joined."""

    account: IntVector
    department: IntVector  # 0 is the champion's
    joined: IntVector  # day
    left: IntVector  # day; far away while they stay
    champion: NDArray[np.bool_]
    sessions: Vector  # of use, per month
    breadth: Vector  # share of the account's features they come to use
    removed: NDArray[np.bool_]  # whether their seat was taken back when they stopped

    def __len__(self) -> int:
        """Count the people."""
        return len(self.account)


def expand_users(history: SimulationHistory, rng: Generator) -> UserTable:
    """Turn the history's counts of joiners and leavers into people.

    Parameters
    ----------
    history : History
        The company's life.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    UserTable
        Everyone who ever used the product, those from before the log included.
    """
    steps, account = np.nonzero(history.joined)
    count = history.joined[steps, account]
    step, account = np.repeat(steps, count), np.repeat(account, count)
    size = len(account)
    joined = history.period.origin + step * STEP_DAYS + rng.integers(0, STEP_DAYS, size)
    joined = np.maximum(joined, history.traits.joined[account].astype(int))
    champion = np.zeros(size, dtype=bool)
    champion[np.unique(account, return_index=True)[1]] = True
    reached = np.maximum(history.departments[step, account], 1)
    newest = (rng.random(size) < _NEWEST_DEPARTMENT_SHARE) | _is_first_of_department(
        history, step, account
    )
    department = np.where(newest, reached - 1, rng.integers(0, reached))
    return UserTable(
        account=account,
        department=np.where(champion, 0, department),
        joined=joined,
        left=_assign_leave_days(history, account, step, champion, rng),
        champion=champion,
        sessions=np.where(champion, 9.0, 2.0 + rng.gamma(1.5, 3.0, size)),
        breadth=np.where(champion, 1.0, rng.beta(2.0, 2.5, size)),
        removed=rng.random(size) < 0.7,  # most companies tidy up, not all
    )


def _is_first_of_department(
    history: SimulationHistory, step: IntVector, account: IntVector
) -> NDArray[np.bool_]:
    """Say who is the first of a department: the first to join in the step that reached it."""
    before = np.vstack([history.departments[:1], history.departments[:-1]])
    reached = (history.departments > before)[step, account]
    first = np.ones(len(step), dtype=bool)
    first[1:] = (step[1:] != step[:-1]) | (account[1:] != account[:-1])
    return np.asarray(reached & first)


def _assign_leave_days(
    history: SimulationHistory,
    account: IntVector,
    step: IntVector,
    champion: NDArray[np.bool_],
    rng: Generator,
) -> IntVector:
    """Pick the leavers of every step at random; the champion goes last."""
    left = np.full(len(account), int(NEVER))
    loyalty = rng.random(len(account)) + champion
    first = np.searchsorted(step, np.arange(len(history.left) + 1))
    for now in np.flatnonzero(history.left.sum(axis=1)):
        leaving = history.left[now]
        here = np.arange(first[now + 1])
        here = here[(left[here] == int(NEVER)) & (leaving[account[here]] > 0)]
        here = here[np.lexsort((loyalty[here], account[here]))]
        whose = account[here]
        rank = np.arange(len(here)) - np.searchsorted(whose, whose)
        gone = here[rank < leaving[whose]]
        left[gone] = history.period.origin + (now + 1) * STEP_DAYS
    return left
