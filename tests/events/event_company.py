"""A small company whose seats fill up, and a watcher of it whose clock a test sets."""

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
    """Tables in a folder, and the one database."""

    folder: Path
    more: str = ""
    settings: Settings = field(init=False)
    engine: sa.Engine = field(init=False)
    sent: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write("accounts", [f"{name},2025-01-01,{name.title()},Cleo" for name in NAMES])
        self.write("subscriptions", [f"{name},2025-01-01,10,,team,100,paid" for name in NAMES])
        days = [TODAY - timedelta(days=day) for day in range(1, 200, 5)]
        # Six people at each, whose last day is five weeks old but for three of them.
        self.write(
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
        file.write_text(SETTINGS + self.more)
        self.settings = settings.load_settings(file)
        self.engine = store.open_engine(self.settings.database_url)
        # An empty registry takes MLflow seconds to make.
        if _REGISTRY:
            shutil.copy(_REGISTRY[0], self.settings.state_folder)

    def write(self, table: str, rows: list[str]) -> None:
        (self.folder / f"{table}.csv").write_text("\n".join([TABLES[table], *rows]) + "\n")

    def use(self, workspace: str, user: str, at: datetime, **more: Any) -> None:
        """Let an event arrive at the moment it happens, or late (``received``)."""
        self.sent += 1
        received = more.pop("received", at)
        message = InboundEvent(
            **{
                "message_id": f"m-{self.sent}",
                "workspace": workspace,
                "user_id": user,
                "event": "view",
                "feature": "reports",
                "quantity": None,
                "happened_at": at,
                **more,
            }
        )
        row = {name: getattr(message, name) for name in InboundEvent.__slots__}
        with store.write_transaction(self.engine) as connection:
            insert_missing(
                connection, WEBHOOK_EVENTS, [{**row, "source": "generic", "received_at": received}]
            )

    def fill(self, account: str, people: int, at: datetime) -> None:
        """So many people of an account use it."""
        for user in range(people):
            self.use(account, f"{account}-{user}", at)

    def start(self, now: datetime) -> EventConsumer:
        """A watcher, which whoever watched before has left to it."""
        held = lease.acquire_lease(self.engine, f"events-{self.sent}-{now}", lambda: now)
        assert isinstance(held, lease.Lease)
        made = consumer.resume_consumer(self.engine, self.settings, held, now)
        _REGISTRY[:] = [self.settings.state_folder / "mlflow.db"]
        return made

    def follow(self, at_work: EventConsumer, now: datetime) -> None:
        """Count, tell, and send to the CRM in the database."""
        at_work.poll(now)
        with store.read_transaction(self.engine) as connection:
            signals = repository.load_alerts_to_rescore(connection, max_rows=100)
        if signals:
            told = {"target": "sql", "position": at_work.offset.position, "now": now}
            rescore.rescore_alerts(self.engine, self.settings, at_work.snapshot, signals, **told)
            service.send_limited(self.engine, self.settings, name="sql", max_objects=100, now=now)

    def signals(self) -> list[dict[str, Any]]:
        return self.rows(ALERTS)

    def watches(self) -> list[dict[str, Any]]:
        return self.rows(THRESHOLD_STATES)

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with store.read_transaction(self.engine) as connection:
            rows = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
            return [dict(row) for row in rows]


NAMES = ("acme", "beta", "core")
