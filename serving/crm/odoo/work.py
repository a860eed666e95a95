"""What humans did in Odoo with what we put there: activities done, opportunities moved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from serving.crm.odoo.client import Client
from serving.crm.odoo.names import ACCOUNT, KEY
from serving.crm.odoo.reading import ARCHIVED_TOO
from serving.crm.target import Worked

__all__ = ["done"]


def done(client: Client, since: date) -> list[Worked]:
    """Tell who was worked from a day on, UTC, by day and account.

    Our own writes touch no stage and finish no activity, so that whatever moved was moved by a
    human.
    """
    told = {*_activities(client, since), *_opportunities(client, since)}
    return sorted(told, key=lambda item: (item.on, item.account_id, item.how))


def _activities(client: Client, since: date) -> Iterator[Worked]:
    domain = [[KEY, "!=", False], ["active", "=", False], ["date_done", ">=", since.isoformat()]]
    for item in _search(client, "mail.activity", domain, ["date_done"]):
        yield Worked(item[ACCOUNT], date.fromisoformat(item["date_done"]), "task done")


def _opportunities(client: Client, since: date) -> Iterator[Worked]:
    moved, closed = "date_last_stage_update", "date_closed"
    domain = [
        [KEY, "!=", False],
        "|",
        [moved, ">=", f"{since} 00:00:00"],
        [closed, ">=", f"{since} 00:00:00"],
    ]
    fields = ["create_date", moved, closed, "won_status", "stage_id"]
    for item in _search(client, "crm.lead", domain, fields):
        ended = item["won_status"] in {"won", "lost"} and item[closed]
        if item[moved] <= item["create_date"] and not ended:
            continue  # Odoo dates the first stage like the opportunity
        how = item["won_status"] if ended else f"moved to {item['stage_id'][1]}"
        on = date.fromisoformat((item[closed] if ended else item[moved])[:10])
        if on >= since:
            yield Worked(item[ACCOUNT], on, f"opportunity {how}")


def _search(
    client: Client, model: str, domain: list[Any], fields: list[str]
) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = client.call(
        model,
        "search_read",
        domain=domain,
        fields=[ACCOUNT, *fields],
        order="id",
        context=ARCHIVED_TOO,
    )
    return [record for record in records if record[ACCOUNT]]
