"""Failure scenarios of the delivery, each followed by a check of the CRM's state."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery.reconcile import sender
from serving.delivery.reconcile.summary import SyncSummary
from tests.fakes import desired_objects
from tests.resilience import http_target, kill_points, state_checker
from tests.resilience.faulty_crm import FaultyCrm
from tests.resilience.state_checker import Edits, Verdict

_EDITS = 40


@dataclass
class Timer:
    """A clock on which waiting takes no time."""

    waited: float = 0.0

    def clock(self) -> float:
        return time.monotonic() + self.waited

    def sleep(self, seconds: float) -> None:
        self.waited += seconds


@dataclass(frozen=True)
class Template:
    """A database ready to send from, and the human edits made at its CRM before."""

    url: str
    accounts: int
    week: int = 0
    edits: Edits = field(default_factory=dict)

    @contextmanager
    def copy(self, name: str) -> Iterator[str]:
        """Copy the database, yield the URL of the copy, and delete its files."""
        url = sa.make_url(self.url)
        if url.get_backend_name() != "sqlite":
            create_database(self.url, name, template=url.database)
            yield url.set(database=name).render_as_string(hide_password=False)
            return
        source = Path(url.database or "")
        file = Path(shutil.copy(source, source.with_name(f"{name}.db")))
        yield f"sqlite:///{file}"
        for leftover in file.parent.glob(f"{file.name}*"):
            leftover.unlink()

    def check(self, url: str) -> Verdict:
        """Compare the CRM in a copy with the week of this template."""
        engine = store.open_engine(url)
        desired = desired_objects.generate_desired(self.accounts, self.week)
        state = state_checker.read_sql_state(engine)
        engine.dispose()
        return state_checker.check_state(desired, state, self.edits)


def create_database(url: str, name: str, template: str | None = "template1") -> str:
    """Create a PostgreSQL database on the server of a URL; return its URL."""
    admin = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg", database="postgres"),
        isolation_level="AUTOCOMMIT",
        poolclass=sa.NullPool,
    )
    with admin.connect() as connection:
        connection.exec_driver_sql(f"create database {name} template {template}")
    return admin.url.set(database=name).render_as_string(hide_password=False)


def prepare_first_week(url: str, accounts: int) -> Template:
    """Prepare a database of which nothing was sent yet."""
    engine = store.open_engine(url)
    desired_objects.save_generated(engine, "sql", accounts)
    engine.dispose()
    return Template(url, accounts)


def prepare_second_week(url: str, accounts: int) -> Template:
    """Prepare a database with one week sent, human edits since, and the next week to send."""
    prepare_first_week(url, accounts)
    kill_points.send_to_sql(url)
    engine = store.open_engine(url)
    edits = kill_points.edit_as_human(engine, random.Random(1), _EDITS)  # noqa: S311
    desired_objects.save_generated(engine, "sql", accounts, week=1)
    engine.dispose()
    return Template(url, accounts, 1, edits)


def count_kill_points(template: Template) -> int:
    """Return the number of kill points of one send."""
    with template.copy("points") as url:
        return kill_points.send_to_sql(url)


def kill_and_resume(template: Template, kill_at: int, seed: int) -> Verdict:
    """Kill a sender, edit as humans, sometimes add a newer week, then send again."""
    draw = random.Random(seed)  # noqa: S311
    with template.copy(f"killed_{seed}") as url:
        child = kill_points.start_process(lambda: kill_points.send_to_sql(url, kill_at))
        assert kill_points.wait_for_exit(child) == -9
        engine = store.open_engine(url)
        edits, week = dict(template.edits), template.week
        if draw.random() < 0.5:
            edits |= kill_points.edit_as_human(engine, draw, _EDITS)
        if draw.random() < 0.3:
            week += 1
            desired_objects.save_generated(engine, "sql", template.accounts, week=week)
        target = kill_points.SmallBatchTarget(engine)
        summary = sender.send_pending(engine, target, now=kill_points.NOW)
        assert summary.stop_reason is None, summary.stop_reason
        engine.dispose()
        return replace(template, week=week, edits=edits).check(url)


@dataclass(frozen=True)
class HttpResult:
    """Result of sending to a failing CRM.

    ``ratio`` is requests ÷ (the least possible ÷ the share that does not fail).
    """

    verdict: Verdict
    failed_share: float
    ratio: float


def send_over_http(folder: Path, accounts: int, fault: str | None, seed: int = 7) -> HttpResult:
    """Send two weeks to a CRM that fails 30 % of requests, with human edits in between."""
    file = folder / f"http_{fault}.db".replace(" ", "_")
    engine = store.open_engine(f"sqlite:///{file}")
    crm = FaultyCrm(fault=fault, seed=seed)
    target, timer = http_target.HttpTarget(crm.start()), Timer()
    draw, edits = random.Random(seed), dict[tuple[str, str, str], Any]()  # noqa: S311
    for week in (0, 1):
        desired_objects.save_generated(engine, target.name, accounts, week=week)
        if week:
            edits = _edit_over_http(crm, draw)
        send_without_waiting(engine, target, timer)
    target.close()
    crm.stop()
    engine.dispose()
    state = state_checker.read_http_state(crm.objects)
    verdict = state_checker.check_state(desired_objects.generate_desired(accounts, 1), state, edits)
    verdict.duplicated += len(crm.created) - len(set(crm.created))
    least = _count_least_requests(accounts, 0) + _count_least_requests(accounts, 1)
    failed_share = crm.failed / crm.total
    return HttpResult(verdict, failed_share, crm.total * (1 - failed_share) / least)


def send_without_waiting(
    engine: sa.Engine,
    target: http_target.HttpTarget,
    timer: Timer | None = None,
    now: datetime = kill_points.NOW,
    **options: Any,
) -> SyncSummary:
    """Send on a clock on which waiting takes no time."""
    timer = timer or Timer()
    return sender.send_pending(
        engine, target, now=now, clock=timer.clock, sleep=timer.sleep, **options
    )


def run_two_senders(template: Template, *, ahead_days: float = 0.0) -> Verdict:
    """Run two senders at once; a wrong clock of the second makes it take over."""
    with template.copy(f"two_{abs(ahead_days):.0f}") as url:
        children = [
            kill_points.start_process(lambda: kill_points.send_to_sql(url)),
            kill_points.start_process(lambda: _send_late(url, ahead_days)),
        ]
        assert [kill_points.wait_for_exit(child) for child in children] == [0, 0]
        return template.check(url)


def send_while_locked(template: Template, seconds: float) -> Verdict:
    """Send while another program locks the database."""
    with template.copy("locked") as url:
        child = kill_points.start_process(lambda: kill_points.send_to_sql(url))
        engine = store.open_engine(url)
        for _ in range(3):
            time.sleep(0.2)
            with engine.execution_options(writes=True).begin():
                time.sleep(seconds / 3)
        engine.dispose()
        assert kill_points.wait_for_exit(child) == 0
        return template.check(url)


def send_on_full_disk(template: Template, room_bytes: int) -> Verdict:
    """Send with a limited file size, then again without the limit."""
    with template.copy("full") as url:
        limit = Path(sa.make_url(url).database or "").stat().st_size + room_bytes
        child = kill_points.start_process(
            kill_points.limit_file_size(lambda: _expect_delivery_error(url), limit)
        )
        assert kill_points.wait_for_exit(child) == 0
        kill_points.send_to_sql(url)
        return template.check(url)


def _expect_delivery_error(url: str) -> None:
    """Expect a one-line error, not a traceback."""
    with pytest.raises(DeliveryError, match=r"^[^\n]+$"):
        kill_points.send_to_sql(url)


def _send_late(url: str, ahead_days: float) -> None:
    time.sleep(0.4)
    kill_points.send_to_sql(url, now=kill_points.shift_clock(ahead_days))


def _edit_over_http(crm: FaultyCrm, draw: random.Random) -> Edits:
    edits: Edits = {}
    for kind, objects_by_key in crm.objects.items():
        for key in draw.sample(sorted(objects_by_key), min(15, len(objects_by_key))):
            name, value = draw.choice(list(kill_points.HUMAN_VALUES[kind].items()))
            crm.edit_as_human(kind, key, name, value)
            edits[kind, key, name] = value
    return edits


def _count_least_requests(accounts: int, week: int, size: int = 100) -> int:
    """Return the least possible number of calls: each batch read once and written once."""
    before: dict[tuple[str, str], str] = hash_desired(accounts, week - 1) if week else {}
    changed = hash_desired(accounts, week).items() - before.items()
    batches = Counter(kind for (kind, _), _ in changed).values()
    return sum(2 * ceil(count / size) for count in batches)


def hash_desired(accounts: int, week: int) -> dict[tuple[str, str], str]:
    """Return the content hash of each desired object of a week."""
    desired = desired_objects.generate_desired(accounts, week)
    return {(row["kind"], row["key"]): row["content_hash"] for row in desired}
