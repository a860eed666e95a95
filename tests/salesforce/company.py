"""A made-up company: what should be true in Salesforce, its org, and a judge who compares the two.

The judge says Salesforce's names and values by its own rules, not by those of the code on trial.
"""

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving.delivery.crm.salesforce.client import SalesforceClient, SalesforceCredentials
from serving.delivery.crm.salesforce.create import CreateOptions
from serving.delivery.crm.salesforce.field_mapping import SalesforceFieldMapping
from serving.delivery.crm.salesforce.target import SalesforceTarget
from serving.delivery.reconcile.sender import send_pending
from serving.delivery.reconcile.summary import SyncSummary
from serving.store.schema import DESIRED_OBJECTS
from tests.salesforce.server import CLIENT, Server

MONDAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
Row = dict[str, Any]


@dataclass
class Company:
    """Accounts ``acc_00001`` and so on; one in eight has an opportunity and a task, one a task."""

    server: Server
    engine: sa.Engine
    folder: Path
    accounts: int
    week: int = 0
    ids: dict[str, str] = field(default_factory=dict)

    def deploy(self) -> None:
        """Set the org up as its admin does, and let it have the accounts."""
        target = self.target()
        target.provision()
        target.close()
        org = self.server.org
        org.deploy(self.folder / "salesforce")
        self.csms = {f"{name}@acme.example": "" for name in ("cleo", "ivan")}
        for email in self.csms:
            self.csms[email] = org.add("User", Email=email, IsActive=True)
        for account in self.names():
            self.ids[account] = org.add(
                "Account", Name=account.upper(), OwnerId=org.us, Expansion_Account_Id__c=account
            )

    def names(self) -> list[str]:
        return [f"acc_{place:05}" for place in range(1, self.accounts + 1)]

    def put(self, week: int = 0, change: Callable[[Row], Row] = lambda row: row) -> None:
        """Put a week's objects into the outbox."""
        self.week = week
        day = MONDAY + timedelta(weeks=week)
        rows = [change(row) for row in self.wanted()]
        told = {"target": "salesforce", "run_id": week + 1, "as_of": day}
        with self.engine.execution_options(writes=True).begin() as connection:
            connection.execute(sa.delete(DESIRED_OBJECTS))
            connection.execute(sa.insert(DESIRED_OBJECTS), [row | told for row in rows])

    def wanted(self) -> Iterator[Row]:
        draw = random.Random(f"7 {self.week}")  # noqa: S311
        for place, account in enumerate(self.names(), start=1):
            email = list(self.csms)[place % 2]
            yield _row("account", account, account, place, _account(draw, place, email, self.week))
            if place % 8 > 1:
                continue
            key = f"{account}:seats:1"
            if place % 8 == 0:
                yield _row("opportunity", key, account, place, _opportunity(draw, account, key))
            yield _row("task", f"{key}:talk", account, place, _task(account, key))

    def target(self, **making: Any) -> SalesforceTarget:
        """Open the org anew, as a process does that starts."""
        client = SalesforceClient(
            SalesforceCredentials(self.server.url, *CLIENT),
            timeout_seconds=making.pop("timeout_seconds", 20),
        )
        made = CreateOptions(**making)
        return SalesforceTarget(
            client,
            SalesforceFieldMapping.from_config({}, create_accounts=made.create_accounts),
            folder=self.folder / "salesforce",
            today=lambda: MONDAY,
            create_options=made,
        )

    def send(self, **told: Any) -> SyncSummary:
        """Send once, without waiting between tries."""
        making = {name: told.pop(name) for name in ("accounts", "timeout_seconds") if name in told}
        target = self.target(**making)
        try:
            return send_pending(
                self.engine, target, now=NOW, sleep=lambda _: time.sleep(0.001), **told
            )
        finally:
            target.close()

    def judge(self, *, but: frozenset[tuple[str, str]] = frozenset()) -> list[str]:
        """Tell what is lost, doubled or wrong; ``but`` are keys and fields that a human holds."""
        org, faults = self.server.org, list(self.server.org.overwritten)
        kinds = {"account": "Account", "opportunity": "Opportunity", "task": "Task"}
        keys = {"account": "Expansion_Account_Id__c"}
        for row in self.wanted():
            name = keys.get(row["kind"], "Expansion_Key__c")
            records = org.records[kinds[row["kind"]]].values()
            found = [record for record in records if record.get(name) == row["key"]]
            if len(found) != 1:
                faults.append(f"{row['key']}: {len(found)} records")
                continue
            for ours, value in row["fields"].items():
                theirs, expected = _said(row["kind"], ours, value)
                if theirs and (row["key"], ours) not in but and found[0][theirs] != expected:
                    faults.append(f"{row['key']} {ours}: {found[0][theirs]!r}, not {expected!r}")
        return faults


def _account(draw: random.Random, place: int, email: str, week: int) -> dict[str, Any]:
    return {
        "name": f"Account {place}",
        "csm": email,
        "as_of": str(MONDAY + timedelta(weeks=week)),
        "rank": place,
        "this_week": draw.random() < 0.3,
        "probability": round(draw.random(), 3),
        "seat_utilization": round(draw.random() * 1.4, 3),
        "expected_arr": float(draw.randrange(90_000)),
        "tier": 1 + place % 8 if place % 8 < 2 else None,
        "readiness_date": str(MONDAY + timedelta(days=draw.randrange(90))),
        "ask": draw.choice([True, False, None]),
        "signals": f"{draw.randrange(90)} people\n“{draw.randrange(90)}” more, 50 %",
        "note": None,
    }


def _opportunity(draw: random.Random, account: str, key: str) -> dict[str, Any]:
    return {
        "name": f"{account}: more seats",
        "state": "open",
        "probability": round(draw.random(), 3),
        "amount": float(draw.randrange(9_000)),
        "expected_close_date": draw.choice([None, str(MONDAY + timedelta(days=40))]),
        "limit": "seats",
        "signals": "one\ntwo",
        "episode": key,
    }


def _task(account: str, key: str) -> dict[str, Any]:
    return {
        "subject": f"{account}: talk to the buyer",
        "state": "open",
        "due_date": str(MONDAY + timedelta(days=14)),
        "notes": "one\ntwo",
        "episode": key,
    }


def _row(kind: str, key: str, account: str, place: int, fields: Mapping[str, Any]) -> Row:
    told = json.dumps(fields, sort_keys=True).encode()
    return {
        "kind": kind,
        "key": key,
        "account_id": account,
        "limit": None if kind == "account" else "seats",
        "place": place,
        "fields": dict(fields),
        "digest": hashlib.sha256(told).hexdigest(),
    }


_OWN = {
    "opportunity name": "Name",
    "opportunity amount": "Amount",
    "task subject": "Subject",
    "task due_date": "ActivityDate",
    "task notes": "Description",
    "account name": "",
    "account csm": "Expansion_CSM__c",
    "account expected_arr": "Expansion_Expected_ARR__c",
}


def _said(kind: str, ours: str, value: Any) -> tuple[str, Any]:
    """A field and a value as they should stand in Salesforce."""
    usual = f"Expansion_{ours.title()}__c"
    if ours in {"probability", "seat_utilization"} and value is not None:
        value = round(value * 100, 1)
    if ours in {"this_week", "ask"}:
        value = value is True
    if ours in {"signals", "notes"}:
        value = value.replace("\n", "\r\n")
    return _OWN.get(f"{kind} {ours}", usual), value
