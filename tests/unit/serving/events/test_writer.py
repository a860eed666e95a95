"""The event writer's single statement stores the same rows on SQLite and on PostgreSQL."""

import asyncio
from datetime import UTC, datetime

import sqlalchemy as sa

from serving import store
from serving.events.ingest.parsers import InboundEvent
from serving.events.ingest.writer import EventWriter
from serving.store.event_schema import WEBHOOK_EVENTS

NOW = datetime(2026, 6, 1, 12, 0, 0, 123_456, UTC)
FULL = InboundEvent("m-1", "acme", "u-1", "use", "reports", 0.1, NOW)
EMPTY = InboundEvent("m-2", None, None, None, None, None, NOW)


def test_events_are_stored_once_with_their_types(database: sa.Engine) -> None:
    writer = EventWriter(database)

    async def append_twice() -> None:
        for _ in range(2):
            await writer.append("generic", [FULL, EMPTY, FULL], [], NOW)

    asyncio.run(append_twice())
    writer.close()

    columns = [WEBHOOK_EVENTS.c[name] for name in InboundEvent.__slots__]
    rows = store.fetch_rows(database, sa.select(*columns).order_by(WEBHOOK_EVENTS.c.message_id))
    stored = [
        InboundEvent(**row | {"happened_at": store.as_utc(row["happened_at"])}) for row in rows
    ]
    assert stored == [FULL, EMPTY]
