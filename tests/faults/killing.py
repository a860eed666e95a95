"""A sender in a process of its own, which dies at a point that is drawn beforehand.

A point lies before and after each statement and before each commit of the database, and around
each request.
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

import judge
import sqlalchemy as sa

from serving import store
from serving.delivery.crm.base import RateLimit
from serving.delivery.crm.sql.target import SqlCrm
from serving.delivery.reconcile import sender

NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
_FIELDS = {
    "account": {"note": "mine", "probability": 0.123456, "tier": 7},
    "opportunity": {"name": "my deal", "amount": 12345.5},
    "task": {"subject": "call Ada", "due_date": "2030-01-01"},
}


class Small(SqlCrm):
    """The embedded CRM, asked for fewer rows at once, so that there are more points to die at."""

    rate_limit = RateLimit(rows_per_call=100)


@dataclass(eq=False)
class Points:
    """Counts the points passed, and dies at one of them."""

    dies_at: int | None = None
    passed: int = 0

    def __call__(self, *_: Any) -> None:
        self.passed += 1
        if self.passed == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, engine: sa.Engine) -> None:
        for event in ("before_cursor_execute", "after_cursor_execute", "commit"):
            sa.event.listen(engine, event, self)


def sent_to_sql(url: str, dies_at: int | None = None, *, now: datetime = NOW) -> int:
    """Send in this process, and give how many points were passed."""
    engine = store.open_engine(url)
    points = Points(dies_at)
    points.watch(engine)
    sender.send_pending(engine, Small(engine), now=now)
    engine.dispose()
    return points.passed


def started(work: Callable[[], object]) -> int:
    """Do work in a child of this process, and give its id; its exit code tells of an exception."""
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


def ended(child: int) -> int:
    """Wait for a child: its exit code, or the signal that ended it, negative."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def with_little_room(work: Callable[[], object], limit_bytes: int) -> Callable[[], object]:
    """Let no file grow beyond a size, as on a disk that is full."""

    def cramped() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        return work()

    return cramped


def edited(engine: sa.Engine, draw: random.Random, count: int) -> judge.Edits:
    """Humans set fields of objects that stand in the embedded CRM; what they put where."""
    edits: judge.Edits = {}
    there = judge.standing_in_sql(engine)
    with engine.execution_options(writes=True).begin() as connection:
        for kind, key, _ in draw.sample(there, min(count, len(there))):
            name, value = draw.choice(list(_FIELDS[kind].items()))
            table, column = judge._TABLES[kind]
            connection.execute(
                sa.text(f"update {table} set {name} = :value where {column} = :key"),
                {"value": value, "key": key},
            )
            edits[kind, key, name] = value
    return edits


def ahead(days: float) -> datetime:
    """A clock that is wrong."""
    return NOW + timedelta(days=days)
