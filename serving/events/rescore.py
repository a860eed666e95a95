"""Rescore the accounts of new alerts and commit the desired CRM state in one transaction.

Rows are built by the weekly job's functions, from the same features and the same model. Ranks stay
those of the last list. Only the alerted account, its episode's opportunity and tasks change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from data.config.settings import Settings
from features import online
from features.panel.builder import Panel
from serving import store
from serving.delivery.desired import account_fields, entitlements, repository
from serving.delivery.desired.account_fields import DesiredObject
from serving.delivery.desired.entitlements import Entitlements
from serving.delivery.desired.episodes import Episode, apply_alert
from serving.delivery.desired.opportunities_tasks import build_episode_objects
from serving.events.alert_text import format_alert
from serving.events.ingest import reader
from serving.events.monitor.repository import update_alert
from serving.events.monitor.snapshot import MonitorSnapshot
from serving.scoring import list_history, score
from serving.store.event_schema import SEVERITIES
from serving.store.schema import RUNS

__all__ = ["rescore_alerts"]

_RANK_SCHEMA: Final = {
    "rank": pl.Int64,
    "portfolio_rank": pl.Int64,
    "in_weekly_capacity": pl.Boolean,
}
_TOP_PRIORITY: Final = 0  # sent before every list object


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

    Raises ``ExpansionError`` if the database fails, or the model does not match the features.

    Parameters
    ----------
    alerts : sequence of mapping
        Rows of :func:`serving.events.monitor.repository.load_alerts_to_rescore`.
    position : int
        Events with a higher row id are ignored.

    Returns
    -------
    int
        Number of desired objects committed. An alert of an ineligible account has none; the
        reason is stored with the alert.
    """
    day, accounts = now.date(), sorted({alert["account_id"] for alert in alerts})
    with store.read_transaction(engine) as connection:
        events = reader.load_unlogged_events(
            connection, snapshot.workspaces, accounts, snapshot.logged_mask, up_to=position
        )
    panel = online.build_online(
        snapshot.log,
        snapshot.tables,
        events,
        accounts=accounts,
        day=day,
        settings=settings,
        reference=snapshot.reference_population,
    )
    rows = _score_accounts(engine, settings, snapshot, panel, alerts=alerts, day=day)
    entitlements_by_account = entitlements.resolve_entitlements(
        panel.contracts, online.get_next_midnight(day)
    )
    updates = _build_alert_updates(rows, panel.excluded, alerts, now)
    while True:
        with store.read_transaction(engine) as connection:
            run_id = _find_last_run(connection)
            before, after, objects = _plan_objects(
                connection, rows, entitlements_by_account, target=target, day=day
            )
        # Short transaction: on SQLite the event writer waits for it.
        with store.write_transaction(engine) as connection:
            store.acquire_advisory_lock(connection, "expansion list")
            if _find_last_run(connection) != run_id:
                continue  # a newer list exists
            repository.save_episodes(connection, before, after)
            repository.update_objects(connection, target, objects, day, run_id)
            for alert, values in zip(alerts, updates, strict=True):
                update_alert(connection, alert, **values)
            return len(objects)


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
    tomorrow = online.get_next_midnight(day).date()
    history = list_history.load_list_history(
        engine, day, known_before=tomorrow, cooldown_days=settings.playbook.cooldown_days
    )
    rows = score.build_rows(
        snapshot.model,
        panel,
        day,
        settings,
        history,
        alerted_limits={
            alert["account_id"]: alert["limit"]
            for alert in alerts
            if alert["severity"] in SEVERITIES[1:]
        },
    )
    names = snapshot.tables.accounts.rows.select("account_id", "name", "csm", "crm_id")
    texts = {alert["account_id"]: format_alert(alert) for alert in alerts}
    # Used where no tier fires.
    tags = {alert["account_id"]: f"{alert['limit']}: {alert['severity']}" for alert in alerts}
    account = pl.col("account_id")
    return (
        rows.drop("rank_key", "as_of")
        .join(names, on="account_id", how="left", maintain_order="left")
        .with_columns(
            changes=pl.concat_list(
                account.replace_strict(texts, return_dtype=pl.String), "changes"
            ),
            expansion_signal=pl.coalesce(
                "expansion_signal", account.replace_strict(tags, return_dtype=pl.String)
            ),
        )
    )


