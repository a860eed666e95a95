"""Human activity on our Salesforce records: completed tasks and moved opportunities."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from serving.delivery.crm.base import HumanTouch
from serving.delivery.crm.fields import parse_account_id
from serving.delivery.crm.salesforce.client import SalesforceClient, build_query
from serving.delivery.crm.salesforce.field_mapping import KEY_FIELDS

__all__ = ["find_human_touches"]


def find_human_touches(client: SalesforceClient, since: date) -> list[HumanTouch]:
    """Return human touches since a UTC day, sorted.

    Our own writes change no stage and complete no task, so every such change is a human's.
    """
    completed = set(_find_completed_tasks(client, since))
    return sorted(completed.union(_find_moved_opportunities(client, since)))


def _find_completed_tasks(client: SalesforceClient, since: date) -> Iterator[HumanTouch]:
    key = KEY_FIELDS["task"]
    query = build_query(
        [key, "CompletedDateTime"],
        "Task",
        f"{key} != null",
        "IsClosed = true",
        f"CompletedDateTime >= {since}T00:00:00Z",
    )
    for item in client.query(query):
        day = date.fromisoformat(item["CompletedDateTime"][:10])
        yield HumanTouch(parse_account_id(item[key]), day, "task done")


def _find_moved_opportunities(client: SalesforceClient, since: date) -> Iterator[HumanTouch]:
    key = KEY_FIELDS["opportunity"]
    query = build_query(
        [key, "CreatedDate", "LastStageChangeDate", "StageName", "IsClosed", "IsWon"],
        "Opportunity",
        f"{key} != null",
        f"LastStageChangeDate >= {since}T00:00:00Z",
    )
    for item in client.query(query):
        if item["LastStageChangeDate"] <= item["CreatedDate"]:
            continue  # first stage
        closed_as = "won" if item["IsWon"] else "lost"
        outcome = closed_as if item["IsClosed"] else f"moved to {item['StageName']}"
        day = date.fromisoformat(item["LastStageChangeDate"][:10])
        yield HumanTouch(parse_account_id(item[key]), day, f"opportunity {outcome}")
