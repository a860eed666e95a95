"""The whole story of a backtest: models, weekly lists, daily figures, the ways, their hours."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.errors import HistoryError
from data.settings import Settings
from features import panel, persons
from training import baselines, resampling, splits, team, tiers
from training.backtest import daily, expansions, judge, lists, ways, words
from training.backtest.daily import Daily
from training.backtest.judge import Ground, Verdict
from training.backtest.lists import Models
from training.backtest.result import Backtest
from training.backtest.ways import Plan
from training.backtest.work import Hours, work
from training.pipeline import History

__all__ = ["Known", "known", "replay", "run"]

Progress = Callable[[str, int, int], None]
Array = NDArray[np.float64]
LIST, LIST_AND_EVENTS = "model's weekly list", "weekly list and events"
_REVIEWS = (("manual review, weekly", 7), ("manual review, monthly", 30))


@dataclass(frozen=True)
class Known:
    """What is made once, before anything is replayed.

    Attributes
    ----------
    past : training.pipeline.History
        Tables, daily activity, and contracts.
    start : datetime.date
        The first day replayed.
    models : training.backtest.lists.Models or None
        Those of the walk forward.
    why_none : str
        Why there is no model, where there is none.
    weekly : polars.DataFrame
        Snapshots as of the day of each weekly list.
    """

    past: History
    start: date
    models: Models | None
    why_none: str
    weekly: pl.DataFrame

    def __repr__(self) -> str:
        return f"Known(from {self.start} on, {self.models!r}, {self.weekly.height:,} snapshots)"

    @property
    def end(self) -> date:
        """The first day not replayed."""
        return self.past.as_of.date()

    @property
    def days(self) -> int:
        """Days replayed."""
        return (self.end - self.start).days


def run(past: History, settings: Settings, *, progress: Progress | None = None) -> Backtest:
    """Replay history week by week with only what was known, and let the ways of working compete.

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


def known(past: History, settings: Settings, *, progress: Progress | None = None) -> Known:
    """Train the models of the walk forward, and build the snapshots of every week.

    The replay starts with the first of them; without any, with the first as-of of the panel.
    """
    trained: Models | None = None
    why_none = ""
    start: date = pl.concat([past.panel.snapshots["as_of"], past.panel.excluded["as_of"]]).min()  # type: ignore[assignment]
    try:
        trained = lists.models(
            past.panel.snapshots, past.contracts, settings, progress=_stage(progress, "models")
        )
        start = trained.first
    except HistoryError as error:
        why_none = str(error)
    _refuse_too_short(start, past.as_of.date(), settings)
    as_ofs = [splits.midnight(day) for day in lists.weeks(start, past.as_of.date())]
    built = panel.build(
        past.activity, past.tables, as_ofs, settings, progress=_stage(progress, "weeks")
    )
    return Known(past, start, trained, why_none, built.snapshots)


def replay(made: Known, settings: Settings, *, progress: Progress | None = None) -> Backtest:
    """Let the ways of working compete; see :func:`run`."""
    rules = settings.backtest
    full = _full(made, settings)
    counted = _counted(made, settings, full)
    ground = _ground(made, settings, full, counted)
    hours, csms, capacity = _hours(made, settings)
    ground = replace(ground, csms=csms)
    fullness = full.fullness[:, expansions.FULL_WITHIN_DAYS :]
    plans, absent = _plans(made, settings, full, fullness)
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
        notes=tuple(capacity + _notes(made, settings, full, counted, repeated)),
        hindsight=words.HINDSIGHT,
        verdict=_verdict(verdicts, ground),
        flags=flags,
        expanded=expanded,
    )


def _refuse_too_short(start: date, end: date, settings: Settings) -> None:
    first = start + timedelta(days=settings.backtest.caught_within_days)
    if first >= (last := expansions.settled_days(end, settings.outcome)):
        raise HistoryError(
            f"the replay would start on {start}, its expansions count from {first} on"
            f" (backtest.caught_within_days later), and are settled before {last} only: no day is"
            " left. Let it start earlier with evaluation.first_as_of, or come back with a longer"
            " history."
        )


def _full(made: Known, settings: Settings) -> Daily:
    """How full every contract was, from so long before the replay as a lag is told."""
    before = expansions.FULL_WITHIN_DAYS
    return daily.build(
        made.past.activity,
        made.past.contracts,
        first=made.start - timedelta(days=before),
        days=made.days + before,
        seat_days=settings.seats.window_days,
        unpaid=persons.unpaid(made.past.tables.users.rows, settings.tables.stable),
    )


def _counted(made: Known, settings: Settings, full: Daily) -> pl.DataFrame:
    """The expansions that count, and since when each account had been full."""
    since = made.start + timedelta(days=settings.backtest.caught_within_days)
    found = expansions.found(made.past.contracts, end=made.past.as_of, rules=settings.outcome)
    counted = found.filter(pl.col("day") >= since)
    first = expansions.full_from(counted, full, share=settings.backtest.rule_share)
    return counted.with_columns(full_from=first)


