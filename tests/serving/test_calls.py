"""A target is asked again where that may help, and let be where it does not."""

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
    """Time that only passes while somebody waits."""

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


def stumble(over: int) -> Callable[[list[int]], int]:
    """A target that fails for a while whenever one row is among those it is asked about."""

    def ask(rows: list[int]) -> int:
        if over in rows:
            raise RetryableError("503")
        return len(rows)

    return ask


def halves(calls: RetryingCaller, ask: Callable[[list[int]], int], rows: list[int]) -> list[int]:
    """Ask as the sender does, and give the rows that were never answered."""
    try:
        calls(ask, rows)
    except RetriesExhaustedError:
        if len(rows) == 1:
            return rows
        middle = len(rows) // 2
        return halves(calls, ask, rows[:middle]) + halves(calls, ask, rows[middle:])
    return []


@pytest.mark.parametrize("over", [0, 37, 99])
def test_one_row_that_a_target_stumbles_over_is_found(calls: RetryingCaller, over: int) -> None:
    assert halves(calls, stumble(over), list(range(100))) == [over]


def test_a_target_that_never_answers_is_let_be_long_before_the_time_is_over(
    calls: RetryingCaller, clock: Clock
) -> None:
    def ask(rows: list[int]) -> int:
        raise RetryableError("connection refused")

    with pytest.raises(DeadlineExceededError, match="in a row; it last said: connection refused"):
        halves(calls, ask, list(range(100)))

    assert clock.now < HOUR / 4
    assert calls.requests == calls.failures == 64


def test_no_try_is_begun_that_would_come_too_late(calls: RetryingCaller, clock: Clock) -> None:
    def ask(_: None) -> None:
        raise RetryableError("busy", retry_after_seconds=2 * HOUR)

    with pytest.raises(DeadlineExceededError, match="the CRM last said: busy"):
        calls(ask, None)

    assert (calls.requests, clock.now) == (1, 0.0)
