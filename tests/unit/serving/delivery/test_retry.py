"""Calls to a target are retried when that may help, and given up when it does not."""

from collections.abc import Callable

import pytest

from serving.delivery.crm.base import RateLimit, RetryableError
from serving.delivery.reconcile.retry import (
    DeadlineExceededError,
    RetriesExhaustedError,
    RetryingCaller,
)

HOUR = 3600.0


class Clock:
    """Clock that advances only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def calls(clock: Clock) -> RetryingCaller:
    return RetryingCaller(RateLimit(rows_per_call=100), HOUR, clock, clock.sleep)


def fail_on(failing_row: int) -> Callable[[list[int]], int]:
    """Return an operation that fails with a retryable error if a row is in its batch."""

    def operation(rows: list[int]) -> int:
        if failing_row in rows:
            raise RetryableError("503")
        return len(rows)

    return operation


def bisect(
    calls: RetryingCaller, operation: Callable[[list[int]], int], rows: list[int]
) -> list[int]:
    """Bisect as the sender does, and return the rows that never succeeded."""
    try:
        calls(operation, rows)
    except RetriesExhaustedError:
        if len(rows) == 1:
            return rows
        middle = len(rows) // 2
        return bisect(calls, operation, rows[:middle]) + bisect(calls, operation, rows[middle:])
    return []


@pytest.mark.parametrize("failing_row", [0, 37, 99])
def test_bisecting_finds_the_one_row_that_makes_a_target_fail(
    calls: RetryingCaller, failing_row: int
) -> None:
    assert bisect(calls, fail_on(failing_row), list(range(100))) == [failing_row]


def test_a_target_that_never_responds_is_given_up_long_before_the_deadline(
    calls: RetryingCaller, clock: Clock
) -> None:
    def operation(rows: list[int]) -> int:
        raise RetryableError("connection refused")

    with pytest.raises(DeadlineExceededError, match="in a row; last error: connection refused"):
        bisect(calls, operation, list(range(100)))

    assert clock.now < HOUR / 4
    assert calls.requests == calls.failures == 64


def test_no_attempt_is_started_after_the_deadline(calls: RetryingCaller, clock: Clock) -> None:
    def operation(_: None) -> None:
        raise RetryableError("busy", retry_after_seconds=2 * HOUR)

    with pytest.raises(DeadlineExceededError, match="last error of the CRM: busy"):
        calls(operation, None)

    assert (calls.requests, clock.now) == (1, 0.0)
