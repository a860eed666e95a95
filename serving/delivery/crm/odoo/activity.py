"""Human activity on our Odoo records: completed activities and moved opportunities."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from serving.delivery.crm.base import HumanTouch
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import ACCOUNT_ID_FIELD, KEY_FIELD
from serving.delivery.crm.odoo.read import INCLUDE_ARCHIVED

__all__ = ["find_human_touches"]


def find_human_touches(client: OdooClient, since: date) -> list[HumanTouch]:
    """Return human touches since a UTC day, sorted.

    Our own writes change no stage and complete no activity, so every such change is a human's.
    """
    done = set(_find_done_activities(client, since))
    return sorted(done.union(_find_moved_opportunities(client, since)))


def _find_done_activities(client: OdooClient, since: date) -> Iterator[HumanTouch]:
    domain = [
        [KEY_FIELD, "!=", False],
        ["active", "=", False],
        ["date_done", ">=", since.isoformat()],
    ]
    for item in _search_records(client, "mail.activity", domain, ["date_done"]):
        yield HumanTouch(item[ACCOUNT_ID_FIELD], date.fromisoformat(item["date_done"]), "task done")


def _find_moved_opportunities(client: OdooClient, since: date) -> Iterator[HumanTouch]:
    moved, closed = "date_last_stage_update", "date_closed"
    domain = [
        [KEY_FIELD, "!=", False],
        "|",
        [moved, ">=", f"{since} 00:00:00"],
        [closed, ">=", f"{since} 00:00:00"],
    ]
    fields = ["create_date", moved, closed, "won_status", "stage_id"]
    for item in _search_records(client, "crm.lead", domain, fields):
        is_closed = item["won_status"] in {"won", "lost"} and item[closed]
        if item[moved] <= item["create_date"] and not is_closed:
            continue  # first stage: Odoo sets both dates on creation
        outcome = item["won_status"] if is_closed else f"moved to {item['stage_id'][1]}"
        day = date.fromisoformat((item[closed] if is_closed else item[moved])[:10])
        if day >= since:
            yield HumanTouch(item[ACCOUNT_ID_FIELD], day, f"opportunity {outcome}")


def _search_records(
    client: OdooClient, model: str, domain: list[Any], fields: list[str]
) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = client.call(
        model,
        "search_read",
        domain=domain,
        fields=[ACCOUNT_ID_FIELD, *fields],
        order="id",
        context=INCLUDE_ARCHIVED,
    )
    return [record for record in records if record[ACCOUNT_ID_FIELD]]
