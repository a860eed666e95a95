"""The whole story of a backtest: models, weekly lists, daily figures, the ways, their hours."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import numpy as np
import polars as pl

from data.settings import MONTH_DAYS, Settings
from training import team
from training.backtest import competing, judge, words
from training.backtest import ground as grounds
from training.backtest.daily import Daily
from training.backtest.ground import Ground
from training.backtest.judge import Verdict
from training.backtest.known import Known, known
from training.backtest.result import Backtest
from training.backtest.work import Hours, work
from training.pipeline import History

__all__ = ["replay", "run"]

Progress = Callable[[str, int, int], None]


def run(past: History, settings: Settings, *, progress: Progress | None = None) -> Backtest:
    """Replay history day by day with only what was known, and let the ways of working compete.

    Parameters
    ----------
    past : training.pipeline.History
        Everything up to an as-of.
    settings : data.settings.Settings
        Outcome, model and evaluation; the team and its hours; ``backtest``.
    progress : callable, optional
        Told the stage, steps done, and steps in all.

    Returns
    -------
    training.backtest.result.Backtest
        The ways side by side, with what was assumed and what no replay can know.

    Raises
    ------
    data.errors.HistoryError
        If the history holds no day whose expansions could be counted.
    """
    return replay(known(past, settings, progress=progress), settings, progress=progress)


def replay(made: Known, settings: Settings, *, progress: Progress | None = None) -> Backtest:
    """Let the ways of working compete; see :func:`run`."""
    rules = settings.backtest
    hours, csms, capacity = _hours(made, settings)
    full = grounds.full(made, settings)
    counted = grounds.counted(made, settings, full)
    ground = grounds.ground(made, settings, full, counted, csms=csms)
    plans, absent = competing.plans(made, settings, full)
    verdicts: dict[str, Verdict] = {}
    for done, plan in enumerate(plans):
        verdicts[plan.name] = judge.judged(plan, work(plan, ground.book, hours), ground, hours)
        if progress:
            progress("ways", done + 1, len(plans))
    flags, expanded = judge.told(verdicts, ground, counted.drop("before", "since"))
    since = (pl.col("day") - pl.col("before")).dt.total_days()
    repeated = counted.filter(since < rules.caught_within_days).height
    return Backtest(
        start=made.start,
        end=made.end,
        counted_from=made.start + timedelta(days=ground.counted.start),
        counted_until=made.start + timedelta(days=ground.counted.stop),
        accounts=float(ground.book.sum() / made.days),
        expansions=counted.height,
        repeated=repeated,
        ways=tuple(verdict.way for verdict in verdicts.values()),
        absent=absent,
        csms=csms,
        minutes_per_month=hours.per_month,
        minutes_per_account=hours.per_account,
        review_minutes=hours.per_look,
        rest_days=rules.rest_days,
        caught_within_days=rules.caught_within_days,
        definitions=words.definitions(settings),
        notes=tuple(capacity + _notes(made, settings, full, counted, hours, repeated=repeated)),
        hindsight=words.HINDSIGHT,
        verdict=_verdict(verdicts, ground),
        flags=flags,
        expanded=expanded,
    )


def _hours(made: Known, settings: Settings) -> tuple[Hours, int, list[str]]:
    """What the team has, how many they are, and where the numbers are from."""
    accounts = made.past.tables.accounts.rows
    named = accounts["csm"].drop_nulls().n_unique() if "csm" in accounts.columns else 0
    csms = settings.team.csms or named
    capacity = team.capacity(settings, accounts)
    why = capacity.why[:1].upper() + capacity.why[1:]
    notes = [why.replace("per as-of", "per 30 days")]
    if not csms:
        notes.append(
            "How many CSMs there are is not known: figures per CSM take the team for one. Set"
            " team.csms."
        )
    minutes = settings.team.minutes_per_account
    hours = Hours(
        capacity.accounts * minutes,
        minutes,
        settings.backtest.review_minutes,
        settings.backtest.rest_days,
    )
    return hours, csms or 1, notes


def _notes(
    made: Known,
    settings: Settings,
    full: Daily,
    counted: pl.DataFrame,
    hours: Hours,
    *,
    repeated: int,
) -> list[str]:
    """What was assumed, or is missing, in this data."""
    told = []
    seats, limits = (np.isfinite(of).any() for of in (full.seat_utilization, full.usage_ratio))
    if limits and not seats:
        told.append("No account has licensed seats: use is that of the usage limits.")
    elif seats and not limits:
        told.append("No account has a usage limit: use is that of the seats.")
    told += _reach(made, hours)
    if made.models is not None and len(made.models.steps) == 1:
        told.append("One model only was trained: its figures are of a single cut.")
    if not counted.height:
        told.append("No expansion was booked in the days that count.")
    elif repeated:
        told.append(
            f"{repeated:,} of {counted.height:,} expansions came less than"
            f" {settings.backtest.caught_within_days} days after the account's previous one: one"
            " flag can catch both."
        )
    late = made.past.activity.volume.select((pl.col("known_day") > pl.col("day")).any())
    return told + words.late_data(made.past.contracts, events_lag=bool(late.collect().item()))


def _reach(made: Known, hours: Hours) -> list[str]:
    """Say where the hours reach so many accounts that a ranking hardly has to choose."""
    listed = made.weekly.height / max(made.weekly["as_of"].n_unique(), 1)
    worked = hours.per_month / hours.per_account * hours.rest_days / MONTH_DAYS
    if 2 * worked < listed:
        return []
    return [
        f"In the {hours.rest_days} days that an account rests the hours are enough for"
        f" {worked:,.0f} accounts, and {listed:,.0f} are eligible on average: a list from its top"
        " then flags a great part of them whatever it ranks by."
    ]


def _verdict(verdicts: Mapping[str, Verdict], ground: Ground) -> str:
    mine = verdicts.get(competing.LIST)
    models = (competing.LIST, competing.LIST_AND_EVENTS)
    others = [one for name, one in verdicts.items() if name not in models]
    rival = words.best(others)
    gain = judge.advantage(mine, rival, ground) if mine and rival else None
    return words.verdict(mine, rival, gain, len(ground.row))
