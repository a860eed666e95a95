"""Status of runs and of the model behind the list, the same for every portfolio."""

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

Problems = list[str]  # one sentence each
ReasonCounts = list[tuple[str, int]]  # reason and count, most frequent first
_MAX_RUNS: Final = 60
_MAX_REJECTED_SHARE: Final = 0.05  # of the events; more is a problem


def load_run(engine: sa.Engine, as_of: date) -> dict[str, Any]:
    """Load the last run of an as-of date.

    See :func:`serving.scoring.run_record.build_run_record` for its ``record``.
    """
    query = sa.select(RUNS).where(RUNS.c.as_of == as_of).order_by(RUNS.c.id.desc()).limit(1)
    with read_transaction(engine) as connection:
        row = connection.execute(query).mappings().first()
    return dict(row) if row else {"record": {}}


def get_ranking_metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of what ranks the list: a model, or the fallback ranking.

    The observed-to-expected ratio of a fallback ranking is computed from its bands.
    """
    ranking = record.get("ranking")
    card_metrics = record.get("card", {}).get("metrics", {}).get(ranking or "model", {})
    metrics = {name: value for name, value in card_metrics.items() if value is not None}
    if ranking is None:
        return metrics
    bands = [(band["snapshots"], band["value"], band["expected"]) for band in record["bands"]]
    expected = sum(count * predicted for count, _, predicted in bands)
    if expected > 0:
        metrics["observed_to_expected"] = (
            sum(count * observed for count, observed, _ in bands) / expected
        )
    return metrics


def load_runs(engine: sa.Engine) -> list[dict[str, Any]]:
    """Load the last runs, newest first, each with the sync runs that started after it."""
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
        run["sync_runs"] = [
            sync_run
            for sync_run in sync_runs
            if sync_run["started_at"] >= run["finished_at"]
            and (until is None or sync_run["started_at"] < until)
        ]
        until = run["finished_at"]
        run["problems"] = list_run_problems(run)
        run["rejected"] = count_quarantine_reasons(run["record"])
        run["not_listed"] = _sort_reasons(run["record"].get("excluded", {}))
    return run_rows


def count_quarantine_reasons(record: Mapping[str, Any]) -> ReasonCounts:
    """Return the reasons for rejected table rows, each with its table and count."""
    return _sort_reasons(
        {
            f"{table}: {reason}": count
            for table, reasons in record.get("quarantine", {}).items()
            for reason, count in reasons.items()
        }
    )


def _sort_reasons(reasons: Mapping[str, int]) -> ReasonCounts:
    """Return the reasons with a positive count, most frequent first."""
    counts = [(reason, count) for reason, count in reasons.items() if count]
    return sorted(counts, key=lambda reason_count: (-reason_count[1], reason_count[0]))


def list_run_problems(run: dict[str, Any]) -> Problems:
    """Return the problems of a run, one sentence each."""
    record = run["record"]
    log, promotion = record.get("log", {}), record.get("promotion") or {}
    missing = log.get("missing_days", 0)
    unit = "day" if missing == 1 else "days"
    rejected = sum(record.get("quarantine", {}).get("events", {}).values())
    checks = {
        f"The log ends {missing} {unit} before the list date.": missing,
        f"{rejected:,} events were rejected.": rejected
        > _MAX_REJECTED_SHARE * max(log.get("events", 0), 1),
        "The model was trained after this date and has seen later data.": record.get("lookahead"),
        "The model was promoted by overriding the gate.": promotion.get("forced"),
        "Human activity could not be read from the CRM.": record.get("activity_error"),
    }
    return [text for text, holds in checks.items() if holds] + _list_sync_problems(
        run.get("sync_runs", ())
    )


def _list_sync_problems(sync_runs: Sequence[Mapping[str, Any]]) -> Problems:
    problems: Problems = []
    for sync_run in sync_runs:
        if sync_run["stop_reason"]:
            problems.append(
                f"Sync to {sync_run['target']} stopped early: {sync_run['stop_reason']}"
            )
        if rejected := (sync_run["counts"] or {}).get("rejected"):
            problems.append(f"{sync_run['target']} rejected {rejected}.")
    return problems
