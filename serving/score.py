"""The weekly list: every eligible account with probability, date, signals and rank."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from data import sources
from data.errors import HistoryError
from data.settings import Settings
from features import contract, panel, terms
from features.activity import Activity
from features.grid import known_before
from features.panel import Panel
from serving import cold
from serving.lines import (
    asking,
    bands,
    changes,
    dated,
    modelled,
    notes,
    phrases,
    portraits,
    pressing,
    ranking,
)
from serving.lines.capacity import Weekly, weekly
from serving.record import age_days, record
from training import wording
from training.registry import Registered

__all__ = ["Scored", "record", "said", "score"]


@dataclass(frozen=True)
class Scored:
    """The list of one as-of.

    Attributes
    ----------
    accounts : polars.DataFrame
        One row per eligible account, by rank: ``account_id``, ``as_of``, ``crm_id``, and the fields
        that the README describes, of which ``contributions`` are JSON (signal → part of the
        margin). Without any model, what only one knows is null.
    left : polars.DataFrame
        ``account_id``, ``name``, ``csm``, ``reason`` of every account that is not on the list.
    weekly : serving.lines.capacity.Weekly or None
        What one CSM can work in a week, by which ``this_week`` is marked.
    rank_by : str
        ``scoring.rank_by``, as it was.
    portraits : polars.DataFrame or None
        What the page draws beside the lines; see :func:`serving.lines.portraits.of`.
    """

    accounts: pl.DataFrame
    left: pl.DataFrame
    weekly: Weekly | None = None
    rank_by: str = "probability"
    portraits: pl.DataFrame | None = None

    def __repr__(self) -> str:
        return f"Scored({self.accounts.height:,} accounts by rank, {self.left.height:,} left out)"

    def excluded(self) -> dict[str, int]:
        """Reason → accounts that are not on the list."""
        counts = self.left.group_by("reason").agg(pl.len()).sort("reason")
        return dict(counts.iter_rows())


def score(
    model: Registered | None,
    tables: sources.Tables,
    log: Activity,
    as_of: datetime,
    settings: Settings,
    *,
    before: pl.DataFrame | None = None,
    promised: pl.DataFrame | None = None,
    worked: Mapping[str, date] | None = None,
    not_now: Mapping[str, date] | None = None,
) -> Scored:
    """Rank every eligible account as it stood at the as-of.

    Parameters
    ----------
    model : training.registry.Registered or None
        What :func:`training.registry.serving` gave: None where none was ever trained.
    tables, log
        The tables under contract, and the daily activity of the log.
    as_of : datetime.datetime
        00:00 UTC; only what was known before it is used.
    settings : data.settings.Settings
        Eligibility, scoring, playbook, team, seats.
    before : polars.DataFrame, optional
        The list before, to tell what has changed; see :func:`serving.lines.changes.of` for its
        columns.
    promised : polars.DataFrame, optional
        What was last said of when to talk (:func:`serving.promises.standing`): a readiness date
        that was named is kept.
    worked : mapping of str to datetime.date, optional
        Account → the last day on which a human dealt with it.
    not_now : mapping of str to datetime.date, optional
        Account → the day until which a human said that it is not to be asked.

    Returns
    -------
    Scored
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
    _refuse_stale(log, as_of, settings.scoring.max_log_age_days)
    told = phrases.of(settings.scoring.phrases)
    built = panel.build(log, tables, [as_of], settings, months=True)
    _refuse_nobody(built, as_of)
    lines = said(
        model,
        built,
        tables.subscriptions.rows,
        as_of,
        settings,
        promised=promised,
        worked=worked or {},
        not_now=not_now,
    )
    drawn = portraits.of(
        # Of whom is left out, too: the page shows a contract that has ended.
        pl.concat([lines, built.excluded.select("account_id")], how="diagonal"),
        built.months,
        tables.accounts.rows,
        tables.subscriptions.rows,
        as_of,
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )
    lines = lines.drop("curve", strict=False)
    names = tables.accounts.rows.select("account_id", "name", "csm", "crm_id")
    able = weekly(settings, tables.accounts.rows)
    ranked = ranking.ranked(
        lines.join(names, on="account_id", how="left", maintain_order="left"),
        by=settings.scoring.rank_by,
        minutes=settings.playbook.minutes,
        weekly=able.accounts,
    )
    return Scored(
        ranked.with_columns(changed=changes.of(ranked, before, as_of.date(), told)),
        built.excluded.join(names, on="account_id", how="left"),
        able,
        settings.scoring.rank_by,
        drawn,
    )


def said(
    model: Registered | None,
    built: Panel,
    subscriptions: pl.DataFrame,
    as_of: datetime,
    settings: Settings,
    *,
    heard_before: datetime | None = None,
    promised: pl.DataFrame | None,
    worked: Mapping[str, date],
    not_now: Mapping[str, date] | None = None,
    pressed: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Say of each snapshot what a line says of it, all but its place and what has changed.

    Parameters
    ----------
    model, as_of, settings, promised, worked, not_now
        As for :func:`score`.
    built : features.panel.Panel
        The snapshots.
    subscriptions : polars.DataFrame
        Rows under :class:`data.contracts.Subscriptions`.
    heard_before : datetime.datetime, optional
        What was known before it of the contracts is known; by default the as-of.
    pressed : mapping of str to str, optional
        Account → the limit on which a signal says that now is the time; see
        :func:`serving.lines.pressing.decided`.

    Returns
    -------
    polars.DataFrame
        In the order of the snapshots, with ``standing`` and, of a model, ``curve``.
    """
    words, told = wording.load(settings.sentences_file), phrases.of(settings.scoring.phrases)
    if model is None:
        lines = cold.listed(built.snapshots, as_of, settings.playbook, words)
    else:
        lines = modelled.lines(model, built.snapshots, as_of, settings, words)
    lines = asking.decided(
        pressing.decided(lines, pressed or {}, as_of.date()),
        built.snapshots,
        worked,
        as_of.date(),
        settings.playbook,
        words=told,
        horizon_days=model.model.horizon_days if model else settings.outcome.horizon_days,
        not_now=not_now,
    )
    contracts = contract.timeline(
        subscriptions,
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )
    risen = terms.risen(known_before(contracts, heard_before or as_of))
    ready = dated.held(lines, promised, risen, as_of.date())
    return lines.with_columns(
        band_told=bands.told(lines["band"], bands.known(model), told),
        note=notes.of(lines, built.snapshots, settings.scoring, told),
        # Nobody is talked to who is left alone.
        readiness_date=pl.when(ready.is_not_null()).then(pl.max_horizontal(ready, "rest_until")),
    ).drop("rest_until")


def _refuse_nobody(built: Panel, as_of: datetime) -> None:
    if built.snapshots.is_empty():
        reasons = built.excluded["reason"].value_counts().sort("reason")
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.iter_rows())
        raise HistoryError(
            f"no account is eligible on {as_of:%Y-%m-%d} ({told or 'no account exists yet'});"
            " check the contract history with `expansion check`."
        )


def _refuse_stale(log: Activity, as_of: datetime, max_days: int) -> None:
    if log.last_day is None:
        raise HistoryError("the log holds no valid event; see its quarantine.")
    age = age_days(log, as_of)
    if age > max_days:
        raise HistoryError(
            f"the log ends on {log.last_day}, {age} days before {as_of:%Y-%m-%d}; at most"
            f" {max_days} (scoring.max_log_age_days) are allowed. Bring the log up to date, or"
            " score an earlier --as-of."
        )
