"""Purged walk-forward splits: train on what was known at a cutoff, test on what follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from data.config.settings import OutcomeConfig
from training import labels
from training.dataset.training_set import TrainingSet

__all__ = [
    "TimeSplit",
    "TrainingSet",
    "build_training_set",
    "split_walk_forward",
    "to_utc_midnight",
]


@dataclass(frozen=True)
class TimeSplit:
    """A cutoff and the as-ofs tested with the model trained at it."""

    cutoff: datetime
    test_as_ofs: tuple[date, ...]

    def __repr__(self) -> str:
        span = f"{self.test_as_ofs[0]} to {self.test_as_ofs[-1]}"
        return (
            f"TimeSplit(cutoff {self.cutoff:%Y-%m-%d}, {len(self.test_as_ofs)} test as-ofs, {span})"
        )


def to_utc_midnight(day: date) -> datetime:
    """Return the start of a day, UTC."""
    return datetime.combine(day, time(), UTC)


def split_walk_forward(
    as_ofs: Sequence[date], *, first: date | None, refit_months: int
) -> list[TimeSplit]:
    """Split the history at the dates on which a model would have been refitted.

    Cutoffs are ``refit_months`` months of 30 days apart; each split tests the as-ofs from its
    cutoff to the next. Without a first test as-of, the last third of the as-ofs is tested.

    Examples
    --------
    >>> days = [date(2025, 1, 1) + timedelta(days=30 * k) for k in range(6)]
    >>> splits = split_walk_forward(days, first=days[2], refit_months=3)
    >>> [len(split.test_as_ofs) for split in splits]
    [3, 1]
    """
    days = sorted(set(as_ofs))
    if first is None:
        first = days[len(days) * 2 // 3] if days else date.max
    remaining = [day for day in days if day >= first]
    splits: list[TimeSplit] = []
    while remaining:
        until = remaining[0] + timedelta(days=30 * refit_months)
        block = tuple(day for day in remaining if day < until)
        splits.append(TimeSplit(to_utc_midnight(block[0]), block))
        remaining = remaining[len(block) :]
    return splits


def build_training_set(
    snapshots: pl.DataFrame, contracts: pl.DataFrame, cutoff: datetime, rules: OutcomeConfig
) -> TrainingSet:
    """Return the snapshots before a cutoff, labelled with what was known at it.

    Raises
    ------
    AssertionError
        If a label window ends after the cutoff.
    """
    earlier = snapshots.filter(pl.col("as_of") < cutoff.date())
    labelled = labels.build_outcomes(earlier, contracts, cutoff=cutoff, rules=rules)
    training_set = TrainingSet(earlier, labelled)
    _assert_no_lookahead(training_set, cutoff)
    return training_set


def _assert_no_lookahead(training_set: TrainingSet, cutoff: datetime) -> None:
    for horizon in (14, 60, labels.MAX_HORIZON_DAYS):
        ends = training_set.outcomes.filter(labels.expansion_label(horizon).is_not_null()).select(
            (pl.col("as_of") + pl.duration(days=horizon)).max()
        )
        if (last := ends.item()) is not None and last > cutoff.date():
            raise AssertionError(
                f"a window of {horizon} days ends on {last}, after {cutoff:%Y-%m-%d}"
            )
