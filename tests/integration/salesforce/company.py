"""Test company: desired objects, an org, and a state checker that compares the two.

The checker has its own mapping of fields and values, independent of the code under test.
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

from data.config.delivery import SalesforceConfig
from serving.delivery.crm.salesforce.client import SalesforceClient
from serving.delivery.crm.salesforce.target import SalesforceTarget
from serving.delivery.reconcile.sender import send_pending
from serving.delivery.reconcile.summary import SyncSummary
from serving.store.schema import DESIRED_OBJECTS
from tests.fakes.salesforce.server import CLIENT, SalesforceServer

MONDAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
Row = dict[str, Any]


def build_config(url: str, **options: Any) -> SalesforceConfig:
    """Build the settings of a fake org."""
    client_id, client_secret = CLIENT
    credentials = {"client_id": client_id, "client_secret": client_secret}
    return SalesforceConfig.model_validate({"instance_url": url, **credentials, **options})


def build_target(
    url: str, folder: Path, *, timeout_seconds: float = 20, **options: Any
) -> SalesforceTarget:
    config = build_config(url, **options)
    client = SalesforceClient(config, timeout_seconds=timeout_seconds)
    return SalesforceTarget(client, config, folder=folder, today=lambda: MONDAY)


@dataclass
class Company:
    """Accounts ``acc_00001`` ...; one in eight has an opportunity and a task, one a task."""

    server: SalesforceServer
    engine: sa.Engine
    folder: Path
    accounts: int
    week: int = 0
    ids: dict[str, str] = field(default_factory=dict)

    def deploy(self) -> None:
        """Deploy the package as an administrator, and create users and accounts."""
        target = self.open_target()
        target.provision()
        target.close()
        org = self.server.org
        org.deploy(self.folder / "salesforce")
        self.csms = {f"{name}@acme.example": "" for name in ("cleo", "ivan")}
        for email in self.csms:
            self.csms[email] = org.add("User", Email=email, IsActive=True)
        for account in self.list_account_ids():
            self.ids[account] = org.add(
                "Account",
                Name=account.upper(),
                OwnerId=org.our_user_id,
                Expansion_Account_Id__c=account,
            )

    def list_account_ids(self) -> list[str]:
        return [f"acc_{place:05}" for place in range(1, self.accounts + 1)]

    def replace_desired_objects(
        self, week: int = 0, change: Callable[[Row], Row] = lambda row: row
    ) -> None:
        """Replace the desired objects by those of a week."""
        self.week = week
        as_of = MONDAY + timedelta(weeks=week)
        rows = [change(row) for row in self.build_desired_objects()]
        common = {"target": "salesforce", "run_id": week + 1, "as_of": as_of}
        with self.engine.execution_options(writes=True).begin() as connection:
            connection.execute(sa.delete(DESIRED_OBJECTS))
            connection.execute(sa.insert(DESIRED_OBJECTS), [row | common for row in rows])

    def build_desired_objects(self) -> Iterator[Row]:
        rng = random.Random(f"7 {self.week}")  # noqa: S311
        for number, account in enumerate(self.list_account_ids(), start=1):
            email = list(self.csms)[number % 2]
            yield _build_row(
                "account", account, account, number, _account_fields(rng, number, email, self.week)
            )
            if number % 8 > 1:
                continue
            key = f"{account}:seats:1"
            if number % 8 == 0:
                yield _build_row(
                    "opportunity", key, account, number, _opportunity_fields(rng, account, key)
                )
            yield _build_row("task", f"{key}:talk", account, number, _task_fields(account, key))

    def open_target(self, **options: Any) -> SalesforceTarget:
        """Create a new target, as a new process does."""
        return build_target(self.server.url, self.folder / "salesforce", **options)

    def run_sender(self, **options: Any) -> SyncSummary:
        """Send once, with short delays between retries."""
        target_options = {
            name: options.pop(name)
            for name in ("create_accounts", "timeout_seconds")
            if name in options
        }
        target = self.open_target(**target_options)
        try:
            return send_pending(
                self.engine, target, now=NOW, sleep=lambda _: time.sleep(0.001), **options
            )
        finally:
            target.close()

    def find_problems(self, *, human_edits: frozenset[tuple[str, str]] = frozenset()) -> list[str]:
        """Return lost, duplicated or wrong values; ``human_edits`` are keys and fields to skip."""
        org, problems = self.server.org, list(self.server.org.overwritten)
        kinds = {"account": "Account", "opportunity": "Opportunity", "task": "Task"}
        keys = {"account": "Expansion_Account_Id__c"}
        for row in self.build_desired_objects():
            name = keys.get(row["kind"], "Expansion_Key__c")
            records = org.records[kinds[row["kind"]]].values()
            matches = [record for record in records if record.get(name) == row["key"]]
            if len(matches) != 1:
                problems.append(f"{row['key']}: {len(matches)} records")
                continue
            for field_name, value in row["fields"].items():
                api_name, expected = _expected_value(row["kind"], field_name, value)
                if (
                    api_name
                    and (row["key"], field_name) not in human_edits
                    and matches[0][api_name] != expected
                ):
                    problems.append(
                        f"{row['key']} {field_name}: {matches[0][api_name]!r}, not {expected!r}"
                    )
        return problems


def _account_fields(rng: random.Random, number: int, email: str, week: int) -> dict[str, Any]:
    return {
        "name": f"Account {number}",
        "csm": email,
        "as_of": str(MONDAY + timedelta(weeks=week)),
        "rank": number,
        "in_weekly_capacity": rng.random() < 0.3,
        "probability": round(rng.random(), 3),
        "seat_utilization": round(rng.random() * 1.4, 3),
        "expected_arr": float(rng.randrange(90_000)),
        "tier": 1 + number % 8 if number % 8 < 2 else None,
        "readiness_date": str(MONDAY + timedelta(days=rng.randrange(90))),
        "outreach_allowed": rng.choice([True, False, None]),
        "signals": f"{rng.randrange(90)} people\n“{rng.randrange(90)}” more, 50 %",
        "note": None,
    }


def _opportunity_fields(rng: random.Random, account: str, key: str) -> dict[str, Any]:
    return {
        "name": f"{account}: more seats",
        "state": "open",
        "probability": round(rng.random(), 3),
        "amount": float(rng.randrange(9_000)),
        "expected_close_date": rng.choice([None, str(MONDAY + timedelta(days=40))]),
        "limit": "seats",
        "signals": "one\ntwo",
        "episode": key,
    }


def _task_fields(account: str, key: str) -> dict[str, Any]:
    return {
        "subject": f"{account}: talk to the buyer",
        "state": "open",
        "due_date": str(MONDAY + timedelta(days=14)),
        "notes": "one\ntwo",
        "episode": key,
    }


def _build_row(kind: str, key: str, account: str, number: int, fields: Mapping[str, Any]) -> Row:
    payload = json.dumps(fields, sort_keys=True).encode()
    return {
        "kind": kind,
        "key": key,
        "account_id": account,
        "limit": None if kind == "account" else "seats",
        "priority": number,
        "fields": dict(fields),
        "content_hash": hashlib.sha256(payload).hexdigest(),
    }


_STANDARD_FIELDS = {
    "opportunity name": "Name",
    "opportunity amount": "Amount",
    "task subject": "Subject",
    "task due_date": "ActivityDate",
    "task notes": "Description",
    "account name": "",
    "account csm": "Expansion_CSM__c",
    "account expected_arr": "Expansion_Expected_ARR__c",
}


def _expected_value(kind: str, field_name: str, value: Any) -> tuple[str, Any]:
    """Return the API name and expected value of a field in Salesforce."""
    default_name = f"Expansion_{field_name.title()}__c"
    if field_name in {"probability", "seat_utilization"} and value is not None:
        value = round(value * 100, 1)
    if field_name in {"in_weekly_capacity", "outreach_allowed"}:
        value = value is True
    if field_name in {"signals", "notes"}:
        value = value.replace("\n", "\r\n")
    return _STANDARD_FIELDS.get(f"{kind} {field_name}", default_name), value
