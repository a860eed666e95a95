"""How a list came about: model, data window, counts, quarantine."""

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
    """Say how a list came about: model, data window, counts, quarantine; JSON values."""
    card = {} if model is None else model.card
    small_tables = {name: getattr(tables, name) for name in ("subscriptions", "accounts", "users")}
    return {
        "model": cold_start.MODEL_NAME if model is None else model.display_name,
        "basis": _describe_ranking_basis(model, scored_list),
        # The simple ranking that serves; null where a model or the tier rules do.
        "ranking": model.model.ranking
        if model and isinstance(model.model, CalibratedRanking)
        else None,
        "promotion": None if model is None else model.promotion,
        "verdict": _describe_verdict(model),
        "card": _summarize_card(card),
        # Of the accounts in a band, how many expanded when the same was said of them before.
        "bands": band_history.get_band_history(model),
        # A model that was trained later than the as-of knows what came after it.
        "hindsight": str(card.get("as_of", "")) > f"{as_of:%Y-%m-%d}",
        "log": {
            "first_day": str(log.first_day),
            "last_day": str(log.last_day),
            "events": log.events,
            "days_missing": compute_log_age(log, as_of),
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
    """What the page of the model shows of its card, without opening the registry."""
    names = ("as_of", "as_ofs", "snapshots", "accounts", "expansions_by_kind", "churn_note")
    summary = {name: card[name] for name in names if name in card}
    metrics = card.get("figures", {})
    gate = card.get("gate", {})
    segments = card.get("segments", {})
    return summary | {
        "segments": {
            kind: {name: _summarize_segment(each) for name, each in found.items()}
            for kind, found in segments.items()
            if len(found) > 1
        },
        "figures": {name: {key: of.get(key) for key in _METRICS} for name, of in metrics.items()},
        "gate": {"passes": gate.get("passes"), "sentence": gate.get("sentence")},
    }


def _summarize_segment(segment: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: segment[name] for name in ("snapshots", "expanded")}
    return counts | {name: segment["figures"][name] for name in _SEGMENT_METRICS}


def _describe_ranking_basis(model: RegisteredModel | None, scored_list: ScoredList) -> str:
    """Say by what the accounts are ranked, as a clause."""
    if model is not None and scored_list.rank_by in ranking.REVENUE_RANKINGS:
        unknown = scored_list.accounts["expected_arr"].null_count()
        last = f"; {unknown:,} without revenue on file come last" if unknown else ""
        return f"{ranking.REVENUE_RANKINGS[scored_list.rank_by]}, {_describe_probability_source(model)}{last}"
    return _describe_probability_source(model)


def _describe_probability_source(model: RegisteredModel | None) -> str:
    """Say by what the chances are."""
    if model is None:
        return "by the tier rules and utilisation, without a probability"
    if isinstance(model.model, CalibratedRanking):
        return (
            f"by {model.model.ranking}, the best simple ranking of the past, with a probability"
            f" calibrated on it (kept with model version {model.version})"
        )
    text = f"by model version {model.version}"
    if model.promotion and model.promotion["forced"]:
        promotion = model.promotion
        text += f", promoted against the gate by {promotion['by']} on {promotion['at']}: {promotion['reason']}"
    return text


def _describe_verdict(model: RegisteredModel | None) -> str:
    if model is None:
        return "No model was ever trained: run `expansion train` once outcomes are known."
    if isinstance(model.model, CalibratedRanking):
        decision = model.card.get("gate", {}).get("sentence", "It was not judged.")
        return f"No model has been promoted. Of version {model.version}: {decision}"
    return str(model.card.get("verdict", "Not judged."))


def compute_log_age(log: Activity, as_of: datetime) -> int:
    """Whole days before the as-of that the log does not cover."""
    return max((as_of.date() - log.last_day).days - 1, 0) if log.last_day else 0