def _build_alert_updates(
    rows: pl.DataFrame, excluded: pl.DataFrame, alerts: Sequence[Mapping[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """Return the new values of each alert: the message and row, or the reason there is none."""
    # JSON types only, and no column that only charts need.
    date_columns = [name for name, dtype in rows.schema.items() if dtype == pl.Date]
    stored = rows.drop("curve", "contributions", strict=False).with_columns(
        pl.col(date_columns).cast(pl.String)
    )
    row_by_account = {row["account_id"]: row for row in stored.iter_rows(named=True)}
    exclusion_reasons = dict(excluded.select("account_id", "reason").iter_rows())
    updates = []
    for alert in alerts:
        row, severity = row_by_account.get(alert["account_id"]), alert["severity"]
        values = {"committed_severity": severity, "committed_at": now, "list_row": row}
        if row:
            values["message"] = format_alert(alert)
        else:  # nothing to post
            values["message"] = exclusion_reasons.get(alert["account_id"], "unknown account")
            values["posted_severity"] = severity
        updates.append(values)
    return updates


def _plan_objects(
    connection: sa.Connection,
    rows: pl.DataFrame,
    entitlements: Mapping[str, Entitlements],
    *,
    target: str,
    day: date,
) -> tuple[list[Episode], list[Episode], list[DesiredObject]]:
    """Return the episodes before and after, and the accounts, opportunities and tasks."""
    accounts = rows["account_id"].to_list()
    if not accounts:
        return [], [], []
    existing = repository.load_existing_objects(connection, target, accounts=accounts)
    ranked = _join_last_ranks(rows, {key: fields for (_, key), fields in existing.items()})
    objects = list(account_fields.build_account_objects(ranked, ranked.clear(), day))
    fields_by_key = {crm_object.key: crm_object.fields for crm_object in objects}
    before = repository.load_episodes(connection, accounts)
    after = _advance_episodes(before, rows, entitlements, day)
    open_episodes = [episode for episode in after if episode.close_reason is None]
    objects += build_episode_objects(open_episodes, fields_by_key, existing, day)
    return before, after, [replace(each, priority=_TOP_PRIORITY) for each in objects]


def _find_last_run(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.max(RUNS.c.id))) or 0


def _join_last_ranks(rows: pl.DataFrame, existing: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """Add the ranks of the last list to each row; null where the account was not on it."""
    ranks = [
        {name: existing.get(account, {}).get(name) for name in _RANK_SCHEMA}
        for account in rows["account_id"]
    ]
    return pl.concat([rows, pl.DataFrame(ranks, schema=_RANK_SCHEMA)], how="horizontal")


def _advance_episodes(
    before: Sequence[Episode],
    rows: pl.DataFrame,
    entitlements: Mapping[str, Entitlements],
    day: date,
) -> list[Episode]:
    after = list(before)
    limits_under_pressure = rows.filter(pl.col("tier").is_not_null(), pl.col("limit") != "none")
    for account, limit, outreach_allowed in limits_under_pressure.select(
        "account_id", "limit", "outreach_allowed"
    ).iter_rows():
        key = (account, limit)
        own_episodes = [episode for episode in after if (episode.account_id, episode.limit) == key]
        after = [episode for episode in after if (episode.account_id, episode.limit) != key]
        after += apply_alert(
            own_episodes,
            key,
            entitlements.get(account, Entitlements()),
            day,
            outreach_allowed=bool(outreach_allowed),
        )
    return after
