"""Test company: desired objects, an org, and a state checker that compares the two.

The checker has its own mapping of fields and values, independent of the code under test.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from data.config.delivery import SalesforceConfig
from serving.delivery.crm.salesforce.client import SalesforceClient
from serving.delivery.crm.salesforce.target import SalesforceTarget
from serving.delivery.reconcile.sender import send_pending
from serving.delivery.reconcile.summary import SyncSummary
from tests.fakes.desired_objects import CSMS, FIRST_MONDAY, generate_desired, save_generated
from tests.fakes.salesforce.server import CLIENT, SalesforceServer

NOW = datetime(2026, 6, 1, 6, tzinfo=UTC)
SOBJECTS = {"account": "Account", "opportunity": "Opportunity", "task": "Task"}


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
    return SalesforceTarget(client, config, folder=folder, today=lambda: FIRST_MONDAY)


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
        self.csms = {email: org.add("User", Email=email, IsActive=True) for email in CSMS}
        for account in self.list_account_ids():
            self.ids[account] = org.add(
                "Account",
                Name=account.upper(),
                OwnerId=org.our_user_id,
                Expansion_Account_Id__c=account,
            )

    def list_account_ids(self) -> list[str]:
        return [f"acc_{place:05}" for place in range(1, self.accounts + 1)]

    def replace_desired_objects(self, week: int = 0) -> None:
        """Replace the desired objects by those of a week."""
        self.week = week
        save_generated(self.engine, "salesforce", self.accounts, week)

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
        for row in generate_desired(self.accounts, self.week):
            key = "Expansion_Account_Id__c" if row["kind"] == "account" else "Expansion_Key__c"
            records = org.records[SOBJECTS[row["kind"]]].values()
            matches = [record for record in records if record.get(key) == row["key"]]
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


_SHARES = (
    *("probability", "low", "high", "probability_180d", "churn_probability"),
    "seat_utilization",
)


def _expected_value(kind: str, field_name: str, value: Any) -> tuple[str, Any]:
    """Return the API name and expected value of a field in Salesforce."""
    parts = field_name.removeprefix("expansion_").split("_")
    default_name = f"Expansion_{'_'.join(part.capitalize() for part in parts)}__c"
    if field_name in _SHARES and value is not None:
        value = round(value * 100, 1)
    if field_name in {"in_weekly_capacity", "outreach_allowed"}:
        value = value is True
    if field_name in {"signals", "notes"}:
        value = value.replace("\n", "\r\n")
    return _STANDARD_FIELDS.get(f"{kind} {field_name}", default_name), value
