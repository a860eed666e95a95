"""Failure scenarios of the delivery, each followed by a check of the CRM's state."""

import random
import shutil
import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from data.errors import DeliveryError
from serving import store
from serving.delivery.reconcile import sender
from serving.delivery.reconcile.summary import SyncSummary
from tests.resilience import fixtures, http_target, kill_points, state_checker
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

    file: Path
    accounts: int
    week: int
    edits: Edits


def prepare_first_week(folder: Path, accounts: int) -> Template:
    """Prepare a database of which nothing was sent yet."""
    file = folder / "new.db"
    engine = store.open_engine(f"sqlite:///{file}")
    fixtures.save_desired(engine, "sql", accounts)
    engine.dispose()
    return Template(file, accounts, 0, {})


def prepare_second_week(folder: Path, accounts: int) -> Template:
    """Prepare a database with one week sent, human edits since, and the next week to send."""
    file = folder / "second_week.db"
    return prepare_second_week_at(f"sqlite:///{file}", file, accounts)


def prepare_second_week_at(url: str, file: Path, accounts: int) -> Template:
    """The same on any database."""
    engine = store.open_engine(url)
    fixtures.save_desired(engine, "sql", accounts)
    kill_points.send_to_sql(url)
    edits = kill_points.edit_as_human(engine, random.Random(1), _EDITS)  # noqa: S311
    fixtures.save_desired(engine, "sql", accounts, week=1)
    engine.dispose()
    return Template(file, accounts, 1, edits)


def count_kill_points(template: Template, folder: Path) -> int:
    """Return the number of kill points of one send."""
    file = shutil.copy(template.file, folder / "points.db")
    return kill_points.send_to_sql(f"sqlite:///{file}")


def kill_and_resume(template: Template, folder: Path, kill_at: int, seed: int) -> Verdict:
    """Kill a sender, edit as humans, sometimes add a newer week, then send again."""
    file = folder / f"killed_{seed}.db"
    shutil.copy(template.file, file)
    try:
        return kill_and_resume_at(f"sqlite:///{file}", template, kill_at, seed)
    finally:
        for leftover in folder.glob(f"{file.name}*"):
            leftover.unlink()


def kill_and_resume_at(url: str, template: Template, kill_at: int, seed: int) -> Verdict:
    """The same on any database that stands as the template says."""
    draw = random.Random(seed)  # noqa: S311
    child = kill_points.start_process(lambda: kill_points.send_to_sql(url, kill_at))
    assert kill_points.wait_for_exit(child) == -9
    engine = store.open_engine(url)
    edits = dict(template.edits)
    if draw.random() < 0.5:
        edits |= kill_points.edit_as_human(engine, draw, _EDITS)
    week = template.week
    if draw.random() < 0.3:
        week += 1
        fixtures.save_desired(engine, "sql", template.accounts, week=week)
    summary = sender.send_pending(engine, kill_points.SmallBatchTarget(engine), now=kill_points.NOW)
    assert summary.stop_reason is None, summary.stop_reason
    verdict = state_checker.check_state(
        fixtures.generate_desired(template.accounts, week),
        state_checker.read_sql_state(engine),
        edits,
    )
    engine.dispose()
    return verdict


@dataclass(frozen=True)
class HttpResult:
    """Result of sending to a failing CRM, and the number of requests."""

    verdict: Verdict
    summary: SyncSummary
    requests: int
    least_requests: int
    failed_share: float
    waited_seconds: float

    @property
    def ratio(self) -> float:
        """Requests ÷ (the least possible ÷ the share that does not fail)."""
        return self.requests * (1 - self.failed_share) / self.least_requests


