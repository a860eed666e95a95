"""What is the same for every book: how the list came about, the model, the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from serving.store.engine import read_transaction
from serving.store.schema import RUNS, SYNC_RUNS

__all__ = [
    "Problems",
    "ReasonCounts",
    "count_quarantine_reasons",
    "get_ranking_metrics",
    "list_run_problems",
    "load_run",
    "load_runs",
]

Problems = list[str]  # what is not well with a run, a sentence each
ReasonCounts = list[tuple[str, int]]  # with how many each holds for, the most first
_MAX_RUNS: Final = 60
_MAX_REJECTED_SHARE: Final = 0.05  # of the events: beyond it is told


def load_run(engine: sa.Engine, as_of: date) -> dict[str, Any]:
    """Give the record of the last run of an as-of; see :func:`serving.scoring.run_record.build_run_record`."""
    query = sa.select(RUNS).where(RUNS.c.as_of == as_of).order_by(RUNS.c.id.desc()).limit(1)
    with read_transaction(engine) as connection:
        row = connection.execute(query).mappings().first()
    return dict(row) if row else {"record": {}}


def get_ranking_metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Give the figures of what ranks the list: a model, or the simple ranking in its place.

    How near a simple ranking's probability comes to the truth is read from its bands.
    """
    ranking = record.get("ranking")
    card_metrics = record.get("card", {}).get("figures", {}).get(ranking or "model", {})
    metrics = {name: value for name, value in card_metrics.items() if value is not None}
    if ranking is None:
        return metrics
    bands = [(each["snapshots"], each["value"], each["expected"]) for each in record["bands"]]
    expected = sum(count * predicted for count, _, predicted in bands)
    if expected > 0:
        metrics["observed_to_expected"] = (
            sum(count * observed for count, observed, _ in bands) / expected
        )
    return metrics


def load_runs(engine: sa.Engine) -> list[dict[str, Any]]:
    """Give the last runs, newest first, each with the sendings that began after it."""
    with read_transaction(engine) as connection:
        run_rows = [
            dict(row)
            for row in connection.execute(
                sa.select(RUNS).order_by(RUNS.c.id.desc()).limit(_MAX_RUNS)
            ).mappings()
        ]
        sync_runs = [
            dict(row)
            for row in connection.execute(
                sa.select(SYNC_RUNS).order_by(SYNC_RUNS.c.id.desc()).limit(5 * _MAX_RUNS)
            ).mappings()
        ]
    until = None
    for run in run_rows:
        run["sends"] = [
            each
            for each in sync_runs
            if each["started_at"] >= run["finished_at"]
            and (until is None or each["started_at"] < until)
        ]
        until = run["finished_at"]
        run["health"] = list_run_problems(run)
        run["refused"] = count_quarantine_reasons(run["record"])
        run["left_out"] = _sort_reasons(run["record"].get("excluded", {}))
    return run_rows


def count_quarantine_reasons(record: Mapping[str, Any]) -> ReasonCounts:
    """Say why rows of the tables were refused, each reason with its table."""
    return _sort_reasons(
        {
            f"{table}: {reason}": count
            for table, reasons in record.get("quarantine", {}).items()
            for reason, count in reasons.items()
        }
    )


def _sort_reasons(reasons: Mapping[str, int]) -> ReasonCounts:
    """The most frequent first; what never happened is left out."""
    counts = [(reason, count) for reason, count in reasons.items() if count]
    return sorted(counts, key=lambda each: (-each[1], each[0]))


def list_run_problems(run: dict[str, Any]) -> Problems:
    """Say what is not well with a run, a sentence each; nothing where all is."""
    record = run["record"]
    log, promotion = record.get("log", {}), record.get("promotion") or {}
    missing = log.get("days_missing", 0)
    rejected = sum(record.get("quarantine", {}).get("events", {}).values())
    checks = {
        f"The log ended {missing} {'day' if missing == 1 else 'days'} before.": missing,
        f"{rejected:,} events were refused.": rejected
        > _MAX_REJECTED_SHARE * max(log.get("events", 0), 1),
        "Its model was trained later than this day: it knows what came after.": record.get(
            "hindsight"
        ),
        "Its model was promoted against the gate.": promotion.get("forced"),
        "The CRM did not tell whom humans had dealt with.": record.get("unasked"),
    }
    return [text for text, holds in checks.items() if holds] + _list_sync_problems(
        run.get("sends", ())
    )


def _list_sync_problems(sends: Sequence[Mapping[str, Any]]) -> Problems:
    problems: Problems = []
    for each in sends:
        if each["words"]:
            problems.append(f"Sending to {each['target']} stopped early: {each['words']}")
        if rejected := (each["counts"] or {}).get("rejected"):
            problems.append(f"{each['target']} would not take {rejected}.")
    return problems
