"""Status of runs and of the model behind the list, the same for every portfolio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa

from serving.store.engine import read_transaction
from serving.store.schema import RUNS, SYNC_RUNS

__all__ = ["count_quarantine_reasons", "get_ranking_metrics", "load_runs"]

_MAX_RUNS: Final = 60
_MAX_REJECTED_SHARE: Final = 0.05  # of the events; more is a problem


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
    """Load the last runs, newest first, with their problems, one sentence each.

    Each run has the sync runs that started after it, and the reasons for rejected rows and for
    accounts that are not listed, with their counts.
    """
    runs_query = sa.select(RUNS).order_by(RUNS.c.id.desc()).limit(_MAX_RUNS)
    sync_query = sa.select(SYNC_RUNS).order_by(SYNC_RUNS.c.id.desc()).limit(5 * _MAX_RUNS)
    with read_transaction(engine) as connection:
        runs = [dict(row) for row in connection.execute(runs_query).mappings()]
        sync_runs = connection.execute(sync_query).mappings().all()
    until = None
    for run in runs:
        run["sync_runs"] = [
            sync_run
            for sync_run in sync_runs
            if sync_run["started_at"] >= run["finished_at"]
            and (until is None or sync_run["started_at"] < until)
        ]
        until = run["finished_at"]
        run["problems"] = [*_list_run_problems(run["record"]), *_list_sync_problems(run)]
        run["rejected"] = count_quarantine_reasons(run["record"])
        run["not_listed"] = _sort_reasons(run["record"].get("excluded", {}))
    return runs


def count_quarantine_reasons(record: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the reasons for rejected table rows with their counts, most frequent first."""
    return _sort_reasons(
        {
            f"{table}: {reason}": count
            for table, reasons in record.get("quarantine", {}).items()
            for reason, count in reasons.items()
        }
    )


def _sort_reasons(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons with a positive count, most frequent first."""
    counts = [(reason, count) for reason, count in reasons.items() if count]
    return sorted(counts, key=lambda reason_count: (-reason_count[1], reason_count[0]))


def _list_run_problems(record: Mapping[str, Any]) -> list[str]:
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
    return [text for text, holds in checks.items() if holds]


def _list_sync_problems(run: Mapping[str, Any]) -> Iterator[str]:
    for sync_run in run["sync_runs"]:
        if sync_run["stop_reason"]:
            yield f"Sync to {sync_run['target']} stopped early: {sync_run['stop_reason']}"
        if rejected := (sync_run["counts"] or {}).get("rejected"):
            yield f"{sync_run['target']} rejected {rejected}."