def send_over_http(folder: Path, accounts: int, fault: str | None, seed: int = 7) -> HttpResult:
    """Send two weeks to a CRM that fails 30 % of requests, with human edits in between."""
    file = folder / f"http_{fault}.db".replace(" ", "_")
    engine = store.open_engine(f"sqlite:///{file}")
    crm = FaultyCrm(fault=fault, seed=seed)
    target, timer = http_target.HttpTarget(crm.start()), Timer()
    draw, edits = random.Random(seed), dict[tuple[str, str, str], Any]()  # noqa: S311
    for week in (0, 1):
        fixtures.save_desired(engine, target.name, accounts, week=week)
        if week:
            edits = _edit_over_http(crm, draw)
        summary = sender.send_pending(
            engine, target, now=kill_points.NOW, clock=timer.clock, sleep=timer.sleep
        )
    target.close()
    crm.stop()
    engine.dispose()
    state = state_checker.read_http_state(crm.objects)
    verdict = state_checker.check_state(fixtures.generate_desired(accounts, 1), state, edits)
    verdict.duplicated += len(crm.created) - len(set(crm.created))
    least = _count_least_requests(accounts, 0) + _count_least_requests(accounts, 1)
    return HttpResult(verdict, summary, crm.total, least, crm.failed / crm.total, timer.waited)


def run_two_senders(template: Template, folder: Path, *, ahead_days: float = 0.0) -> Verdict:
    """Run two senders at once; a wrong clock of the second makes it take over."""
    file = shutil.copy(template.file, folder / "two.db")
    return run_two_senders_at(f"sqlite:///{file}", template, ahead_days=ahead_days)


def run_two_senders_at(url: str, template: Template, *, ahead_days: float = 0.0) -> Verdict:
    """The same on any database that stands as the template says."""
    children = [
        kill_points.start_process(lambda: kill_points.send_to_sql(url)),
        kill_points.start_process(lambda: _send_late(url, ahead_days)),
    ]
    assert [kill_points.wait_for_exit(child) for child in children] == [0, 0]
    return _check_sql_state(url, template)


def send_while_locked(template: Template, folder: Path, seconds: float) -> Verdict:
    """Send while another program locks the database."""
    file = shutil.copy(template.file, folder / "locked.db")
    url = f"sqlite:///{file}"
    child = kill_points.start_process(lambda: kill_points.send_to_sql(url))
    engine = store.open_engine(url)
    for _ in range(3):
        time.sleep(0.2)
        with engine.execution_options(writes=True).begin():
            time.sleep(seconds / 3)
    engine.dispose()
    assert kill_points.wait_for_exit(child) == 0
    return _check_sql_state(url, template)


def send_on_full_disk(template: Template, folder: Path, room_bytes: int) -> Verdict:
    """Send with a limited file size, then again without the limit."""
    file = shutil.copy(template.file, folder / "full.db")
    url = f"sqlite:///{file}"
    limit = Path(file).stat().st_size + room_bytes
    child = kill_points.start_process(
        kill_points.limit_file_size(lambda: _expect_delivery_error(url), limit)
    )
    assert kill_points.wait_for_exit(child) == 0
    kill_points.send_to_sql(url)
    return _check_sql_state(url, template)


def _expect_delivery_error(url: str) -> None:
    """Expect a one-line error, not a traceback."""
    with pytest.raises(DeliveryError, match=r"^[^\n]+$"):
        kill_points.send_to_sql(url)


def _send_late(url: str, ahead_days: float) -> None:
    time.sleep(0.4)
    kill_points.send_to_sql(url, now=kill_points.shift_clock(ahead_days))


def _check_sql_state(url: str, template: Template) -> Verdict:
    engine = store.open_engine(url)
    desired = fixtures.generate_desired(template.accounts, template.week)
    verdict = state_checker.check_state(
        desired, state_checker.read_sql_state(engine), template.edits
    )
    engine.dispose()
    return verdict


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
    desired = {
        (row["kind"], row["key"]): row["fields"]
        for row in fixtures.generate_desired(accounts, week)
    }
    before = (
        {
            (row["kind"], row["key"]): row["fields"]
            for row in fixtures.generate_desired(accounts, week - 1)
        }
        if week
        else {}
    )
    differ = [name for name, fields in desired.items() if before.get(name) != fields]
    kinds = [kind for kind, _ in differ]
    return sum(2 * ceil(kinds.count(kind) / size) for kind in set(kinds))
