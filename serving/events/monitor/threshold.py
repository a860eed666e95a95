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

from data.config.settings import Alerts

__all__ = [
    "SEVERITIES",
    "AlertTransition",
    "OpenAlert",
    "ThresholdState",
    "UtilizationReading",
    "advance_threshold",
]

SEVERITIES: Final = ("nudge", "priority", "urgent")
_PRIORITY: Final = 1


@dataclass(frozen=True)
class UtilizationReading:
    """How full a limit is at a moment.

    Attributes
    ----------
    day : datetime.date
        The day of the moment, UTC.
    used : float
        Active seats, or units of the trailing month.
    limit_value : float or None
        Licensed seats, or the usage limit; None where none is agreed, or the contract is not paid.
    tier_1 : bool
        Whether the rule of tier 1 for this limit holds.
    ended : bool
        Whether the contract has ended.
    """

    day: date
    used: float
    limit_value: float | None
    tier_1: bool = False
    ended: bool = False

    @property
    def utilization(self) -> float | None:
        """Used ÷ limit, not clipped; None where there is no limit in force."""
        return self.used / self.limit_value if self.limit_value and not self.ended else None


@dataclass(frozen=True)
class OpenAlert:
    """An open signal: its level (a place in ``LEVELS``), since when, and the limit as it was."""

    severity: int
    opened_on: date
    limit_value: float


