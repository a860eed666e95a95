"""What may go wrong while a list is delivered, each tried and then judged."""

import random
import shutil
import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import http_target
import judge
import killing
import made_up
import pytest
from faulty_crm import FaultyCrm
from judge import Edits, Verdict

from data.errors import DeliveryError
from serving import store
from serving.delivery.reconcile import sender
from serving.delivery.reconcile.summary import SyncSummary

_EDITS = 40


@dataclass
class Timer:
    """A clock on which waiting costs nothing."""

    waited: float = 0.0

    def clock(self) -> float:
        return time.monotonic() + self.waited

    def sleep(self, seconds: float) -> None:
        self.waited += seconds


@dataclass(frozen=True)
class Template:
    """A database ready to be sent from, and what humans have set at its CRM before."""

    file: Path
    accounts: int
    week: int
    edits: Edits


def new(folder: Path, accounts: int) -> Template:
    """Nothing was ever sent: all is to be made."""
    file = folder / "new.db"
    engine = store.open_engine(f"sqlite:///{file}")
    made_up.put(engine, "sql", accounts)
    engine.dispose()
    return Template(file, accounts, 0, {})


def second_week(folder: Path, accounts: int) -> Template:
    """One week was sent, humans have worked in the CRM since, and the next week is to be sent."""
    file = folder / "second_week.db"
    return second_week_at(f"sqlite:///{file}", file, accounts)


def second_week_at(url: str, file: Path, accounts: int) -> Template:
    """The same on any database."""
    engine = store.open_engine(url)
    made_up.put(engine, "sql", accounts)
    killing.sent_to_sql(url)
    edits = killing.edited(engine, random.Random(1), _EDITS)  # noqa: S311
    made_up.put(engine, "sql", accounts, week=1)
    engine.dispose()
    return Template(file, accounts, 1, edits)


def points(template: Template, folder: Path) -> int:
    """How many points there are to die at."""
    file = shutil.copy(template.file, folder / "points.db")
    return killing.sent_to_sql(f"sqlite:///{file}")


def killed(template: Template, folder: Path, dies_at: int, seed: int) -> Verdict:
    """Killed at a point; humans edit, sometimes a newer week comes; then it is run again."""
    file = folder / f"killed_{seed}.db"
    shutil.copy(template.file, file)
    try:
        return killed_at(f"sqlite:///{file}", template, dies_at, seed)
    finally:
        for left in folder.glob(f"{file.name}*"):
            left.unlink()


def killed_at(url: str, template: Template, dies_at: int, seed: int) -> Verdict:
    """The same on any database that stands as the template says."""
    draw = random.Random(seed)  # noqa: S311
    child = killing.started(lambda: killing.sent_to_sql(url, dies_at))
    assert killing.ended(child) == -9
    engine = store.open_engine(url)
    edits = dict(template.edits)
    if draw.random() < 0.5:
        edits |= killing.edited(engine, draw, _EDITS)
    week = template.week
    if draw.random() < 0.3:
        week += 1
        made_up.put(engine, "sql", template.accounts, week=week)
    sent = sender.send_pending(engine, killing.Small(engine), now=killing.NOW)
    assert sent.words is None, sent.words
    verdict = judge.judged(
        made_up.wanted(template.accounts, week), judge.standing_in_sql(engine), edits
    )
    engine.dispose()
    return verdict


@dataclass(frozen=True)
class OverHttp:
    """What came of sending to a CRM that fails, and how often it was asked."""

    verdict: Verdict
    sent: SyncSummary
    requests: int
    least: int
    failed_share: float
    waited_seconds: float

    @property
    def ratio(self) -> float:
        """Requests ÷ (the least possible ÷ the share that does not fail)."""
        return self.requests * (1 - self.failed_share) / self.least


