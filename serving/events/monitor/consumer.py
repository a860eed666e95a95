"""Event consumer: counts stored events and passing days, and derives alert transitions.

Events are read in commit order. Threshold states and the offset are saved in one transaction, so
the process may be killed at any point; the next consumer rebuilds the counters up to the offset and
continues. The day advances by the events' receive times first, and by the clock once all events are
counted. So a day without a running consumer still counts as a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, product
from typing import Final

import sqlalchemy as sa

from data.config.settings import Settings
from serving import store
from serving.events.ingest import reader
from serving.events.ingest.reader import StoredEvent
from serving.events.monitor import repository, snapshot
from serving.events.monitor.counters import LIMITS
from serving.events.monitor.repository import AlertEvent, ConsumerOffset, Key
from serving.events.monitor.snapshot import MonitorSnapshot
from serving.events.monitor.threshold import AlertTransition, ThresholdState, advance_threshold
from serving.store.lease import Lease

__all__ = ["EventConsumer", "resume_consumer"]

_BATCH_ROWS: Final = 5_000
_WARM_UP_DAYS: Final = 30
_DAY: Final = timedelta(days=1)
_HEARTBEAT_INTERVAL: Final = timedelta(minutes=1)  # shorter than the lease


@dataclass
class EventConsumer:
    """Counters and threshold states in memory, with the offset up to which they hold.

    The ``lease`` ensures a single consumer: a commit raises a
    :class:`serving.store.lease.LeaseLostError` once another one has taken over. Empty ``states``
    are absent. ``written_at`` is the time of the last commit, UTC.
    """

    engine: sa.Engine
    settings: Settings
    lease: Lease
    snapshot: MonitorSnapshot
    offset: ConsumerOffset
    states: dict[Key, ThresholdState] = field(repr=False)
    written_at: datetime = field(default=datetime.min.replace(tzinfo=UTC), repr=False)

    def heartbeat(self) -> None:
        """Renew the lease and the heartbeat if nothing was written for a minute."""
        now = self.lease.clock()
        if now - self.written_at >= _HEARTBEAT_INTERVAL:
            self._commit([], self.offset)

    def poll(self, now: datetime) -> int:
        """Count new events and passed days; return the number of events."""
        with store.read_transaction(self.engine) as connection:
            rows = list(
                reader.read_events(connection, after=self.offset.position, rows=_BATCH_ROWS)
            )
        for day, day_rows in groupby(rows, key=lambda row: row.received_on):
            self._advance_to_day(day)
            self._consume(list(day_rows))
        if len(rows) < _BATCH_ROWS:
            self._advance_to_day(now.date())
        return len(rows)

    def rebase(self, loaded: MonitorSnapshot, since: ConsumerOffset) -> None:
        """Continue on a snapshot counted up to ``since``, and re-evaluate every account."""
        with store.read_transaction(self.engine) as connection:
            position = self.offset.position
            loaded.apply_events(
                reader.read_events(connection, after=since.position, up_to=position)
            )
        for days in range((self.offset.day - since.day).days):
            loaded.advance_day(since.day + (days + 1) * _DAY)
        self.snapshot = loaded
        at = self.lease.clock()
        accounts = {*loaded.counters.accounts, *(account for account, _ in self.states)}
        self._commit(self._evaluate_accounts(sorted(accounts), at), self.offset)
        with store.write_transaction(self.engine) as connection:
            before = at - timedelta(days=self.settings.webhooks.retention_days)
            repository.purge_events(connection, before, self.offset.position)

    def _advance_to_day(self, day: date) -> None:
        """Advance day by day, each with its midnight: seats age out and alerts clear or expire."""
        while self.offset.day < day:
            offset = replace(self.offset, day=self.offset.day + _DAY)
            midnight = datetime.combine(offset.day, time(), UTC)
            self.offset = offset
            self.snapshot.advance_day(offset.day)
            accounts = dict.fromkeys(account for account, _ in self.states)
            self._commit(self._evaluate_accounts(accounts, midnight), offset)

    def _consume(self, rows: Sequence[StoredEvent]) -> None:
        changed, unknown = self.snapshot.apply_events(rows)
        counts = dict(self.offset.counts)
        counts["events"] = counts.get("events", 0) + len(rows)
        counts["unknown_account"] = counts.get("unknown_account", 0) + unknown
        offset = ConsumerOffset(rows[-1].id, self.offset.day, counts)
        at = rows[-1].received_at
        self._commit(self._evaluate_accounts(sorted(changed), at), offset)

    def _evaluate_accounts(
        self, accounts: Iterable[str], at: datetime
    ) -> list[tuple[Key, ThresholdState, list[AlertEvent]]]:
        """Return the states that change with the current readings, and their alert events."""
        results = []
        for key in product(accounts, LIMITS):
            old_state = self.states.get(key, ThresholdState())
            new_state, events = self._advance_limit(key, old_state, self.offset.day, at)
            if new_state != old_state or events:
                results.append((key, new_state, events))
        return results

    def _advance_limit(
        self, key: Key, state: ThresholdState, day: date, at: datetime
    ) -> tuple[ThresholdState, list[AlertEvent]]:
        counters = self.snapshot.counters
        reading = counters.read_utilization(*key, day, self.snapshot.subscriptions)
        new_state, transitions = advance_threshold(state, reading, self.settings.alerts)
        return new_state, [
            AlertEvent(
                *key,
                transition,
                at,
                reading.used,
                reading.limit_value or 0.0,
                counters.measure_usage_90d_ago(*key, day),
            )
            for transition in transitions
        ]

    def _commit(
        self,
        results: Sequence[tuple[Key, ThresholdState, list[AlertEvent]]],
        offset: ConsumerOffset,
        *,
        warm_up: bool = False,
    ) -> None:
        """Commit states, alerts and offset in one transaction; then update memory."""
        states = {key: state for key, state, _ in results}
        with store.write_transaction(self.engine) as connection:
            self.lease.renew(connection)
            repository.save_offset(connection, offset, self.lease.clock())
            repository.save_states(connection, states)
            repository.save_alerts(
                connection, (event for *_, all_ in results for event in all_), warm_up=warm_up
            )
        self.offset, self.written_at = offset, self.lease.clock()
        self.states |= states
        for key in [key for key, state in states.items() if state == ThresholdState()]:
            del self.states[key]

    def warm_up(self) -> None:
        """Warm up threshold states from the last 30 days without sending alerts.

        Accounts that are full at the first start raise no new alert.
        """
        day, counters = self.offset.day, self.snapshot.counters
        subscriptions, threshold = self.snapshot.subscriptions, self.settings.alerts.clear_threshold
        keys_under_pressure = [
            key
            for key in product(counters.accounts, LIMITS)
            if (counters.read_utilization(*key, day, subscriptions).utilization or 0.0) >= threshold
        ]
        states: dict[Key, ThresholdState] = {}
        opened: dict[Key, AlertEvent] = {}
        for back in range(_WARM_UP_DAYS, 0, -1):
            then = day - back * _DAY
            for key in keys_under_pressure:
                states[key], events = self._advance_limit(
                    key,
                    states.get(key, ThresholdState()),
                    then,
                    datetime.combine(then, time(), UTC),
                )
                opened.update((key, event) for event in events if event.transition.kind != "closed")
        results = []
        for key, state in states.items():
            # Alerts are numbered from one.
            numbered = replace(state, alert_count=1 if state.open_alert else 0)
            events = []
            if state.open_alert and key in opened:
                opening = AlertTransition("opened", 1, state.open_alert.severity)
                events = [replace(opened[key], transition=opening)]
            results.append((key, numbered, events))
        self._commit(results, self.offset, warm_up=True)


def resume_consumer(
    engine: sa.Engine, settings: Settings, lease: Lease, now: datetime
) -> EventConsumer:
    """Resume from the saved offset; without one, warm up from the log.

    Raises ``ExpansionError`` if tables, log or model cannot be read. Raises ``LeaseLostError`` if
    another consumer has taken over.
    """
    with store.read_transaction(engine) as connection:
        saved = repository.load_offset(connection)
        states = repository.load_states(connection)
        first_event = next(reader.read_events(connection, after=0, rows=1), None)
    offset = saved or ConsumerOffset(0, first_event.received_on if first_event else now.date(), {})
    initial = snapshot.load_snapshot(
        engine, settings, now=now, position=offset.position, day=offset.day
    )
    consumer = EventConsumer(engine, settings, lease, initial, offset, states)
    if saved is None:
        consumer.warm_up()
    else:
        consumer.rebase(initial, offset)
    return consumer
