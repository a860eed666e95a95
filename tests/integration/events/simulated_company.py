"""Test company whose seats fill up, with an event consumer on a controlled clock."""

import shutil
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from data.config import settings
from data.config.settings import Settings
from serving import store
from serving.delivery import service
from serving.events import rescore
from serving.events.ingest.parsers import InboundEvent
from serving.events.monitor import consumer, repository
from serving.events.monitor.consumer import EventConsumer
from serving.store import lease
from serving.store.event_schema import ALERTS, THRESHOLD_STATES, WEBHOOK_EVENTS
from serving.store.upsert import insert_missing

TODAY = date(2026, 6, 15)
TABLES = {
    "events": "account_id,user_id,timestamp,event,feature,event_id",
    "subscriptions": "account_id,effective_date,licensed_seats,usage_limit,plan,mrr,status",
    "accounts": "account_id,created_date,name,csm",
}
SETTINGS = """
as_of = "today"
state = "state"
[tables]
events = "events.csv"
subscriptions = "subscriptions.csv"
accounts = "accounts.csv"
[webhooks]
workspaces = "workspaces.csv"
"""


_REGISTRY: list[Path] = []


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


@dataclass
class Company:
    """Tables in a folder, and the application database."""

    folder: Path
    extra_settings: str = ""
    settings: Settings = field(init=False)
    engine: sa.Engine = field(init=False)
    message_count: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_table("accounts", [f"{name},2025-01-01,{name.title()},Cleo" for name in NAMES])
        self.write_table(
            "subscriptions", [f"{name},2025-01-01,10,,team,100,paid" for name in NAMES]
        )
        days = [TODAY - timedelta(days=day) for day in range(1, 200, 5)]
        # Six users each; the last day of three of them is five weeks ago.
        self.write_table(
            "events",
            [
                f"{name},{name}-{user},{day}T09:00:00Z,view,reports,{name}-{user}-{day}"
                for name in NAMES
                for user in range(6)
                for day in days
                if user < 3 or (TODAY - day).days > 35
            ],
        )
        (self.folder / "workspaces.csv").write_text("workspace_id,account_id\nacme-eu,acme\n")
        file = self.folder / "expansion.toml"
        file.write_text(SETTINGS + self.extra_settings)
        self.settings = settings.load_settings(file)
        self.engine = store.open_engine(self.settings.database_url)
        # Creating an empty registry takes MLflow seconds.
        if _REGISTRY:
            shutil.copy(_REGISTRY[0], self.settings.state_folder)

    def write_table(self, table: str, rows: list[str]) -> None:
        (self.folder / f"{table}.csv").write_text("\n".join([TABLES[table], *rows]) + "\n")

    def receive_event(self, workspace: str, user: str, at: datetime, **fields: Any) -> None:
        """Store an event received at the moment it happens, or later (``received``)."""
        self.message_count += 1
        received_at = fields.pop("received", at)
        message = InboundEvent(
            **{
                "message_id": f"m-{self.message_count}",
                "workspace": workspace,
                "user_id": user,
                "event": "view",
                "feature": "reports",
                "quantity": None,
                "happened_at": at,
                **fields,
            }
        )
        row = {name: getattr(message, name) for name in InboundEvent.__slots__}
        with store.write_transaction(self.engine) as connection:
            insert_missing(
                connection,
                WEBHOOK_EVENTS,
                [{**row, "source": "generic", "received_at": received_at}],
            )

    def use_seats(self, account: str, users: int, at: datetime) -> None:
        """Receive one event from each of several users of an account."""
        for user in range(users):
            self.receive_event(account, f"{account}-{user}", at)

    def start_consumer(self, now: datetime) -> EventConsumer:
        """Start a consumer with a lease of its own."""
        acquired = lease.acquire_lease(
            self.engine, f"events-{self.message_count}-{now}", lambda: now
        )
        assert isinstance(acquired, lease.Lease)
        event_consumer = consumer.resume_consumer(self.engine, self.settings, acquired, now)
        _REGISTRY[:] = [self.settings.state_folder / "mlflow.db"]
        return event_consumer

    def run_consumer(self, event_consumer: EventConsumer, now: datetime) -> None:
        """Poll, rescore alerts, and send to the CRM in the database."""
        event_consumer.poll(now)
        with store.read_transaction(self.engine) as connection:
            alerts = repository.load_alerts_to_rescore(connection, max_rows=100)
        if alerts:
            arguments = {"target": "sql", "position": event_consumer.offset.position, "now": now}
            rescore.rescore_alerts(
                self.engine, self.settings, event_consumer.snapshot, alerts, **arguments
            )
            service.send_limited(self.engine, self.settings, name="sql", max_objects=100, now=now)

    def load_alerts(self) -> list[dict[str, Any]]:
        return self.load_rows(ALERTS)

    def load_states(self) -> list[dict[str, Any]]:
        return self.load_rows(THRESHOLD_STATES)

    def load_rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with store.read_transaction(self.engine) as connection:
            rows = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
            return [dict(row) for row in rows]


NAMES = ("acme", "beta", "core")
