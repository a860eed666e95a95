"""The weekly list: every eligible account with probability, date, signals and rank."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from data.config.settings import Settings
from data.errors import HistoryError
from data.ingest import table_loader
from features import subscription_timeline
from features.activity.daily_tables import Activity
from features.panel import builder, subscription_terms
from features.panel.builder import Panel
from features.panel.monthly import known_before
from serving.scoring import (
    account_details,
    alert_override,
    cold_start,
    model_rows,
    ranking,
    readiness_date,
    suppression,
)
from serving.scoring.csm_capacity import CsmCapacity, compute_csm_capacity
from serving.scoring.run_record import build_run_record, compute_log_age
from serving.scoring.text import band_history, changes, low_evidence_notes, ui_strings
from training.explain.templates import load_templates
from training.registry import RegisteredModel

__all__ = ["ScoredList", "build_rows", "build_run_record", "score"]


@dataclass(frozen=True)
class ScoredList:
    """The list of one as-of.

    Attributes
    ----------
    accounts : polars.DataFrame
        One row per eligible account, by rank: ``account_id``, ``as_of``, ``crm_id``, and the fields
        that the README describes, of which ``contributions`` are JSON (signal → part of the
        margin). Without any model, what only one knows is null.
    not_listed : polars.DataFrame
        ``account_id``, ``name``, ``csm``, ``reason`` of every account that is not on the list.
    csm_capacity : serving.scoring.csm_capacity.CsmCapacity or None
        What one CSM can work in a week, by which ``this_week`` is marked.
    rank_by : str
        ``scoring.rank_by``, as it was.
    account_details : polars.DataFrame or None
        What the page draws beside the lines; see :func:`serving.scoring.account_details.build_account_details`.
    """

    accounts: pl.DataFrame
    not_listed: pl.DataFrame
    csm_capacity: CsmCapacity | None = None
    rank_by: str = "probability"
    account_details: pl.DataFrame | None = None

    def __repr__(self) -> str:
        return f"Scored({self.accounts.height:,} accounts by rank, {self.not_listed.height:,} left out)"

    def count_exclusions(self) -> dict[str, int]:
        """Reason → accounts that are not on the list."""
        counts = self.not_listed.group_by("reason").agg(pl.len()).sort("reason")
        return dict(counts.iter_rows())


def score(
    model: RegisteredModel | None,
    tables: table_loader.Tables,
    log: Activity,
    as_of: datetime,
    settings: Settings,
    *,
    previous_list: pl.DataFrame | None = None,
    previous_dates: pl.DataFrame | None = None,
    recent_touches: Mapping[str, date] | None = None,
    snoozed_until: Mapping[str, date] | None = None,
) -> ScoredList:
    """Rank every eligible account as it stood at the as-of.

    Parameters
    ----------
    model : training.registry.Registered or None
        What :func:`training.registry.serving` gave: None where none was ever trained.
    tables, log
        The tables under contract, and the daily activity of the log.
    as_of : datetime.datetime
        00:00 UTC; only what was known before it is used.
    settings : data.config.settings.Settings
        Eligibility, scoring, playbook, team, seats.
    previous_list : polars.DataFrame, optional
        The list before, to tell what has changed; see :func:`serving.scoring.text.changes.describe_changes` for its
        columns.
    previous_dates : polars.DataFrame, optional
        What was last said of when to talk (:func:`serving.scoring.previous_dates.load_last_communicated_dates`): a readiness date
        that was named is kept.
    recent_touches : mapping of str to datetime.date, optional
        Account → the last day on which a human dealt with it.
    snoozed_until : mapping of str to datetime.date, optional
        Account → the day until which a human said that it is not to be asked.

    Returns
    -------
    ScoredList
        Ranked as ``scoring.rank_by`` says, ties by account; without a model by the tier rules.

    Raises
    ------
    data.errors.HistoryError
        If the log ended too long before the as-of, or nobody is eligible.
    data.errors.SettingsError
        If the team's hours are given, but not of how many CSMs; or if the company's own words are
        not in order.
    ValueError
        If the list before is not from before the as-of.
    """
    _require_fresh_log(log, as_of, settings.scoring.max_log_age_days)
    strings = ui_strings.load_ui_strings(settings.scoring.ui_strings)
    scored_panel = builder.build_panel(log, tables, [as_of], settings, months=True)
    _require_eligible_accounts(scored_panel, as_of)
    rows = build_rows(
        model,
        scored_panel,
        tables.subscriptions.rows,
        as_of,
        settings,
        previous_dates=previous_dates,
        recent_touches=recent_touches or {},
        snoozed_until=snoozed_until,
    )
    details = account_details.build_account_details(
        # Of whom is left out, too: the page shows a contract that has ended.
        pl.concat([rows, scored_panel.excluded.select("account_id")], how="diagonal"),
        scored_panel.months,
        tables.accounts.rows,
        tables.subscriptions.rows,
        as_of,
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )
    rows = rows.drop("curve", strict=False)
    names = tables.accounts.rows.select("account_id", "name", "csm", "crm_id")
    capacity = compute_csm_capacity(settings, tables.accounts.rows)
    ranked = ranking.rank_accounts(
        rows.join(names, on="account_id", how="left", maintain_order="left"),
        by=settings.scoring.rank_by,
        minutes=settings.playbook.motion_minutes,
        weekly_capacity=capacity.accounts,
    )
    return ScoredList(
        ranked.with_columns(
            changed=changes.describe_changes(ranked, previous_list, as_of.date(), strings)
        ),
        scored_panel.excluded.join(names, on="account_id", how="left"),
        capacity,
        settings.scoring.rank_by,
        details,
    )


def build_rows(
    model: RegisteredModel | None,
    scored_panel: Panel,
    subscriptions: pl.DataFrame,
    as_of: datetime,
    settings: Settings,
    *,
    contracts_known_before: datetime | None = None,
    previous_dates: pl.DataFrame | None,
    recent_touches: Mapping[str, date],
    snoozed_until: Mapping[str, date] | None = None,
    alerted_limits: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Say of each snapshot what a line says of it, all but its place and what has changed.

    Parameters
    ----------
    model, as_of, settings, promised, worked, not_now
        As for :func:`score`.
    scored_panel : features.panel.builder.Panel
        The snapshots.
    subscriptions : polars.DataFrame
        Rows under :class:`data.schemas.SubscriptionSchema`.
    contracts_known_before : datetime.datetime, optional
        What was known before it of the contracts is known; by default the as-of.
    alerted_limits : mapping of str to str, optional
        Account → the limit on which a signal says that now is the time; see
        :func:`serving.scoring.alert_override.apply_alerts`.

    Returns
    -------
    polars.DataFrame
        In the order of the snapshots, with ``standing`` and, of a model, ``curve``.
    """
    templates, strings = (
        load_templates(settings.reason_templates_file),
        ui_strings.load_ui_strings(settings.scoring.ui_strings),
    )
    if model is None:
        rows = cold_start.rank_by_tier_rules(
            scored_panel.snapshots, as_of, settings.playbook, templates
        )
    else:
        rows = model_rows.score_rows(model, scored_panel.snapshots, as_of, settings, templates)
    rows = suppression.suppress_outreach(
        alert_override.apply_alerts(rows, alerted_limits or {}, as_of.date()),
        scored_panel.snapshots,
        recent_touches,
        as_of.date(),
        settings.playbook,
        strings=strings,
        horizon_days=model.model.horizon_days if model else settings.outcome.horizon_days,
        snoozed_until=snoozed_until,
    )
    contracts = subscription_timeline.build_timeline(
        subscriptions,
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )
    last_increases = subscription_terms.last_known_increase(
        known_before(contracts, contracts_known_before or as_of)
    )
    held_dates = readiness_date.hold_readiness_dates(
        rows, previous_dates, last_increases, as_of.date()
    )
    return rows.with_columns(
        band_told=band_history.describe_bands(
            rows["band"], band_history.get_band_history(model), strings
        ),
        note=low_evidence_notes.describe_low_evidence(
            rows, scored_panel.snapshots, settings.scoring, strings
        ),
        # Nobody is talked to who is left alone.
        readiness_date=pl.when(held_dates.is_not_null()).then(
            pl.max_horizontal(held_dates, "rest_until")
        ),
    ).drop("rest_until")


def _require_eligible_accounts(scored_panel: Panel, as_of: datetime) -> None:
    if scored_panel.snapshots.is_empty():
        reasons = scored_panel.excluded["reason"].value_counts().sort("reason")
        reason_counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.iter_rows())
        raise HistoryError(
            f"no account is eligible on {as_of:%Y-%m-%d} ({reason_counts or 'no account exists yet'});"
            " check the contract history with `expansion check`."
        )


def _require_fresh_log(log: Activity, as_of: datetime, max_days: int) -> None:
    if log.last_day is None:
        raise HistoryError("the log holds no valid event; see its quarantine.")
    age = compute_log_age(log, as_of)
    if age > max_days:
        raise HistoryError(
            f"the log ends on {log.last_day}, {age} days before {as_of:%Y-%m-%d}; at most"
            f" {max_days} (scoring.max_log_age_days) are allowed. Bring the log up to date, or"
            " score an earlier --as-of."
        )