@dataclass(frozen=True)
class ThresholdState:
    """What is remembered of one limit of one account.

    Attributes
    ----------
    streaks : tuple
        Per level the first and the last of the days in a row that reached it; None: none of late.
    last_pressure_on : datetime.date or None
        The last day with pressure.
    alert_count : int
        Signals so far.
    open_alert : Open or None
        The open one.
    latched : bool
        The last one expired, and the pressure has not left since: it is not raised again.
    """

    streaks: tuple[tuple[date, date] | None, ...] = (None, None, None)
    last_pressure_on: date | None = None
    alert_count: int = 0
    open_alert: OpenAlert | None = None
    latched: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Say it in JSON values."""
        current = self.open_alert
        return {
            "runs": [run and [str(day) for day in run] for run in self.streaks],
            "pressed_on": self.last_pressure_on and str(self.last_pressure_on),
            "number": self.alert_count,
            "open": current and [current.severity, str(current.opened_on), current.limit_value],
            "spent": self.latched,
        }

    @classmethod
    def from_dict(cls, payload: dict[str, Any]) -> ThresholdState:
        """Read what :meth:`told` said."""
        current = payload["open"]
        return cls(
            tuple(run and (_parse_day(run[0]), _parse_day(run[1])) for run in payload["runs"]),
            payload["pressed_on"] and _parse_day(payload["pressed_on"]),
            payload["number"],
            current and OpenAlert(current[0], _parse_day(current[1]), current[2]),
            payload["spent"],
        )


@dataclass(frozen=True)
class AlertTransition:
    """What happened to the signal of that number.

    ``ending`` of one that closed: ``expanded``, ``lapsed``, ``relieved`` or ``expired``.
    """

    kind: Literal["opened", "escalated", "closed"]
    number: int
    severity: int
    ending: str | None = None


def advance_threshold(
    state: ThresholdState, reading: UtilizationReading, rules: Alerts
) -> tuple[ThresholdState, list[AlertTransition]]:
    """Carry one limit on by a reading.

    The same reading twice changes nothing the second time; a reading of an earlier day than one
    that counted changes nothing at all.

    Parameters
    ----------
    state : Watch
        What is remembered.
    reading : Reading
        How full the limit is.
    rules : data.config.settings.Triggers
        Levels, days, and when the pressure has left.

    Returns
    -------
    ThresholdState
        What is remembered next.
    list of Change
        In order: a signal may close and, against the new limit, the next one open.
    """
    if any(day > reading.day for day in _iter_recorded_days(state)):
        return state, []
    state, from_limit = _close_on_limit_change(state, reading)
    state, from_time = _clear_or_expire(state, reading.day, rules)
    state = _update_streaks(state, reading, rules)
    state, from_severity = _open_or_escalate(state, reading, rules)
    return state, [*from_limit, *from_time, *from_severity]


def _close_on_limit_change(
    state: ThresholdState, reading: UtilizationReading
) -> tuple[ThresholdState, list[AlertTransition]]:
    """Close a signal whose limit has risen, or is no more; days under the old limit say no more."""
    current = state.open_alert
    if current is None:
        return (
            (ThresholdState(alert_count=state.alert_count), [])
            if not reading.limit_value
            else (state, [])
        )
    if reading.ended:
        ending = "lapsed"
    elif not reading.limit_value:
        ending = "relieved"
    elif reading.limit_value > current.limit_value:
        ending = "expanded"
    else:
        return state, []
    return ThresholdState(alert_count=state.alert_count), [_build_closing(state, current, ending)]


def _clear_or_expire(
    state: ThresholdState, day: date, rules: Alerts
) -> tuple[ThresholdState, list[AlertTransition]]:
    """Close what the days before this one have ended; so it does not matter when it is asked.

    A limit that is calm leaves no trace but its number.
    """
    current = state.open_alert
    if (
        state.last_pressure_on is None
        or (day - state.last_pressure_on).days > rules.clear_after_days
    ):
        cleared = replace(state, last_pressure_on=None, latched=False, open_alert=None)
        return cleared, [] if current is None else [_build_closing(state, current, "relieved")]
    if current is not None and (day - current.opened_on).days >= rules.expiry_days:
        return replace(state, open_alert=None, latched=True), [
            _build_closing(state, current, "expired")
        ]
    return state, []


def _build_closing(state: ThresholdState, current: OpenAlert, ending: str) -> AlertTransition:
    return AlertTransition("closed", state.alert_count, current.severity, ending)


def _update_streaks(
    state: ThresholdState, reading: UtilizationReading, rules: Alerts
) -> ThresholdState:
    """Note for each level whether the day reached it."""
    utilization = reading.utilization
    if utilization is None:
        return state
    tier_1_fires = reading.tier_1 and rules.tier_1
    streaks = tuple(
        _extend_streak(run, reading.day)
        if utilization >= line or (tier_1_fires and level == _PRIORITY)
        else _drop_broken_streak(run, reading.day)
        for level, (run, (line, _)) in enumerate(zip(state.streaks, rules.severities, strict=True))
    )
    under_pressure = utilization >= rules.clear_threshold or tier_1_fires
    return replace(
        state,
        streaks=streaks,
        last_pressure_on=reading.day if under_pressure else state.last_pressure_on,
    )


def _extend_streak(streak: tuple[date, date] | None, day: date) -> tuple[date, date]:
    """The run with this day in it; a day left out begins a new one."""
    return (streak[0] if streak and (day - streak[1]).days <= 1 else day, day)


def _drop_broken_streak(streak: tuple[date, date] | None, day: date) -> tuple[date, date] | None:
    """The run, as long as this day may still go on with it."""
    return streak if streak and (day - streak[1]).days <= 1 else None


def _find_severity(state: ThresholdState, reading: UtilizationReading, rules: Alerts) -> int | None:
    """The highest level that today and enough days before it have reached."""
    severities = [
        level
        for level, (run, (_, days)) in enumerate(zip(state.streaks, rules.severities, strict=True))
        if run and run[1] == reading.day and (run[1] - run[0]).days + 1 >= days
    ]
    return max(severities, default=None)


def _open_or_escalate(
    state: ThresholdState, reading: UtilizationReading, rules: Alerts
) -> tuple[ThresholdState, list[AlertTransition]]:
    """Open a signal, or escalate the open one."""
    severity, current = _find_severity(state, reading, rules), state.open_alert
    if severity is None or state.latched or not reading.limit_value:
        return state, []
    if current is None:
        number = state.alert_count + 1
        opened = OpenAlert(severity, reading.day, reading.limit_value)
        return replace(state, alert_count=number, open_alert=opened), [
            AlertTransition("opened", number, severity)
        ]
    if severity <= current.severity:
        return state, []
    escalated = replace(state, open_alert=replace(current, severity=severity))
    return escalated, [AlertTransition("escalated", state.alert_count, severity)]


def _iter_recorded_days(state: ThresholdState) -> Iterator[date]:
    yield from (run[1] for run in state.streaks if run)
    if state.last_pressure_on:
        yield state.last_pressure_on
    if state.open_alert:
        yield state.open_alert.opened_on


def _parse_day(text: str) -> date:
    return date.fromisoformat(text)
