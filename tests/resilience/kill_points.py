"""A sender in its own process, killed at a given kill point.

Kill points lie before and after each statement, before each commit, and around each request.
"""

import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from serving import store
from serving.delivery.crm.base import RateLimit
from serving.delivery.crm.sql import SqlTarget
from serving.delivery.reconcile import sender
from tests.resilience import state_checker

NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
HUMAN_VALUES = {
    "account": {"note": "mine", "probability": 0.123456, "tier": 7},
    "opportunity": {"name": "my deal", "amount": 12345.5},
    "task": {"subject": "call Ada", "due_date": "2030-01-01"},
}


class SmallBatchTarget(SqlTarget):
    """The embedded CRM with small batches, so that there are more kill points."""

    rate_limit = RateLimit(rows_per_call=100)


@dataclass(eq=False)
class KillPoints:
    """Counts the kill points passed, and kills the process at one of them."""

    kill_at: int | None = None
    passed: int = 0

    def __call__(self, *_: Any) -> None:
        self.passed += 1
        if self.passed == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def attach(self, engine: sa.Engine) -> None:
        for event in ("before_cursor_execute", "after_cursor_execute", "commit"):
            sa.event.listen(engine, event, self)


def send_to_sql(url: str, kill_at: int | None = None, *, now: datetime = NOW) -> int:
    """Send in this process, and return the number of kill points passed."""
    engine = store.open_engine(url)
    points = KillPoints(kill_at)
    points.attach(engine)
    sender.send_pending(engine, SmallBatchTarget(engine), now=now)
    engine.dispose()
    return points.passed


def start_process(work: Callable[[], object]) -> int:
    """Run work in a child process and return its id; it exits with 1 after an exception."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc(limit=-3, file=sys.stderr)
    finally:
        os._exit(code)


def wait_for_exit(child: int) -> int:
    """Wait for a child; return its exit code, or the negated signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def limit_file_size(work: Callable[[], object], limit_bytes: int) -> Callable[[], object]:
    """Limit the size of every file, as on a full disk."""

    def cramped() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        return work()

    return cramped


def edit_as_human(engine: sa.Engine, draw: random.Random, count: int) -> state_checker.Edits:
    """Set random fields in the embedded CRM as humans would, and return the edits."""
    edits: state_checker.Edits = {}
    state = state_checker.read_sql_state(engine)
    with engine.execution_options(writes=True).begin() as connection:
        for kind, key, _ in draw.sample(state, min(count, len(state))):
            name, value = draw.choice(list(HUMAN_VALUES[kind].items()))
            table, column = state_checker.TABLES[kind]
            connection.execute(
                sa.text(f"update {table} set {name} = :value where {column} = :key"),
                {"value": value, "key": key},
            )
            edits[kind, key, name] = value
    return edits


def shift_clock(days: float) -> datetime:
    """Return a time that is off by some days."""
    return NOW + timedelta(days=days)
