"""What humans did in Salesforce with what we put there: tasks done, opportunities moved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from serving.crm.salesforce import soql
from serving.crm.salesforce.client import Client
from serving.crm.salesforce.names import KEYS, account_of
from serving.crm.target import Worked

__all__ = ["done"]


def done(client: Client, since: date) -> list[Worked]:
    """Tell who was worked from a day on, UTC, by day and account.

    Our own writes touch no stage and finish no task, so that whatever moved was moved by a human.
    """
    told = {*_tasks(client, since), *_opportunities(client, since)}
    return sorted(told, key=lambda item: (item.on, item.account_id, item.how))


def _tasks(client: Client, since: date) -> Iterator[Worked]:
    key = KEYS["task"]
    done = soql.select(
        [key, "CompletedDateTime"],
        "Task",
        f"{key} != null",
        "IsClosed = true",
        f"CompletedDateTime >= {since}T00:00:00Z",
    )
    for item in client.query(done):
        on = date.fromisoformat(item["CompletedDateTime"][:10])
        yield Worked(account_of(item[key]), on, "task done")


def _opportunities(client: Client, since: date) -> Iterator[Worked]:
    key = KEYS["opportunity"]
    moved = soql.select(
        [key, "CreatedDate", "LastStageChangeDate", "StageName", "IsClosed", "IsWon"],
        "Opportunity",
        f"{key} != null",
        f"LastStageChangeDate >= {since}T00:00:00Z",
    )
    for item in client.query(moved):
        if item["LastStageChangeDate"] <= item["CreatedDate"]:
            continue  # its first stage
        ended = "won" if item["IsWon"] else "lost"
        how = ended if item["IsClosed"] else f"moved to {item['StageName']}"
        on = date.fromisoformat(item["LastStageChangeDate"][:10])
        yield Worked(account_of(item[key]), on, f"opportunity {how}")