def _ground(made: Known, settings: Settings, full: Daily, counted: pl.DataFrame) -> Ground:
    rows = counted.join(
        pl.DataFrame({"account_id": full.accounts}).with_row_index("row"),
        on="account_id",
        maintain_order="left",
    )
    settled = expansions.settled_days(made.end, settings.outcome)
    day, first, since = (
        (rows[name] - made.start).dt.total_days().fill_null(-1).to_numpy()
        for name in ("day", "full_from", "since")
    )
    return Ground(
        accounts=full.accounts,
        start=made.start,
        book=full.paid[:, expansions.FULL_WITHIN_DAYS :],
        counted=range(settings.backtest.caught_within_days, (settled - made.start).days),
        row=rows["row"].to_numpy().astype(np.int64),
        day=day,
        full=first,
        since=since,
        contracts=made.past.contracts,
        end=made.past.as_of,
        rules=settings.outcome,
        within_days=settings.backtest.caught_within_days,
        csms=1,
        draws=resampling.Draws(
            np.arange(len(full.accounts)),
            resamples=settings.evaluation.resamples,
            seed=settings.model.seed,
        ),
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


def _plans(
    made: Known, settings: Settings, full: Daily, fullness: Array
) -> tuple[list[Plan], dict[str, str]]:
    """The ways that can be replayed, in the order in which they are shown; and why others not."""
    plans: list[Plan] = []
    absent: dict[str, str] = {}
    for name, made_of in _offered(made, settings, full, fullness):
        if isinstance(made_of, str):
            absent[name] = made_of
        else:
            plans.append(made_of)
    return plans, absent


def _offered(
    made: Known, settings: Settings, full: Daily, fullness: Array
) -> Iterator[tuple[str, Plan | str]]:
    rules = settings.backtest
    unknown = (
        ""
        if np.isfinite(fullness).any()
        else "neither licensed seats nor usage limits are known of any account."
    )
    for name, every in _REVIEWS:
        review = ways.review(name, fullness, above=rules.review_share, every_days=every)
        yield name, unknown or review
    nightly = ways.nightly(fullness, share=rules.rule_share)
    yield nightly.name, unknown or nightly
    by_event = ways.events(
        full.fullness,
        share=rules.rule_share,
        days=rules.rule_days,
        before=expansions.FULL_WITHIN_DAYS,
    )
    yield by_event.name, unknown or by_event

    def column(score: pl.Expr) -> Array:
        return lists.of_column(score, made.weekly, full.accounts, made.start, made.days)

    stack = ways.listed(
        "tiered stack",
        "Every week, tier 1 (seats above 88 % and new users, or API volume up by a fifth under a"
        " limit), then tier 2 (adoption, departments or integrations growing), the fullest first.",
        column(_tiered()),
        points=True,
    )
    yield stack.name, stack
    health = "Every week, the accounts of the highest health score first."
    yield "health score", ways.listed("health score", health, column(baselines.health()))
    logins = column(pl.col("logins_30d"))
    yield (
        "login volume",
        ways.listed("login volume", "Every week, the accounts with the most logins first.", logins)
        if np.nansum(logins) > 0
        else "no event of the log plays the role of a login.",
    )
    if made.models is None:
        yield LIST, made.why_none
        yield LIST_AND_EVENTS, made.why_none
        return
    scores = lists.of_models(made.models, made.weekly, full.accounts, made.start, made.days)
    model = ways.listed(
        LIST, "Every week, the model's list from its top, by the model of the day.", scores
    )
    yield LIST, model
    yield (
        LIST_AND_EVENTS,
        unknown
        or ways.both(
            LIST_AND_EVENTS,
            "The model's weekly list, and on the days between the event rule.",
            model,
            by_event,
        ),
    )


def _tiered() -> pl.Expr:
    """Tier 1 before tier 2; within a tier the fullest first."""
    fullest = pl.max_horizontal("seat_utilization", "usage_ratio").fill_null(0.0)
    # Fuller is higher without end, but never so high as to reach the next tier.
    return (3 - tiers.TIER) + fullest / (1 + fullest)


def _notes(
    made: Known, settings: Settings, full: Daily, counted: pl.DataFrame, repeated: int
) -> list[str]:
    """What was assumed, or is missing, in this data."""
    told = []
    if not np.isfinite(full.seat_utilization).any():
        told.append("No account has licensed seats: use is that of the usage limits.")
    elif not np.isfinite(full.usage_ratio).any():
        told.append("No account has a usage limit: use is that of the seats.")
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


def _verdict(verdicts: Mapping[str, Verdict], ground: Ground) -> str:
    mine = verdicts.get(LIST)
    others = [one for name, one in verdicts.items() if name not in (LIST, LIST_AND_EVENTS)]
    rival = words.best(others)
    gain = judge.advantage(mine, rival, ground) if mine and rival else None
    return words.verdict(mine, rival, gain, len(ground.row))


def _stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)
