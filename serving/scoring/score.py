"""Weekly scoring: rank every eligible account with probability, dates, reasons and motion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from data.config.settings import Settings
from data.errors import HistoryError
from data.ingest import table_loader
from features.activity.daily_tables import Activity
from features.panel import builder, subscription_terms
from features.panel.builder import Panel
from features.point_in_time import known_before
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
    """The ranked list of one as-of.

    Attributes
    ----------
    accounts : polars.DataFrame
        One row per eligible account, by rank: ``account_id``, ``as_of``, ``crm_id``, and the fields
        that the README describes; ``contributions`` is JSON (signal → log-odds contribution).
        Fields that need a model are null without one.
    not_listed : polars.DataFrame
        ``account_id``, ``name``, ``csm``, ``reason`` of every account that is not on the list.
    csm_capacity : CsmCapacity or None
        Accounts that one CSM can work in a week; it decides ``in_weekly_capacity``.
    rank_by : str
        ``scoring.rank_by`` at the time of scoring.
    account_details : polars.DataFrame or None
        Charts and contract history for the account page; see
        :func:`serving.scoring.account_details.build_account_details`.
    contracts : polars.DataFrame
        The subscription timeline of the scored tables, for the entitlements in the CRM.
    """

    accounts: pl.DataFrame
    not_listed: pl.DataFrame
    csm_capacity: CsmCapacity | None = None
    rank_by: str = "probability"
    account_details: pl.DataFrame | None = None
    contracts: pl.DataFrame = field(default_factory=pl.DataFrame)

    def __repr__(self) -> str:
        listed, others = self.accounts.height, self.not_listed.height
        return f"ScoredList({listed:,} accounts by rank, {others:,} not listed)"

    def count_exclusions(self) -> dict[str, int]:
        """Return the number of accounts that are not on the list, by reason."""
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
    """Rank every eligible account as of a date.

    Parameters
    ----------
    model : RegisteredModel or None
        The model used for scoring; None ranks by tier rules (cold start).
    tables, log
        The validated tables, and the daily activity of the log.
    as_of : datetime.datetime
        00:00 UTC; only data known before it is used.
    settings : Settings
        Eligibility, scoring, playbook, team, seats.
    previous_list : polars.DataFrame, optional
        The list before, for the changes; see
        :func:`serving.scoring.text.changes.describe_changes` for its columns.
    previous_dates : polars.DataFrame, optional
        The last communicated readiness dates
        (:func:`serving.scoring.previous_dates.load_last_communicated_dates`), which are held.
    recent_touches : mapping of str to datetime.date, optional
        Account → the last day of CRM activity by a human.
    snoozed_until : mapping of str to datetime.date, optional
        Account → the day until which a human snoozed it.

    Returns
    -------
    ScoredList
        Ranked by ``scoring.rank_by``, ties by account; without a model by the tier rules.

    Raises
    ------
    data.errors.HistoryError
        If the log ended too long before the as-of, or no account is eligible.
    data.errors.SettingsError
        If the team's hours are set but the number of CSMs is unknown, or custom texts are invalid.
    ValueError
        If the previous list is not older than the as-of.
    """
    _require_fresh_log(log, as_of, settings.scoring.max_log_age_days)
    templates = load_templates(settings.reason_templates_file)
    strings = ui_strings.load_ui_strings(settings.scoring.ui_strings, templates.number_format)
    scored_panel = builder.build_panel(log, tables, [as_of], settings, months=True)
    _require_eligible_accounts(scored_panel, as_of)
    rows = build_rows(
        model,
        scored_panel,
        as_of,
        settings,
        previous_dates=previous_dates,
        recent_touches=recent_touches or {},
        snoozed_until=snoozed_until,
    )
    details = account_details.build_account_details(
        # Unlisted accounts too: the page shows contracts that have ended.
        pl.concat([rows, scored_panel.excluded.select("account_id")], how="diagonal"),
        scored_panel.months,
        tables.accounts.rows,
        known_before(scored_panel.contracts, as_of),
        as_of.date(),
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
            changes=changes.describe_changes(ranked, previous_list, as_of.date(), strings)
        ),
        scored_panel.excluded.join(names, on="account_id", how="left"),
        capacity,
        settings.scoring.rank_by,
        details,
        scored_panel.contracts,
    )


def build_rows(
    model: RegisteredModel | None,
    scored_panel: Panel,
    as_of: datetime,
    settings: Settings,
    *,
    contracts_known_before: datetime | None = None,
    previous_dates: pl.DataFrame | None,
    recent_touches: Mapping[str, date],
    snoozed_until: Mapping[str, date] | None = None,
    alerted_limits: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Build the list rows, without rank and changes, for each snapshot.

    Parameters
    ----------
    model, as_of, settings, previous_dates, recent_touches, snoozed_until
        As for :func:`score`.
    scored_panel : features.panel.Panel
        The snapshots.
    contracts_known_before : datetime.datetime, optional
        Use contract rows known before this moment; by default the as-of.
    alerted_limits : mapping of str to str, optional
        Account → the limit with an open alert; see
        :func:`serving.scoring.alert_override.apply_alerts`.

    Returns
    -------
    polars.DataFrame
        In the order of the snapshots, with ``rank_key`` and, with a model, ``curve``.
    """
    templates = load_templates(settings.reason_templates_file)
    strings = ui_strings.load_ui_strings(settings.scoring.ui_strings, templates.number_format)
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
    last_increases = subscription_terms.find_last_known_increase(
        known_before(scored_panel.contracts, contracts_known_before or as_of)
    )
    held_dates = readiness_date.hold_readiness_dates(
        rows, previous_dates, last_increases, as_of.date()
    )
    return rows.with_columns(
        band_track_record=band_history.describe_bands(
            rows["band"], band_history.get_band_history(model), strings
        ),
        note=low_evidence_notes.describe_low_evidence(
            rows, scored_panel.snapshots, settings.scoring, strings
        ),
        # No readiness date lies before the end of the cool-down.
        readiness_date=pl.when(held_dates.is_not_null()).then(
            pl.max_horizontal(held_dates, "cooldown_until")
        ),
    ).drop("cooldown_until")


def _require_eligible_accounts(scored_panel: Panel, as_of: datetime) -> None:
    if scored_panel.snapshots.is_empty():
        reasons = scored_panel.excluded["reason"].value_counts().sort("reason")
        counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.iter_rows())
        raise HistoryError(
            f"no account is eligible on {as_of:%Y-%m-%d} ({counts or 'no account exists yet'});"
            " check the contract history with `expansion check`."
        )


def _require_fresh_log(log: Activity, as_of: datetime, max_days: int) -> None:
    if log.last_day is None:
        raise HistoryError("the log contains no valid event; see its quarantine.")
    age = compute_log_age(log, as_of)
    if age > max_days:
        raise HistoryError(
            f"the log ends on {log.last_day}, {age} days before {as_of:%Y-%m-%d}; at most"
            f" {max_days} (scoring.max_log_age_days) are allowed. Update the log or score an"
            " earlier --as-of."
        )
