"""Weekly scoring: rank every eligible account with probability, dates, reasons and motion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

import polars as pl

from data.config.settings import Settings
from data.errors import HistoryError
from data.ingest import table_loader
from features.activity.daily_tables import Activity
from features.panel import builder
from features.panel.builder import Panel
from features.point_in_time import known_before
from serving.scoring import (
    account_details,
    cold_start,
    playbook,
    ranking,
    readiness_date,
    suppression,
)
from serving.scoring.list_history import ListHistory
from serving.scoring.ranking import CsmCapacity
from serving.scoring.run_record import build_run_record, compute_log_age
from serving.scoring.text import band_history, changes, low_evidence_notes, ui_strings
from training.explain.templates import load_templates
from training.model import expansion_size
from training.predict import predict_accounts
from training.registry import RegisteredModel

__all__ = ["ScoredList", "build_rows", "build_run_record", "score"]

_NO_HISTORY: Final = ListHistory()


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
        The subscription timeline, for the entitlements in the CRM.
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
    history: ListHistory = _NO_HISTORY,
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
    history : ListHistory, optional
        Earlier lists, CRM activity and snoozes
        (:func:`serving.scoring.list_history.load_list_history`).

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
    day = as_of.date()
    panel = builder.build_panel(log, tables, [as_of], settings, months=True)
    _require_eligible_accounts(panel, as_of)
    rows = build_rows(model, panel, day, settings, history)
    accounts = tables.accounts.rows
    # Unlisted accounts too: the page shows contracts that have ended.
    everyone = pl.concat([rows, panel.excluded.select("account_id")], how="diagonal")
    details = account_details.build_account_details(
        everyone.select("account_id", "curve").join(
            accounts.select("account_id", "segment"),
            on="account_id",
            how="left",
            maintain_order="left",
        ),
        panel.months,
        known_before(panel.contracts, as_of),
        day,
    )
    names = accounts.select("account_id", "name", "csm", "crm_id")
    capacity = ranking.compute_csm_capacity(settings, accounts)
    ranked = ranking.rank_accounts(
        rows.drop("curve").join(names, on="account_id", how="left", maintain_order="left"),
        by=settings.scoring.rank_by,
        minutes=settings.playbook.motion_minutes,
        weekly_capacity=capacity.accounts,
    )
    return ScoredList(
        ranked.select(pl.exclude("changes"), "changes"),
        panel.excluded.join(names, on="account_id", how="left"),
        capacity,
        settings.scoring.rank_by,
        details,
        panel.contracts,
    )


def build_rows(
    model: RegisteredModel | None,
    panel: Panel,
    as_of: date,
    settings: Settings,
    history: ListHistory,
    *,
    alerted_limits: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Build the list rows, without rank, for each snapshot.

    The panel has snapshots of one as-of, with monthly values. ``alerted_limits`` is account → the
    limit with an open alert (:func:`serving.scoring.playbook.apply_alerts`). The rows are in the
    order of the snapshots, with ``rank_key`` and ``curve``.
    """
    templates = load_templates(settings.reason_templates_file)
    strings = ui_strings.load_ui_strings(settings.scoring.ui_strings, templates.number_format)
    snapshots, horizon_days = panel.snapshots, settings.outcome.horizon_days
    plays = playbook.assign_playbook(snapshots, settings.playbook)
    if model is None:
        predictions = cold_start.rank_by_tier_rules(snapshots, plays["tier"], templates)
    else:
        predictions = predict_accounts(model, snapshots, as_of, templates)
        horizon_days = model.model.horizon_days
    increases = snapshots.select("account_id").join(
        panel.months.select("account_id", "last_increase_known_at"),
        on="account_id",
        how="left",
        maintain_order="left",
    )
    rows = pl.concat([snapshots, predictions, plays], how="horizontal").with_columns(
        increases["last_increase_known_at"],
        readiness_date=readiness_date.compute_readiness_dates(as_of, settings.scoring),
        expected_arr=compute_expected_arr(model.card["increase_by_type"] if model else {}),
    )
    rows = suppression.suppress_outreach(
        playbook.apply_alerts(rows, alerted_limits or {}, as_of),
        history.recent_touches,
        as_of,
        settings.playbook,
        strings=strings,
        horizon_days=horizon_days,
        snoozed_until=history.snoozed_until,
    )
    held_dates = readiness_date.hold_readiness_dates(rows, history.previous_dates, as_of)
    bands = band_history.get_band_history(model)
    rows = rows.select(
        *("account_id", "as_of"),
        pl.col("active_seats", "licensed_seats").cast(pl.Int64),
        "seat_utilization",
        # Neither features nor what only the dates are derived from.
        pl.exclude(*snapshots.columns, "interval_days", "last_increase_known_at", "cooldown_until"),
        band_track_record=band_history.describe_bands(rows["band"], bands, strings),
        note=low_evidence_notes.describe_low_evidence(rows, settings.scoring, strings),
    ).with_columns(
        # No readiness date lies before the end of the cool-down.
        readiness_date=pl.when(held_dates.is_not_null()).then(
            pl.max_horizontal(held_dates, rows["cooldown_until"])
        )
    )
    return rows.with_columns(
        changes=changes.describe_changes(rows, history.previous_list, as_of, strings)
    )


def compute_expected_arr(increase_by_limit: Mapping[str, float]) -> pl.Expr:
    """Compute probability × typical increase at the binding limit × yearly revenue.

    Null without revenue. It is the average increase of such accounts, not the effect of outreach.
    """
    if not increase_by_limit:
        return pl.lit(None, pl.Float64)
    increase = pl.col("limit").replace_strict(
        dict(increase_by_limit),
        default=increase_by_limit[expansion_size.ANY_TYPE],
        return_dtype=pl.Float64,
    )
    return pl.col("probability") * increase * 12 * pl.col("mrr")


def _require_eligible_accounts(panel: Panel, as_of: datetime) -> None:
    if panel.snapshots.is_empty():
        reasons = panel.excluded["reason"].value_counts().sort("reason")
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
