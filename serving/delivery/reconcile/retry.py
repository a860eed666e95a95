"""Calls to a target with rate limiting, retries with backoff, and an overall deadline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from serving.delivery.crm.base import RateLimit, RateLimiter, RetryableError

__all__ = ["DeadlineExceededError", "RetriesExhaustedError", "RetryingCaller"]

Argument = TypeVar("Argument")
Result = TypeVar("Result")
_MAX_ATTEMPTS: Final = 8
# Exponential backoff with full jitter: uniform between 0 and a bound that doubles per attempt.
_BACKOFF: Final = wait_random_exponential(multiplier=0.5, max=60)


class DeadlineExceededError(Exception):
    """The deadline of this run has passed, or would pass before the next attempt.

    Also raised if the target does not respond to any request.
    """


class RetriesExhaustedError(Exception):
    """One call failed at every attempt, each time with a retryable error."""


@dataclass
class RetryingCaller:
    """Calls to one target within one run.

    Attributes
    ----------
    rate_limit : serving.delivery.crm.base.RateLimit
        Rate limit of the target.
    deadline : float
        Seconds on the clock after which no call is started.
    clock, sleep : callable
        Monotonic clock in seconds, and the function to wait.
    requests, failures : int
        Calls made so far, and those that failed with a retryable error.
    consecutive_exhausted : int
        Calls given up since the last successful one. A single bad row causes as many as a batch
        can be halved; more than that means that the target is down.
    """

    rate_limit: RateLimit
    deadline: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    requests: int = 0
    failures: int = 0
    consecutive_exhausted: int = 0
    _limiter: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        self._limiter = RateLimiter(self.rate_limit)

    def __call__(self, operation: Callable[[Argument], Result], argument: Argument) -> Result:
        """Call until it succeeds.

        Raises
        ------
        DeadlineExceededError
            If the next attempt would be too late, or the target does not respond at all.
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
        finally:
            self._limiter.record_call(self.clock())

    def _throttle(self) -> None:
        """Wait until the rate limit allows another call."""
        wait_seconds = self._limiter.compute_wait(self.clock())
        is_late = self.clock() + wait_seconds > self.deadline
        if wait_seconds > 0 and not is_late:
            self.sleep(wait_seconds)
            is_late = self.clock() > self.deadline
        if is_late:
            raise DeadlineExceededError("the deadline of this run has passed")

    def _should_stop(self, state: RetryCallState) -> bool:
        is_late = self.clock() + state.upcoming_sleep > self.deadline
        return is_late or state.attempt_number >= _MAX_ATTEMPTS

    def _raise_exhausted(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if self.clock() + state.upcoming_sleep > self.deadline:
            raise DeadlineExceededError(
                f"the deadline of this run has passed; last error of the CRM: {error}"
            )
        self.consecutive_exhausted += 1
        if self.consecutive_exhausted > self.rate_limit.rows_per_call.bit_length():
            attempts = _MAX_ATTEMPTS * self.consecutive_exhausted
            raise DeadlineExceededError(
                f"the CRM failed {attempts} times in a row; last error: {error}"
            )
        raise RetriesExhaustedError(str(error)) from error


def _compute_wait(state: RetryCallState) -> float:
    """Return the backoff in seconds, at least the wait that the server asked for."""
    error = state.outcome.exception() if state.outcome else None
    retry_after = error.retry_after_seconds if isinstance(error, RetryableError) else None
    return max(retry_after or 0.0, _BACKOFF(state))
