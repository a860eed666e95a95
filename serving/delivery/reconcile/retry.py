"""Ask a target as often and as fast as it bears: paced, and again where it may work later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from serving.delivery.crm.base import RateLimit, RetryableError

__all__ = ["DeadlineExceededError", "RetriesExhaustedError", "RetryingCaller"]

Argument = TypeVar("Argument")
Result = TypeVar("Result")
_MAX_ATTEMPTS: Final = 8
# Exponential with full jitter: seconds drawn between 0 and a bound that doubles from try to try.
_BACKOFF: Final = wait_random_exponential(multiplier=0.5, max=60)


class DeadlineExceededError(Exception):  # noqa: N818 - named as what it is
    """The time of this run is over, or would be before the target wants to be asked again.

    So it is, too, where a target does not answer whatever it is asked.
    """


class RetriesExhaustedError(Exception):  # noqa: N818
    """One call failed as often as we try, always for a reason that may pass."""


@dataclass
class RetryingCaller:
    """The calls to one target within one run.

    Attributes
    ----------
    rate_limit : serving.delivery.crm.base.RateLimit
        How fast it may be asked.
    deadline : float
        Seconds on the clock after which no call is begun.
    clock, sleep : callable
        Seconds that only run forward, and how to wait.
    requests, failures : int
        Calls made so far, and those that failed for a while.
    consecutive_exhausted : int
        Calls given up since the last one that was answered. One row that a target stumbles over
        gives as many as a batch has halves; beyond that it is the target.
    """

    rate_limit: RateLimit
    deadline: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    requests: int = 0
    failures: int = 0
    consecutive_exhausted: int = 0
    _recent_calls: deque[float] = field(default_factory=deque)

    def __call__(self, operation: Callable[[Argument], Result], argument: Argument) -> Result:
        """Ask until it is answered.

        Raises
        ------
        DeadlineExceededError
            If the next try would come too late, or the target does not answer at all.
        RetriesExhaustedError
            If it failed eight times.
        """
        retrying = Retrying(
            sleep=self.sleep,
            retry=retry_if_exception_type(RetryableError),
            wait=_compute_wait,
            stop=self._should_stop,
            retry_error_callback=self._raise_exhausted,
        )
        result: Result = retrying(self._attempt, operation, argument)
        return result

    def _attempt(self, operation: Callable[[Argument], Result], argument: Argument) -> Result:
        self._throttle()
        self.requests += 1
        try:
            result = operation(argument)
        except RetryableError:
            self.failures += 1
            raise
        else:
            self.consecutive_exhausted = 0
            return result
        finally:  # a server counts from when it hears us, which is before it has answered
            if self.rate_limit.max_calls is not None:
                self._recent_calls.append(self.clock())

    def _throttle(self) -> None:
        """Wait until as many calls as are allowed at once lie far enough back."""
        if (
            self.rate_limit.max_calls is not None
            and len(self._recent_calls) == self.rate_limit.max_calls
        ):
            wait_seconds = (
                self._recent_calls.popleft() + self.rate_limit.window_seconds - self.clock()
            )
            if self.clock() + max(wait_seconds, 0) > self.deadline:
                raise DeadlineExceededError("the time of this run is over")
            if wait_seconds > 0:
                self.sleep(wait_seconds)
        if self.clock() > self.deadline:
            raise DeadlineExceededError("the time of this run is over")

    def _should_stop(self, state: RetryCallState) -> bool:
        is_late = self.clock() + state.upcoming_sleep > self.deadline
        return is_late or state.attempt_number >= _MAX_ATTEMPTS

    def _raise_exhausted(self, state: RetryCallState) -> None:
        failed = state.outcome.exception() if state.outcome else None
        if self.clock() + state.upcoming_sleep > self.deadline:
            raise DeadlineExceededError(
                f"the time of this run is over; the CRM last said: {failed}"
            )
        self.consecutive_exhausted += 1
        if self.consecutive_exhausted > self.rate_limit.rows_per_call.bit_length():
            raise DeadlineExceededError(
                f"the CRM did not answer {_MAX_ATTEMPTS * self.consecutive_exhausted} times in a row; it"
                f" last said: {failed}"
            )
        raise RetriesExhaustedError(str(failed)) from failed


def _compute_wait(state: RetryCallState) -> float:
    """At least as long as the server asked for."""
    failed = state.outcome.exception() if state.outcome else None
    retry_after = failed.retry_after_seconds if isinstance(failed, RetryableError) else None
    return max(retry_after or 0.0, _BACKOFF(state))
