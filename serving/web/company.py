"""What is the same for every book: how the list came about, the model, the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from serving.state.database import reading
from serving.state.schema import RUNS, SENDS

__all__ = ["Health", "Reasons", "figures", "health", "refused", "run_of", "runs"]

Health = list[str]  # what is not well with a run, a sentence each
Reasons = list[tuple[str, int]]  # with how many each holds for, the most first
_RUNS: Final = 60
_REFUSED: Final = 0.05  # of the events: beyond it is told


def run_of(engine: sa.Engine, as_of: date) -> dict[str, Any]:
    """Give the record of the last run of an as-of; see :func:`serving.record.record`."""
    query = sa.select(RUNS).where(RUNS.c.as_of == as_of).order_by(RUNS.c.id.desc()).limit(1)
    with reading(engine) as connection:
        found = connection.execute(query).mappings().first()
    return dict(found) if found else {"record": {}}


def figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Give the figures of what ranks the list: a model, or the simple ranking in its place.

    How near a simple ranking's probability comes to the truth is read from its bands.
    """
    ranking = record.get("ranking")
    told = record.get("card", {}).get("figures", {}).get(ranking or "model", {})
    found = {name: value for name, value in told.items() if value is not None}
    if ranking is None:
        return found
    seen = [(each["snapshots"], each["value"], each["expected"]) for each in record["bands"]]
    expected = sum(count * said for count, _, said in seen)
    if expected > 0:
        found["observed_to_expected"] = sum(count * true for count, true, _ in seen) / expected
    return found


def runs(engine: sa.Engine) -> list[dict[str, Any]]:
    """Give the last runs, newest first, each with the sendings that began after it."""
    with reading(engine) as connection:
        found = [
            dict(row)
            for row in connection.execute(
                sa.select(RUNS).order_by(RUNS.c.id.desc()).limit(_RUNS)
            ).mappings()
        ]
        sent = [
            dict(row)
            for row in connection.execute(
                sa.select(SENDS).order_by(SENDS.c.id.desc()).limit(5 * _RUNS)
            ).mappings()
        ]
    until = None
    for run in found:
        run["sends"] = [
            each
            for each in sent
            if each["started_at"] >= run["finished_at"]
            and (until is None or each["started_at"] < until)
        ]
        until = run["finished_at"]
        run["health"] = health(run)
        run["refused"] = refused(run["record"])
        run["left_out"] = _ordered(run["record"].get("excluded", {}))
    return found


def refused(record: Mapping[str, Any]) -> Reasons:
    """Say why rows of the tables were refused, each reason with its table."""
    return _ordered(
        {
            f"{table}: {reason}": count
            for table, reasons in record.get("quarantine", {}).items()
            for reason, count in reasons.items()
        }
    )


def _ordered(reasons: Mapping[str, int]) -> Reasons:
    """The most frequent first; what never happened is left out."""
    found = [(reason, count) for reason, count in reasons.items() if count]
    return sorted(found, key=lambda each: (-each[1], each[0]))


def health(run: dict[str, Any]) -> Health:
    """Say what is not well with a run, a sentence each; nothing where all is."""
    record = run["record"]
    log, promotion = record.get("log", {}), record.get("promotion") or {}
    missing = log.get("days_missing", 0)
    refused = sum(record.get("quarantine", {}).get("events", {}).values())
    found = {
        f"The log ended {missing} {'day' if missing == 1 else 'days'} before.": missing,
        f"{refused:,} events were refused.": refused > _REFUSED * max(log.get("events", 0), 1),
        "Its model was trained later than this day: it knows what came after.": record.get(
            "hindsight"
        ),
        "Its model was promoted against the gate.": promotion.get("forced"),
        "The CRM did not tell whom humans had dealt with.": record.get("unasked"),
    }
    return [told for told, holds in found.items() if holds] + _unsent(run.get("sends", ()))


def _unsent(sends: Sequence[Mapping[str, Any]]) -> Health:
    told: Health = []
    for each in sends:
        if each["words"]:
            told.append(f"Sending to {each['target']} stopped early: {each['words']}")
        if rejected := (each["counts"] or {}).get("rejected"):
            told.append(f"{each['target']} would not take {rejected}.")
    return told
