"""What a replay of history found: each way of working, its figures, and what hindsight hides."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Final

import polars as pl

from training.metrics.cluster_bootstrap import MetricEstimate

__all__ = ["BACKTEST_METRICS", "BacktestResult", "StrategyResult"]

BACKTEST_METRICS: Final[Mapping[str, str]] = {
    "share_flagged": "Share of the expansions that were caught: the account was flagged on the day"
    " of the expansion or in the days before it that count.",
    "share_flagged_14d": "Share of the expansions whose first such flag came at least 14 days"
    " before.",
    "share_flagged_30d": "Share of the expansions whose first such flag came at least 30 days"
    " before.",
    "share_pointed_at": "Share of the expansions that the way's condition pointed at in those days,"
    " whether or not anyone had the time; not for rankings, which point at everyone in turn.",
    "precision": "Share of the flags that were followed by an expansion within the horizon.",
    "lag_days": "Median days from the first day, since the account's last expansion and within 180"
    " days before this one, on which its seats or its usage stood at 80 % of the limit, to the"
    " first flag; of the expansions whose account was flagged, and reached 80 % in the replay."
    " Waiting for hours is part of it; negative where the flag came first.",
    "lead_days": "Median days from the first flag that counts to the expansion, of those caught.",
    "false_alarms": "Flags without an expansion within the horizon, per quarter (90 days) and CSM.",
    "missed": "Expansions that were not caught, per quarter and 80 accounts under contract.",
    "minutes": "Minutes of looking and of working, per quarter and CSM.",
}


@dataclass(frozen=True)
class StrategyResult:
    """One way of working: when it flags an account, and what came of it.

    Attributes
    ----------
    name : str
        As it is printed.
    rule : str
        One sentence: when it flags an account.
    figures : mapping of str to training.metrics.cluster_bootstrap.MetricEstimate
        Keys and definitions as in ``FIGURES``; shares in [0, 1]; 90 % intervals over accounts; null
        where there is nothing to compute it from.
    flags : int
        Accounts handed to a CSM who worked them, over the whole replay.
    hits, false_alarms : int
        Flags that were followed by an expansion within the horizon, and those that were not; the
        rest are not decided yet, or by a rise that cannot be told from a change of price.
    caught, caught_14d, caught_30d : int
        Expansions that were caught; at least so many days before.
    looked : int
        Accounts looked at in a review, over the whole replay; zero for ways that need none.
    minutes_looking, minutes_working : float
        Over the whole replay, the whole team.
    claim : str or None
        What vendors say that such a way catches; their figure, not verified.
    early : int
        Expansions that were not caught, but whose account was flagged since its last expansion,
        within 180 days: earlier than counts.
    """

    name: str
    rule: str
    figures: Mapping[str, MetricEstimate]
    flags: int
    hits: int
    false_alarms: int
    caught: int
    caught_14d: int
    caught_30d: int
    looked: int
    minutes_looking: float
    minutes_working: float
    claim: str | None = None
    early: int = 0

    def __repr__(self) -> str:
        return (
            f"Way({self.name!r}: {self.flags:,} flags, {self.caught:,} expansions caught,"
            f" {self.false_alarms:,} false alarms)"
        )


@dataclass(frozen=True)
class BacktestResult:
    """History replayed day by day, the ways of working side by side.

    Attributes
    ----------
    start, end : datetime.date
        The days replayed, the end excluded. Every way flags from the start on.
    counted_from, counted_until : datetime.date
        Expansions of these days are counted, the end excluded: before them the replay was too young
        to have flagged in time, after them what was booked may still be undone.
    accounts : int
        Accounts under paid contract, on average over the days.
    expansions : int
        Of the days that count.
    repeated : int
        Of them, those less than the days that count after the account's previous expansion: one
        flag catches both.
    ways : tuple of Way
        In the order in which they are shown.
    absent : mapping of str to str
        Ways that could not be replayed, and why.
    csms : int
        Customer-success managers who share the work.
    minutes_per_month : float
        What they have for it per 30 days, together.
    minutes_per_account, review_minutes : float
        What it takes to work a flagged account, and to look at one in a review.
    rest_days : int
        An account that was worked is not flagged again for so long.
    caught_within_days : int
        How long before an expansion a flag counts.
    definitions : mapping of str to str
        ``FIGURES``, and each of the words used in them.
    notes : tuple of str
        What was assumed, or is missing, in this data.
    hindsight : tuple of str
        What no replay can know.
    verdict : str
        One sentence.
    flags : polars.DataFrame
        ``way``, ``account_id``, ``day`` and ``expanded`` (within the horizon; null where that is
        not known) of every flag, so that every figure can be computed again.
    expanded : polars.DataFrame
        ``account_id``, ``day`` of every expansion that counts, ``full_from`` (first day at 80 %,
        or null), and per way the first day that caught it, or null.
    """

    start: date
    end: date
    counted_from: date
    counted_until: date
    accounts: float
    expansions: int
    repeated: int
    ways: tuple[StrategyResult, ...]
    absent: Mapping[str, str]
    csms: int
    minutes_per_month: float
    minutes_per_account: float
    review_minutes: float
    rest_days: int
    caught_within_days: int
    definitions: Mapping[str, str]
    notes: tuple[str, ...]
    hindsight: tuple[str, ...]
    verdict: str
    flags: pl.DataFrame = field(repr=False)
    expanded: pl.DataFrame = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"Backtest({self.start} to {self.end}: {len(self.ways)} ways of working,"
            f" {self.expansions:,} expansions of {self.accounts:,.0f} accounts)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the two tables, as plain values for JSON; days as YYYY-MM-DD."""
        frames = ("flags", "expanded")
        plain = {name: value for name, value in vars(self).items() if name not in frames}
        days = {name: str(value) for name, value in plain.items() if isinstance(value, date)}
        return plain | days | {"ways": [asdict(strategy) for strategy in self.ways]}
