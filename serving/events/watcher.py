"""The watcher: counts what arrives and the days that pass, and says which signals come of it.

It follows the arrivals in the order in which they were committed. What it remembers and how far it
has come are one transaction, so it may be killed anywhere: the next one counts anew what the
database holds up to that position, and goes on. The day moves on with the arrivals' own stamps
first, and with the clock once all is counted: so a day that was slept through is counted as a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Final

import sqlalchemy as sa

from data.settings import Settings
from serving import state
from serving.events import arrivals, ground, kept
from serving.events.arrivals import Arrival
from serving.events.counts import LIMITS
from serving.events.ground import Ground
from serving.events.kept import Fired, Key, Progress
from serving.outbox.lease import Lease
from serving.triggers import Change, Watch, step

__all__ = ["Watcher", "started"]

_ROWS_AT_ONCE: Final = 5_000
_SEEDED_DAYS: Final = 30
_DAY: Final = timedelta(days=1)
_BEAT: Final = timedelta(minutes=1)  # well within the length of a lease


@dataclass
class Watcher:
    """What is counted and remembered, beside what the database knows of it.

    Attributes
    ----------
    engine : sqlalchemy.Engine
        The one database.
    settings : data.settings.Settings
        Triggers.
    lease : serving.outbox.lease.Lease
        One watcher at a time.
    ground : serving.events.ground.Ground
        What figures are made from.
    progress : serving.events.kept.Progress
        How far it has come.
    watches : dict
        By account and limit; no entry: nothing to remember.
    written_at : datetime.datetime
        When it last wrote, UTC.
    """

    engine: sa.Engine
    settings: Settings
    lease: Lease
    ground: Ground
    progress: Progress
    watches: dict[Key, Watch] = field(repr=False)
    written_at: datetime = field(default=datetime.min.replace(tzinfo=UTC), repr=False)

    def beat(self) -> None:
        """Say that it is there, and keep its lease, when for a minute nothing was to be written.

        Raises
        ------
        serving.outbox.lease.Lost
            If another watcher has taken over.
        """
        now = self.lease.time()
        if now - self.written_at >= _BEAT:
            self._commit([], self.progress)

    def follow(self, now: datetime) -> int:
        """Count what has arrived, and the days that have passed; say how many arrivals it was.

        Raises
        ------
        serving.outbox.lease.Lost
            If another watcher has taken over.
        """
        with state.reading(self.engine) as connection:
            rows = list(arrivals.read(connection, after=self.progress.position, rows=_ROWS_AT_ONCE))
        for day, some in groupby(rows, key=lambda row: row.day):
            self._until(day)
            self._take(list(some))
        if len(rows) < _ROWS_AT_ONCE:
            self._until(now.date())
        return len(rows)

    def stand_on(self, new: Ground, since: Progress) -> None:
        """Go on from a new ground, which was counted up to there: contracts may have changed.

        Raises
        ------
        serving.outbox.lease.Lost
            If another watcher has taken over.
        """
        with state.reading(self.engine) as connection:
            here = self.progress.position
            new.take(arrivals.read(connection, after=since.position, up_to=here))
        for days in range((self.progress.day - since.day).days):
            new.pass_to(since.day + (days + 1) * _DAY)
        self.ground = new
        at = self.lease.time()
        accounts = {*new.counts.accounts, *(account for account, _ in self.watches)}
        self._commit(self._judged(sorted(accounts), at), self.progress)
        with state.writing(self.engine) as connection:
            before = at - timedelta(days=self.settings.webhooks.keep_days)
            kept.forget(connection, before, self.progress.position)

    def _until(self, day: date) -> None:
        """Let days pass, each with its midnight: seats age out, and waiting comes to an end."""
        while self.progress.day < day:
            after = replace(self.progress, day=self.progress.day + _DAY)
            midnight = datetime.combine(after.day, time(), UTC)
            self.progress = after
            self.ground.pass_to(after.day)
            accounts = dict.fromkeys(account for account, _ in self.watches)
            self._commit(self._judged(accounts, midnight), after)

    def _take(self, rows: Sequence[Arrival]) -> None:
        dirty, unknown = self.ground.take(rows)
        counts = dict(self.progress.counts)
        counts["arrivals"] = counts.get("arrivals", 0) + len(rows)
        counts["unknown_account"] = counts.get("unknown_account", 0) + unknown
        after = Progress(rows[-1].id, self.progress.day, counts)
        at = rows[-1].received_at
        self._commit(self._judged(sorted(dirty), at), after)

    def _judged(
        self, accounts: Iterable[str], at: datetime
    ) -> list[tuple[Key, Watch, list[Fired]]]:
        """The watches that change by what their limits read now, and what happens."""
        found = []
        for account in accounts:
            for limit in LIMITS:
                key = (account, limit)
                before = self.watches.get(key, Watch())
                after, fired = self._stepped(key, before, self.progress.day, at)
                if after != before or fired:
                    found.append((key, after, fired))
        return found

    def _stepped(
        self, key: Key, watch: Watch, day: date, at: datetime
    ) -> tuple[Watch, list[Fired]]:
        account, limit = key
        counts = self.ground.counts
        reading = counts.reading(account, limit, day, self.ground.contracts)
        after, changes = step(watch, reading, self.settings.triggers)

        def fired(change: Change) -> Fired:
            before = counts.before(account, limit, day)
            return Fired(account, limit, change, at, reading.used, reading.of or 0.0, before)

        return after, [fired(change) for change in changes]

    def _commit(
        self,
        judged: Sequence[tuple[Key, Watch, list[Fired]]],
        after: Progress,
        *,
        quietly: bool = False,
    ) -> None:
        """Write all that follows, or nothing; then remember it here, too."""
        changed = {key: watch for key, watch, _ in judged}
        with state.writing(self.engine) as connection:
            self.lease.renew(connection)
            kept.advance(connection, after, self.lease.time())
            kept.remember(connection, changed)
            kept.tell(connection, (each for *_, all_ in judged for each in all_), quietly=quietly)
        self.progress, self.written_at = after, self.lease.time()
        self.watches |= changed
        for key in [key for key, watch in changed.items() if watch == Watch()]:
            del self.watches[key]

    def seed(self) -> None:
        """Look back over the last month, quietly: who was full before was no crossing now.

        Raises
        ------
        serving.outbox.lease.Lost
            If another watcher has taken over.
        """
        day, rules = self.progress.day, self.settings.triggers
        pressed = [
            (account, limit)
            for account in self.ground.counts.accounts
            for limit in LIMITS
            if (self.ground.counts.reading(account, limit, day, self.ground.contracts).share or 0.0)
            >= rules.release
        ]
        watches: dict[Key, Watch] = {}
        opened: dict[Key, Fired] = {}
        for back in range(_SEEDED_DAYS, 0, -1):
            then = day - back * _DAY
            for key in pressed:
                watches[key], fired = self._stepped(
                    key, watches.get(key, Watch()), then, datetime.combine(then, time(), UTC)
                )
                opened.update((key, each) for each in fired if each.change.kind != "closed")
        judged = [
            (key, _first(watch), _only(opened.get(key), watch)) for key, watch in watches.items()
        ]
        self._commit(judged, self.progress, quietly=True)


def _first(watch: Watch) -> Watch:
    """What was there before is the first signal, if it is one at all."""
    return replace(watch, number=1 if watch.open else 0)


def _only(fired: Fired | None, watch: Watch) -> list[Fired]:
    if fired is None or watch.open is None:
        return []
    return [replace(fired, change=Change("opened", 1, watch.open.level))]


def started(engine: sa.Engine, settings: Settings, lease: Lease, now: datetime) -> Watcher:
    """Go on from where the last watcher stopped; the first one begins with what is there.

    Raises
    ------
    data.errors.ExpansionError
        If tables, log or model cannot be read.
    serving.outbox.lease.Lost
        If another watcher has taken over.
    """
    with state.reading(engine) as connection:
        before = kept.progress(connection)
        watches = kept.watches(connection)
        first = next(arrivals.read(connection, after=0, rows=1), None)
    progress = before or Progress(0, first.day if first else now.date(), {})
    made = ground.laid(engine, settings, now=now, position=progress.position, day=progress.day)
    watcher = Watcher(engine, settings, lease, made, progress, watches)
    if before is None:
        watcher.seed()
    else:
        watcher.stand_on(made, progress)
    return watcher
