"""Seats or usage that cross a line: one signal per real crossing.

A pure state machine: what is remembered of one limit of one account, and a reading, give what is
remembered next and what happened. Events and the clock both bring readings; days are UTC days. A
day counts as above a line where any of its readings was, so that the order and the grouping of
events within a day do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final, Literal

from data.settings import Triggers

__all__ = ["LEVELS", "Change", "Open", "Reading", "Watch", "step"]

LEVELS: Final = ("nudge", "priority", "urgent")
_PRIORITY: Final = 1


@dataclass(frozen=True)
class Reading:
    """How full a limit is at a moment.

    Attributes
    ----------
    day : datetime.date
        The day of the moment, UTC.
    used : float
        Active seats, or units of the trailing month.
    of : float or None
        Licensed seats, or the usage limit; None where none is agreed, or the contract is not paid.
    tier_1 : bool
        Whether the rule of tier 1 for this limit holds.
    ended : bool
        Whether the contract has ended.
    """

    day: date
    used: float
    of: float | None
    tier_1: bool = False
    ended: bool = False

    @property
    def share(self) -> float | None:
        """Used ÷ limit, not clipped; None where there is no limit in force."""
        return self.used / self.of if self.of and not self.ended else None


@dataclass(frozen=True)
class Open:
    """An open signal: its level (a place in ``LEVELS``), since when, and the limit as it was."""

    level: int
    opened_on: date
    of: float


@dataclass(frozen=True)
class Watch:
    """What is remembered of one limit of one account.

    Attributes
    ----------
    runs : tuple
        Per level the first and the last of the days in a row that reached it; None: none of late.
    pressed_on : datetime.date or None
        The last day with pressure.
    number : int
        Signals so far.
    open : Open or None
        The open one.
    spent : bool
        The last one expired, and the pressure has not left since: it is not raised again.
    """

    runs: tuple[tuple[date, date] | None, ...] = (None, None, None)
    pressed_on: date | None = None
    number: int = 0
    open: Open | None = None
    spent: bool = False

    def told(self) -> dict[str, Any]:
        """Say it in JSON values."""
        now = self.open
        return {
            "runs": [run and [str(day) for day in run] for run in self.runs],
            "pressed_on": self.pressed_on and str(self.pressed_on),
            "number": self.number,
            "open": now and [now.level, str(now.opened_on), now.of],
            "spent": self.spent,
        }

    @classmethod
    def of(cls, told: dict[str, Any]) -> Watch:
        """Read what :meth:`told` said."""
        now = told["open"]
        return cls(
            tuple(run and (_day(run[0]), _day(run[1])) for run in told["runs"]),
            told["pressed_on"] and _day(told["pressed_on"]),
            told["number"],
            now and Open(now[0], _day(now[1]), now[2]),
            told["spent"],
        )


@dataclass(frozen=True)
class Change:
    """What happened to the signal of that number.

    ``ending`` of one that closed: ``expanded``, ``lapsed``, ``relieved`` or ``expired``.
    """

    kind: Literal["opened", "escalated", "closed"]
    number: int
    level: int
    ending: str | None = None


def step(watch: Watch, reading: Reading, rules: Triggers) -> tuple[Watch, list[Change]]:
    """Carry one limit on by a reading.

    The same reading twice changes nothing the second time; a reading of an earlier day than one
    that counted changes nothing at all.

    Parameters
    ----------
    watch : Watch
        What is remembered.
    reading : Reading
        How full the limit is.
    rules : data.settings.Triggers
        Levels, days, and when the pressure has left.

    Returns
    -------
    Watch
        What is remembered next.
    list of Change
        In order: a signal may close and, against the new limit, the next one open.
    """
    if any(day > reading.day for day in _days(watch)):
        return watch, []
    watch, by_contract = _by_contract(watch, reading)
    watch, by_time = _by_time(watch, reading.day, rules)
    watch = _marked(watch, reading, rules)
    watch, by_level = _by_level(watch, reading, rules)
    return watch, [*by_contract, *by_time, *by_level]


def _by_contract(watch: Watch, reading: Reading) -> tuple[Watch, list[Change]]:
    """Close a signal whose limit has risen, or is no more; days under the old limit say no more."""
    now = watch.open
    if now is None:
        return (Watch(number=watch.number), []) if not reading.of else (watch, [])
    if reading.ended:
        ending = "lapsed"
    elif not reading.of:
        ending = "relieved"
    elif reading.of > now.of:
        ending = "expanded"
    else:
        return watch, []
    return Watch(number=watch.number), [_closed(watch, now, ending)]


def _by_time(watch: Watch, day: date, rules: Triggers) -> tuple[Watch, list[Change]]:
    """Close what the days before this one have ended; so it does not matter when it is asked.

    A limit that is calm leaves no trace but its number.
    """
    now = watch.open
    if watch.pressed_on is None or (day - watch.pressed_on).days > rules.relief_days:
        calm = replace(watch, pressed_on=None, spent=False, open=None)
        return calm, [] if now is None else [_closed(watch, now, "relieved")]
    if now is not None and (day - now.opened_on).days >= rules.expiry_days:
        return replace(watch, open=None, spent=True), [_closed(watch, now, "expired")]
    return watch, []


def _closed(watch: Watch, now: Open, ending: str) -> Change:
    return Change("closed", watch.number, now.level, ending)


def _marked(watch: Watch, reading: Reading, rules: Triggers) -> Watch:
    """Note for each level whether the day reached it."""
    share = reading.share
    if share is None:
        return watch
    first = reading.tier_1 and rules.tier_1
    runs = tuple(
        _longer(run, reading.day)
        if share >= line or (first and level == _PRIORITY)
        else _recent(run, reading.day)
        for level, (run, (line, _)) in enumerate(zip(watch.runs, rules.levels, strict=True))
    )
    pressed = share >= rules.release or first
    return replace(watch, runs=runs, pressed_on=reading.day if pressed else watch.pressed_on)


def _longer(run: tuple[date, date] | None, day: date) -> tuple[date, date]:
    """The run with this day in it; a day left out begins a new one."""
    return (run[0] if run and (day - run[1]).days <= 1 else day, day)


def _recent(run: tuple[date, date] | None, day: date) -> tuple[date, date] | None:
    """The run, as long as this day may still go on with it."""
    return run if run and (day - run[1]).days <= 1 else None


def _reached(watch: Watch, reading: Reading, rules: Triggers) -> int | None:
    """The highest level that today and enough days before it have reached."""
    reached = [
        level
        for level, (run, (_, days)) in enumerate(zip(watch.runs, rules.levels, strict=True))
        if run and run[1] == reading.day and (run[1] - run[0]).days + 1 >= days
    ]
    return max(reached, default=None)


def _by_level(watch: Watch, reading: Reading, rules: Triggers) -> tuple[Watch, list[Change]]:
    """Open a signal, or escalate the open one."""
    level, now = _reached(watch, reading, rules), watch.open
    if level is None or watch.spent or not reading.of:
        return watch, []
    if now is None:
        number = watch.number + 1
        opened = Open(level, reading.day, reading.of)
        return replace(watch, number=number, open=opened), [Change("opened", number, level)]
    if level <= now.level:
        return watch, []
    risen = replace(watch, open=replace(now, level=level))
    return risen, [Change("escalated", watch.number, level)]


def _days(watch: Watch) -> Iterator[date]:
    yield from (run[1] for run in watch.runs if run)
    if watch.pressed_on:
        yield watch.pressed_on
    if watch.open:
        yield watch.open.opened_on


def _day(text: str) -> date:
    return date.fromisoformat(text)
