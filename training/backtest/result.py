"""Result of a backtest: each strategy with its metrics, and the limitations of a replay."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Final

import polars as pl

from training.metrics.cluster_bootstrap import MetricEstimate

__all__ = ["BACKTEST_METRICS", "BacktestResult", "StrategyResult"]

BACKTEST_METRICS: Final[Mapping[str, str]] = {
    "detection_rate": "Share of the expansions that were detected: the account was flagged on"
    " the day of the expansion or within the detection window before it.",
    "detection_rate_14d": "Share of the expansions whose first flag in the window came at least 14"
    " days before.",
    "detection_rate_30d": "Share of the expansions whose first flag in the window came at least 30"
    " days before.",
    "condition_rate": "Share of the expansions for which the strategy's condition held within"
    " the window, whether or not the team had time. Not for rankings, which list every account.",
    "precision": "Share of the flags that were followed by an expansion within the horizon.",
    "lag_days": "Median days from the first day of full utilization (80 % of the seat or usage"
    " limit) to the first flag. That day is searched after the account's previous expansion and"
    " within 180 days before this one. Includes time spent waiting for capacity; negative if the"
    " flag came first.",
    "lead_days": "Median days from the first flag in the window to the expansion, if detected.",
    "false_alarms": "Flags without an expansion within the horizon, per quarter (90 days) and CSM.",
    "missed": "Expansions that were not detected, per quarter and 80 accounts under contract.",
    "minutes": "Minutes spent on reviews and contacts, per quarter and CSM.",
}


@dataclass(frozen=True)
class StrategyResult:
    """One strategy, and the outcome of its flags.

    Attributes
    ----------
    name, rule : str
        Display name; one sentence on when it flags an account.
    metrics : mapping of str to MetricEstimate
        Keys and definitions as in ``BACKTEST_METRICS``; shares in [0, 1]; 90 % intervals over
        accounts; null where they cannot be computed.
    flags : int
        Accounts handed to a CSM and contacted, over the whole replay.
    hits, false_alarms : int
        Flags followed by an expansion within the horizon, and flags not followed by one. The rest
        have no label yet, or an increase that cannot be distinguished from a price change.
    detected, detected_14d, detected_30d : int
        Expansions that were detected; at least that many days before.
    reviewed : int
        Accounts checked in a review, over the whole replay; zero for strategies without reviews.
    review_minutes, contact_minutes : float
        Over the whole replay, the whole team.
    claim : str or None
        The detection rate that vendors claim for such a strategy; not verified.
    detected_too_early : int
        Expansions that were not detected although the account was flagged since its previous
        expansion and within 180 days: earlier than counts.
    """

    name: str
    rule: str
    metrics: Mapping[str, MetricEstimate]
    flags: int
    hits: int
    false_alarms: int
    detected: int
    detected_14d: int
    detected_30d: int
    reviewed: int
    review_minutes: float
    contact_minutes: float
    claim: str | None = None
    detected_too_early: int = 0

    def __repr__(self) -> str:
        return (
            f"StrategyResult({self.name!r}: {self.flags:,} flags, {self.detected:,} expansions"
            f" detected, {self.false_alarms:,} false alarms)"
        )


@dataclass(frozen=True)
class BacktestResult:
    """Day-by-day replay of history, with the strategies side by side.

    Attributes
    ----------
    start, end : datetime.date
        The days replayed, the end excluded. Every strategy flags from the start on.
    counted_from, counted_until : datetime.date
        Expansions of these days are counted, the end excluded. Before them a flag could not have
        come in time; after them a booking may still be reverted.
    accounts : float
        Accounts under paid contract, mean over the days.
    expansions : int
        Expansions of the days that count.
    closely_repeated : int
        Expansions so soon after the account's previous one that a single flag detects both.
    unavailable : mapping of str to str
        Strategies that could not be simulated, and why.
    csms : int
        Customer-success managers who share the work.
    minutes_per_month, minutes_per_account, review_minutes : float
        The team's minutes per 30 days; to contact a flagged account; to review one.
    cooldown_days : int
        Days during which a contacted account is not flagged again.
    detection_window_days : int
        Maximum number of days from a flag to the expansion it detects.
    definitions : mapping of str to str
        ``BACKTEST_METRICS``, and each of the terms used in them.
    notes, limitations : tuple of str
        Assumptions and gaps of this data; what no replay can measure.
    flags : polars.DataFrame
        ``strategy``, ``account_id``, ``day`` and ``expanded`` (within the horizon; null while
        unknown) of every flag, so that every metric can be recomputed.
    expanded : polars.DataFrame
        ``account_id``, ``day`` of every counted expansion, ``full_from`` (first day at 80 %, or
        null), and per strategy the first day that detected it, or null.
    """

    start: date
    end: date
    counted_from: date
    counted_until: date
    accounts: float
    expansions: int
    closely_repeated: int
    strategies: tuple[StrategyResult, ...]
    unavailable: Mapping[str, str]
    csms: int
    minutes_per_month: float
    minutes_per_account: float
    review_minutes: float
    cooldown_days: int
    detection_window_days: int
    definitions: Mapping[str, str]
    notes: tuple[str, ...]
    limitations: tuple[str, ...]
    verdict: str
    flags: pl.DataFrame = field(repr=False)
    expanded: pl.DataFrame = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"BacktestResult({self.start} to {self.end}: {len(self.strategies)} strategies,"
            f" {self.expansions:,} expansions of {self.accounts:,.0f} accounts)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the two tables as JSON values; days as YYYY-MM-DD."""
        frames = ("flags", "expanded")
        plain = {name: value for name, value in vars(self).items() if name not in frames}
        days = {name: str(value) for name, value in plain.items() if isinstance(value, date)}
        return plain | days | {"strategies": [asdict(strategy) for strategy in self.strategies]}
