"""Run record: model, data window, counts and quarantine behind a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from data.ingest import table_loader
from features.activity.daily_tables import Activity
from serving.scoring import cold_start, ranking
from serving.scoring.text import band_history
from training.pipeline.fallback_ranking import CalibratedRanking
from training.registry import RegisteredModel

if TYPE_CHECKING:
    from serving.scoring.score import ScoredList

__all__ = ["build_run_record", "compute_log_age"]

_METRICS: Final = (
    *("precision_at_capacity", "auroc", "average_precision"),
    *("log_loss_skill", "calibration_error", "observed_to_expected"),
)
_SEGMENT_METRICS: Final = ("auroc", "precision_at_capacity", "observed_to_expected")


def build_run_record(
    scored_list: ScoredList,
    model: RegisteredModel | None,
    tables: table_loader.Tables,
    log: Activity,
    as_of: datetime,
) -> dict[str, Any]:
    """Build the JSON record of a scoring run: model, data window, counts, quarantine."""
    card = {} if model is None else model.card
    small_tables = {name: getattr(tables, name) for name in ("subscriptions", "accounts", "users")}
    return {
        "model": cold_start.MODEL_NAME if model is None else model.display_name,
        "basis": _describe_ranking_basis(model, scored_list),
        # The baseline in use; null where a model or the tier rules rank.
        "ranking": (
            model.model.ranking if model and isinstance(model.model, CalibratedRanking) else None
        ),
        "promotion": None if model is None else model.promotion,
        "verdict": _describe_verdict(model),
        "card": _summarize_card(card),
        # Observed expansions per probability band.
        "bands": band_history.get_band_history(model),
        # A model trained after the as-of has seen later data.
        "lookahead": str(card.get("as_of", "")) > f"{as_of:%Y-%m-%d}",
        "log": {
            "first_day": str(log.first_day),
            "last_day": str(log.last_day),
            "events": log.events,
            "missing_days": compute_log_age(log, as_of),
        },
        "capacity": None if scored_list.csm_capacity is None else asdict(scored_list.csm_capacity),
        "listed": scored_list.accounts.height,
        "excluded": scored_list.count_exclusions(),
        "quarantine": {
            "events": dict(log.quarantine),
            **{name: dict(table.quarantine) for name, table in small_tables.items()},
        },
    }


def _summarize_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of the model card that the status page shows."""
    names = ("as_of", "as_ofs", "snapshots", "accounts", "expansions_by_kind", "churn_note")
    summary = {name: card[name] for name in names if name in card}
    metrics = card.get("metrics", {})
    gate = card.get("gate", {})
    segments = card.get("segments", {})
    return summary | {
        "segments": {
            kind: {name: _summarize_segment(segment) for name, segment in by_name.items()}
            for kind, by_name in segments.items()
            if len(by_name) > 1
        },
        "metrics": {
            name: {key: values.get(key) for key in _METRICS} for name, values in metrics.items()
        },
        "gate": {"passes": gate.get("passes"), "summary": gate.get("summary")},
    }


def _summarize_segment(segment: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: segment[name] for name in ("snapshots", "expanded")}
    return counts | {name: segment["metrics"][name] for name in _SEGMENT_METRICS}


def _describe_ranking_basis(model: RegisteredModel | None, scored_list: ScoredList) -> str:
    """Return a clause that names the ranking criterion."""
    if model is not None and scored_list.rank_by in ranking.REVENUE_RANKINGS:
        unknown = scored_list.accounts["expected_arr"].null_count()
        last = f"; {unknown:,} without revenue on file come last" if unknown else ""
        criterion = ranking.REVENUE_RANKINGS[scored_list.rank_by]
        return f"{criterion}, {_describe_probability_source(model)}{last}"
    return _describe_probability_source(model)


def _describe_probability_source(model: RegisteredModel | None) -> str:
    """Return a clause that names the source of the probabilities."""
    if model is None:
        return "by the tier rules and utilization, without a probability"
    if isinstance(model.model, CalibratedRanking):
        return (
            f"by {model.model.ranking}, the best baseline in validation, with a calibrated"
            f" probability (stored with model version {model.version})"
        )
    text = f"by model version {model.version}"
    if model.promotion and model.promotion["forced"]:
        promotion = model.promotion
        text += (
            f", promoted against the gate by {promotion['promoted_by']} on"
            f" {promotion['promoted_at']}: {promotion['reason']}"
        )
    return text


def _describe_verdict(model: RegisteredModel | None) -> str:
    if model is None:
        return "No model has been trained yet: run `expansion train` once outcomes are known."
    if isinstance(model.model, CalibratedRanking):
        decision = model.card.get("gate", {}).get("summary", "It was not evaluated.")
        return f"No model has been promoted. Version {model.version}: {decision}"
    return str(model.card.get("verdict", "Not evaluated."))


def compute_log_age(log: Activity, as_of: datetime) -> int:
    """Return the number of whole days before the as-of that the log does not cover."""
    return max((as_of.date() - log.last_day).days - 1, 0) if log.last_day else 0
