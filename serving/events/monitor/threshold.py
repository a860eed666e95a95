"""Threshold state machine with hysteresis: at most one open alert per account and limit.

The functions are pure: a state and a reading give the next state and the transitions. Readings come
from events and from the clock; days are UTC days. A day counts as above a threshold if any of its
readings was, so the order and grouping of events within a day do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final, Literal, NamedTuple

from pydantic import TypeAdapter

from data.config.settings import AlertsConfig

__all__ = [
    "AlertTransition",
    "OpenAlert",
    "ThresholdState",
    "UtilizationReading",
    "advance_threshold",
]

_PRIORITY: Final = 1


@dataclass(frozen=True)
class UtilizationReading:
    """Utilization of one limit on a UTC day.

    ``used`` are active seats, or units in the trailing month. ``limit_value`` is None without a
    limit or a paid contract. ``tier_1``: the tier 1 rule of this limit fires; ``ended``: the
    contract has ended.
    """

    day: date
    used: float
    limit_value: float | None
    tier_1: bool = False
    ended: bool = False

    @property
    def utilization(self) -> float | None:
        """Used ÷ limit, not clipped; None without an active limit."""
        return self.used / self.limit_value if self.limit_value and not self.ended else None


class OpenAlert(NamedTuple):
    """An open alert: severity (index of ``SEVERITIES``), opening day, limit on that day."""

    severity: int
    opened_on: date
    limit_value: float


@dataclass(frozen=True)
class ThresholdState:
    """State of one limit of one account.

    ``streaks`` hold per severity the first and last of the consecutive days that reached it.
    ``last_pressure_on`` is the last day above the clear threshold, or with tier 1. ``latched``:
    the last alert expired and utilization has not cleared since, so no new alert is raised.
    """

    streaks: tuple[tuple[date, date] | None, ...] = (None, None, None)
    last_pressure_on: date | None = None
    alert_count: int = 0
    open_alert: OpenAlert | None = None
    latched: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        payload: dict[str, Any] = _STATE_ADAPTER.dump_python(self, mode="json")
        return payload

    @classmethod
    def from_dict(cls, payload: dict[str, Any]) -> ThresholdState:
        """Build a state from the output of :meth:`to_dict`."""
        return _STATE_ADAPTER.validate_python(payload)


_STATE_ADAPTER: Final = TypeAdapter(ThresholdState)


@dataclass(frozen=True)
class AlertTransition:
    """One transition of an alert, identified by its number.

    ``close_reason`` of a closed alert is ``expanded``, ``lapsed``, ``relieved`` or ``expired``.
    """

    kind: Literal["opened", "escalated", "closed"]
    number: int
    severity: int
    close_reason: str | None = None


def advance_threshold(
    state: ThresholdState, reading: UtilizationReading, rules: AlertsConfig
) -> tuple[ThresholdState, list[AlertTransition]]:
    """Advance the state of one limit by one reading.

    Idempotent: repeating a reading changes nothing. A reading older than the latest recorded day is
    ignored. The transitions are in order: an alert may close and, against the new limit, the next
    one open.
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
    """Close the alert if the limit rose or no longer exists, and reset the streaks."""
    current, reset = state.open_alert, ThresholdState(alert_count=state.alert_count)
    if current is None:
        return (state if reading.limit_value else reset), []
    if reading.ended:
        close_reason = "lapsed"
    elif not reading.limit_value:
        close_reason = "relieved"
    elif reading.limit_value > current.limit_value:
        close_reason = "expanded"
    else:
        return state, []
    return reset, [_build_closing(state, current, close_reason)]


def _clear_or_expire(
    state: ThresholdState, day: date, rules: AlertsConfig
) -> tuple[ThresholdState, list[AlertTransition]]:
    """Close an alert that cleared or expired before this day, whenever the reading arrives.

    A limit below the clear threshold keeps only its alert count.
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


def _build_closing(state: ThresholdState, current: OpenAlert, close_reason: str) -> AlertTransition:
    return AlertTransition("closed", state.alert_count, current.severity, close_reason)


def _update_streaks(
    state: ThresholdState, reading: UtilizationReading, rules: AlertsConfig
) -> ThresholdState:
    """Extend or break the streak of each severity with this reading."""
    utilization = reading.utilization
    if utilization is None:
        return state
    tier_1_fires = reading.tier_1 and rules.tier_1
    streaks = tuple(
        _update_streak(
            streak,
            reading.day,
            is_reached=utilization >= threshold or (tier_1_fires and severity == _PRIORITY),
        )
        for severity, (streak, (threshold, _)) in enumerate(
            zip(state.streaks, rules.severities, strict=True)
        )
    )
    under_pressure = utilization >= rules.clear_threshold or tier_1_fires
    return replace(
        state,
        streaks=streaks,
        last_pressure_on=reading.day if under_pressure else state.last_pressure_on,
    )


def _update_streak(
    streak: tuple[date, date] | None, day: date, *, is_reached: bool
) -> tuple[date, date] | None:
    """Return the streak after a day; a gap breaks it, a day below the threshold not yet."""
    if streak and (day - streak[1]).days > 1:
        streak = None
    if not is_reached:
        return streak
    return (streak[0] if streak else day, day)


def _find_severity(
    state: ThresholdState, reading: UtilizationReading, rules: AlertsConfig
) -> int | None:
    """Return the highest severity reached today for enough consecutive days."""
    severities = [
        severity
        for severity, (streak, (_, days)) in enumerate(
            zip(state.streaks, rules.severities, strict=True)
        )
        if streak and streak[1] == reading.day and (streak[1] - streak[0]).days + 1 >= days
    ]
    return max(severities, default=None)


def _open_or_escalate(
    state: ThresholdState, reading: UtilizationReading, rules: AlertsConfig
) -> tuple[ThresholdState, list[AlertTransition]]:
    """Open an alert, or escalate the open one."""
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
    escalated = replace(state, open_alert=current._replace(severity=severity))
    return escalated, [AlertTransition("escalated", state.alert_count, severity)]


def _iter_recorded_days(state: ThresholdState) -> Iterator[date]:
    yield from (streak[1] for streak in state.streaks if streak)
    if state.last_pressure_on:
        yield state.last_pressure_on
    if state.open_alert:
        yield state.open_alert.opened_on