def over_http(folder: Path, accounts: int, fault: str | None, seed: int = 7) -> OverHttp:
    """Two weeks sent to a CRM that fails at 30 % of requests; humans edit in between."""
    file = folder / f"http_{fault}.db".replace(" ", "_")
    engine = store.open_engine(f"sqlite:///{file}")
    crm = FaultyCrm(fault=fault, seed=seed)
    target, timer = http_target.HttpTarget(crm.start()), Timer()
    draw, edits = random.Random(seed), dict[tuple[str, str, str], Any]()  # noqa: S311
    for week in (0, 1):
        made_up.put(engine, target.name, accounts, week=week)
        if week:
            edits = _edited(crm, draw)
        sent = sender.send_pending(
            engine, target, now=killing.NOW, clock=timer.clock, sleep=timer.sleep
        )
    target.close()
    crm.stop()
    engine.dispose()
    stands = judge.standing_over_http(crm.objects)
    verdict = judge.judged(made_up.wanted(accounts, 1), stands, edits)
    verdict.doubled += len(crm.made) - len(set(crm.made))
    least = _least(accounts, 0) + _least(accounts, 1)
    return OverHttp(verdict, sent, crm.requests, least, crm.failed / crm.requests, timer.waited)


def two_at_once(template: Template, folder: Path, *, ahead_days: float = 0.0) -> Verdict:
    """Two processes send at once; the clock of the second may be wrong, and it takes over."""
    file = shutil.copy(template.file, folder / "two.db")
    return two_at_once_at(f"sqlite:///{file}", template, ahead_days=ahead_days)


def two_at_once_at(url: str, template: Template, *, ahead_days: float = 0.0) -> Verdict:
    """The same on any database that stands as the template says."""
    children = [
        killing.started(lambda: killing.sent_to_sql(url)),
        killing.started(lambda: _late(url, ahead_days)),
    ]
    assert [killing.ended(child) for child in children] == [0, 0]
    return _judged(url, template)


def locked(template: Template, folder: Path, seconds: float) -> Verdict:
    """Another program holds the database while it is sent from."""
    file = shutil.copy(template.file, folder / "locked.db")
    url = f"sqlite:///{file}"
    child = killing.started(lambda: killing.sent_to_sql(url))
    engine = store.open_engine(url)
    for _ in range(3):
        time.sleep(0.2)
        with engine.execution_options(writes=True).begin():
            time.sleep(seconds / 3)
    engine.dispose()
    assert killing.ended(child) == 0
    return _judged(url, template)


def disk_full(template: Template, folder: Path, room_bytes: int) -> Verdict:
    """No file may grow any more, somewhere on the way; then there is room again."""
    file = shutil.copy(template.file, folder / "full.db")
    url = f"sqlite:///{file}"
    limit = Path(file).stat().st_size + room_bytes
    child = killing.started(killing.with_little_room(lambda: _refused(url), limit))
    assert killing.ended(child) == 0
    killing.sent_to_sql(url)
    return _judged(url, template)


def _refused(url: str) -> None:
    """It must end with one sentence, not a traceback."""
    with pytest.raises(DeliveryError, match=r"^[^\n]+$"):
        killing.sent_to_sql(url)


def _late(url: str, ahead_days: float) -> None:
    time.sleep(0.4)
    killing.sent_to_sql(url, now=killing.ahead(ahead_days))


def _judged(url: str, template: Template) -> Verdict:
    engine = store.open_engine(url)
    wanted = made_up.wanted(template.accounts, template.week)
    verdict = judge.judged(wanted, judge.standing_in_sql(engine), template.edits)
    engine.dispose()
    return verdict


def _edited(crm: FaultyCrm, draw: random.Random) -> Edits:
    edits: Edits = {}
    for kind, kept in crm.objects.items():
        for key in draw.sample(sorted(kept), min(15, len(kept))):
            name, value = draw.choice(list(killing._FIELDS[kind].items()))
            crm.edit(kind, key, name, value)
            edits[kind, key, name] = value
    return edits


def _least(accounts: int, week: int, size: int = 100) -> int:
    """Calls that nobody could do without: each batch read once, and written once."""
    now = {(row["kind"], row["key"]): row["fields"] for row in made_up.wanted(accounts, week)}
    before = (
        {(row["kind"], row["key"]): row["fields"] for row in made_up.wanted(accounts, week - 1)}
        if week
        else {}
    )
    differ = [name for name, fields in now.items() if before.get(name) != fields]
    kinds = [kind for kind, _ in differ]
    return sum(2 * ceil(kinds.count(kind) / size) for kind in set(kinds))
