"""Ask a target as often and as fast as it bears: paced, and again where it may work later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from serving.crm.target import Pace, Transient

__all__ = ["Calls", "Exhausted", "OutOfTime"]

Asked = TypeVar("Asked")
Told = TypeVar("Told")
_TRIES: Final = 8
# Exponential with full jitter: seconds drawn between 0 and a bound that doubles from try to try.
_BACKOFF: Final = wait_random_exponential(multiplier=0.5, max=60)


class OutOfTime(Exception):  # noqa: N818 - named as what it is
    """The time of this run is over, or would be before the target wants to be asked again.

    So it is, too, where a target does not answer whatever it is asked.
    """


class Exhausted(Exception):  # noqa: N818
    """One call failed as often as we try, always for a reason that may pass."""


@dataclass
class Calls:
    """The calls to one target within one run.

    Attributes
    ----------
    pace : serving.crm.target.Pace
        How fast it may be asked.
    deadline : float
        Seconds on the clock after which no call is begun.
    clock, sleep : callable
        Seconds that only run forward, and how to wait.
    requests, failures : int
        Calls made so far, and those that failed for a while.
    exhausted_in_a_row : int
        Calls given up since the last one that was answered. One row that a target stumbles over
        gives as many as a batch has halves; beyond that it is the target.
    """

    pace: Pace
    deadline: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    requests: int = 0
    failures: int = 0
    exhausted_in_a_row: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def __call__(self, ask: Callable[[Asked], Told], what: Asked) -> Told:
        """Ask until it is answered.

        Raises
        ------
        OutOfTime
            If the next try would come too late, or the target does not answer at all.
        Exhausted
            If it failed eight times.
        """
        again = Retrying(
            sleep=self.sleep,
            retry=retry_if_exception_type(Transient),
            wait=_wait,
            stop=self._stops,
            retry_error_callback=self._give_up,
        )
        told: Told = again(self._once, ask, what)
        return told

    def _once(self, ask: Callable[[Asked], Told], what: Asked) -> Told:
        self._wait_for_turn()
        self.requests += 1
        try:
            told = ask(what)
        except Transient:
            self.failures += 1
            raise
        else:
            self.exhausted_in_a_row = 0
            return told
        finally:  # a server counts from when it hears us, which is before it has answered
            if self.pace.calls is not None:
                self._recent.append(self.clock())

    def _wait_for_turn(self) -> None:
        """Wait until as many calls as are allowed at once lie far enough back."""
        if self.pace.calls is not None and len(self._recent) == self.pace.calls:
            waits = self._recent.popleft() + self.pace.per_seconds - self.clock()
            if self.clock() + max(waits, 0) > self.deadline:
                raise OutOfTime("the time of this run is over")
            if waits > 0:
                self.sleep(waits)
        if self.clock() > self.deadline:
            raise OutOfTime("the time of this run is over")

    def _stops(self, state: RetryCallState) -> bool:
        late = self.clock() + state.upcoming_sleep > self.deadline
        return late or state.attempt_number >= _TRIES

    def _give_up(self, state: RetryCallState) -> None:
        failed = state.outcome.exception() if state.outcome else None
        if self.clock() + state.upcoming_sleep > self.deadline:
            raise OutOfTime(f"the time of this run is over; the CRM last said: {failed}")
        self.exhausted_in_a_row += 1
        if self.exhausted_in_a_row > self.pace.rows_per_call.bit_length():
            raise OutOfTime(
                f"the CRM did not answer {_TRIES * self.exhausted_in_a_row} times in a row; it"
                f" last said: {failed}"
            )
        raise Exhausted(str(failed)) from failed


def _wait(state: RetryCallState) -> float:
    """At least as long as the server asked for."""
    failed = state.outcome.exception() if state.outcome else None
    asked = failed.after_seconds if isinstance(failed, Transient) else None
    return max(asked or 0.0, _BACKOFF(state))
