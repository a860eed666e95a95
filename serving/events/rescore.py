"""Rescore the accounts of new alerts and commit the desired CRM state in one transaction.

Rows are built by the weekly job's functions, from the same features and the same model. Ranks stay
those of the last list. Only the alerted account, its episode's opportunity and tasks change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from data.config.settings import Settings
from features import online
from features.panel.builder import Panel
from serving import store
from serving.delivery.desired import entitlements
from serving.events import alert_plan
from serving.events.alert_text import format_alert
from serving.events.ingest import reader
from serving.events.monitor.snapshot import MonitorSnapshot
from serving.scoring import previous_dates, score
from serving.scoring.text import changes, ui_strings
from serving.store import queries
from serving.store.event_schema import ALERTS, SEVERITIES
from training.explain.templates import load_templates

__all__ = ["rescore_alerts"]

_KEY: Final = ("account_id", "limit", "number")


def rescore_alerts(
    engine: sa.Engine,
    settings: Settings,
    snapshot: MonitorSnapshot,
    alerts: Sequence[Mapping[str, Any]],
    *,
    target: str,
    position: int,
    now: datetime,
) -> int:
    """Rescore the accounts of alerts, and commit their desired CRM state.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The application database.
    settings : data.config.settings.Settings
        As for :func:`serving.scoring.score.score`.
    snapshot : serving.events.monitor.snapshot.MonitorSnapshot
        Tables, log and model.
    alerts : sequence of mapping
        Rows of :func:`serving.events.monitor.repository.load_alerts_to_rescore`.
    target : str
        Name of the CRM.
    position : int
        Events with a higher row id are ignored.
    now : datetime.datetime
        Current time, UTC.

    Returns
    -------
    int
        Number of desired objects committed. An alert of an ineligible account has none; the
        reason is stored with the alert.

    Raises
    ------
    data.errors.ExpansionError
        If the database fails, or the model does not match the features.
    """
    accounts = sorted({alert["account_id"] for alert in alerts})
    with store.read_transaction(engine) as connection:
        events = reader.load_unlogged_events(
            connection, snapshot.workspaces, accounts, snapshot.logged_mask, up_to=position
        )
    panel = online.build_online(
        snapshot.log,
        snapshot.tables,
        events,
        accounts=accounts,
        day=now.date(),
        settings=settings,
        reference=snapshot.reference_population,
    )
    day = now.date()
    rows = _score_accounts(engine, settings, snapshot, panel, alerts=alerts, day=day)
    entitlements_by_account = entitlements.resolve_entitlements(
        panel.contracts, online.get_next_midnight(day)
    )
    updates = _build_alert_updates(rows, panel.excluded, alerts, now)
    while True:
        with store.read_transaction(engine) as connection:
            plan = alert_plan.plan_alert(
                connection, rows, entitlements_by_account, target=target, day=day
            )
        # Short transaction: on SQLite the event writer waits for it.
        with store.write_transaction(engine) as connection:
            store.acquire_advisory_lock(connection, "expansion list")
            if alert_plan.commit_alert(connection, plan, target=target, day=day):
                for condition, values in updates:
                    connection.execute(sa.update(ALERTS).where(condition).values(values))
                return len(plan.objects)


def _score_accounts(
    engine: sa.Engine,
    settings: Settings,
    snapshot: MonitorSnapshot,
    panel: Panel,
    *,
    alerts: Sequence[Mapping[str, Any]],
    day: date,
) -> pl.DataFrame:
    """Return the accounts' rows as of today, without ranks; the alert is the first change."""
    if panel.snapshots.is_empty():
        return pl.DataFrame(schema={"account_id": pl.String})
    previous, midnight = queries.load_previous_list(engine, day), online.get_next_midnight(day)
    alerted_limits = {
        alert["account_id"]: alert["limit"]
        for alert in alerts
        if alert["severity"] in SEVERITIES[1:]
    }
    rows = score.build_rows(
        snapshot.model,
        panel,
        day,
        settings,
        previous_dates=previous_dates.load_last_communicated_dates(engine, midnight.date()),
        recent_touches=queries.load_recent_touches(
            engine, midnight.date(), days=settings.playbook.cooldown_days
        ),
        snoozed_until=queries.load_snoozes(engine, midnight.date()),
        alerted_limits=alerted_limits,
    )
    names = snapshot.tables.accounts.rows.select("account_id", "name", "csm", "crm_id")
    rows = rows.drop("rank_key", "as_of").join(
        names, on="account_id", how="left", maintain_order="left"
    )
    texts = {alert["account_id"]: format_alert(alert) for alert in alerts}
    alert_texts = rows["account_id"].replace_strict(texts, return_dtype=pl.String)
    strings = ui_strings.load_ui_strings(
        settings.scoring.ui_strings, load_templates(settings.reason_templates_file).number_format
    )
    list_changes = changes.describe_changes(rows, previous, day, strings)
    return rows.with_columns(
        changes=pl.concat_list(alert_texts, list_changes.alias("news")),
        expansion_signal=pl.coalesce(
            "expansion_signal",
            rows["account_id"].replace_strict(_tag_accounts(alerts), return_dtype=pl.String),
        ),
    )


def _tag_accounts(alerts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return account → tag, used where no tier fires."""
    return {alert["account_id"]: f"{alert['limit']}: {alert['severity']}" for alert in alerts}


def _build_alert_updates(
    rows: pl.DataFrame,
    excluded: pl.DataFrame,
    alerts: Sequence[Mapping[str, Any]],
    now: datetime,
) -> list[tuple[sa.ColumnElement[bool], dict[str, Any]]]:
    """Return the update of each alert: the message and row, or the reason there is none."""
    row_by_account = {row["account_id"]: row for row in _to_json_ready(rows).iter_rows(named=True)}
    exclusion_reasons = dict(excluded.select("account_id", "reason").iter_rows())
    updates = []
    for alert in alerts:
        account = alert["account_id"]
        condition = sa.and_(*(ALERTS.c[name] == alert[name] for name in _KEY))
        values = {
            "committed_severity": alert["severity"],
            "committed_at": now,
            "list_row": row_by_account.get(account),
            "message": format_alert(alert)
            if account in row_by_account
            else exclusion_reasons.get(account, "unknown account"),
        }
        if account not in row_by_account:
            values["posted_severity"] = alert["severity"]
        updates.append((condition, values))
    return updates


def _to_json_ready(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with JSON-compatible types, without the columns that only charts need."""
    date_columns = [name for name, dtype in rows.schema.items() if dtype == pl.Date]
    trimmed = rows.drop("curve", "contributions", strict=False)
    return trimmed.with_columns(pl.col(date_columns).cast(pl.String))
