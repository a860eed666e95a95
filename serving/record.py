"""How a list came about: model, data window, counts, quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from data import sources
from features.activity import Activity
from serving import cold
from serving.lines import bands, ranking
from training.registry import Registered
from training.simple import Simple

if TYPE_CHECKING:
    from serving.score import Scored

__all__ = ["age_days", "record"]

_FIGURES: Final = (
    *("precision_at_capacity", "auroc", "average_precision"),
    *("log_loss_skill", "calibration_error", "observed_to_expected"),
)
_PER_KIND: Final = ("auroc", "precision_at_capacity", "observed_to_expected")


def record(
    scored: Scored,
    model: Registered | None,
    tables: sources.Tables,
    log: Activity,
    as_of: datetime,
) -> dict[str, Any]:
    """Say how a list came about: model, data window, counts, quarantine; JSON values."""
    card = {} if model is None else model.card
    small = {name: getattr(tables, name) for name in ("subscriptions", "accounts", "users")}
    return {
        "model": cold.CALLED if model is None else model.called,
        "basis": _basis(model, scored),
        # The simple ranking that serves; null where a model or the tier rules do.
        "ranking": model.model.ranking if model and isinstance(model.model, Simple) else None,
        "promotion": None if model is None else model.promotion,
        "verdict": _verdict(model),
        "card": _card(card),
        # Of the accounts in a band, how many expanded when the same was said of them before.
        "bands": bands.known(model),
        # A model that was trained later than the as-of knows what came after it.
        "hindsight": str(card.get("as_of", "")) > f"{as_of:%Y-%m-%d}",
        "log": {
            "first_day": str(log.first_day),
            "last_day": str(log.last_day),
            "events": log.events,
            "days_missing": age_days(log, as_of),
        },
        "capacity": None if scored.weekly is None else asdict(scored.weekly),
        "listed": scored.accounts.height,
        "excluded": scored.excluded(),
        "quarantine": {
            "events": dict(log.quarantine),
            **{name: dict(table.quarantine) for name, table in small.items()},
        },
    }


def _card(card: Mapping[str, Any]) -> dict[str, Any]:
    """What the page of the model shows of its card, without opening the registry."""
    names = ("as_of", "as_ofs", "snapshots", "accounts", "expansions_by_kind", "churn_note")
    told = {name: card[name] for name in names if name in card}
    figures = card.get("figures", {})
    gate = card.get("gate", {})
    segments = card.get("segments", {})
    return told | {
        "segments": {
            kind: {name: _segment(each) for name, each in found.items()}
            for kind, found in segments.items()
            if len(found) > 1
        },
        "figures": {name: {key: of.get(key) for key in _FIGURES} for name, of in figures.items()},
        "gate": {"passes": gate.get("passes"), "sentence": gate.get("sentence")},
    }


def _segment(told: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: told[name] for name in ("snapshots", "expanded")}
    return counts | {name: told["figures"][name] for name in _PER_KIND}


def _basis(model: Registered | None, scored: Scored) -> str:
    """Say by what the accounts are ranked, as a clause."""
    if model is not None and scored.rank_by in ranking.BY_REVENUE:
        unknown = scored.accounts["expected_arr"].null_count()
        last = f"; {unknown:,} without revenue on file come last" if unknown else ""
        return f"{ranking.BY_REVENUE[scored.rank_by]}, {_likeliest(model)}{last}"
    return _likeliest(model)


def _likeliest(model: Registered | None) -> str:
    """Say by what the chances are."""
    if model is None:
        return "by the tier rules and utilisation, without a probability"
    if isinstance(model.model, Simple):
        return (
            f"by {model.model.ranking}, the best simple ranking of the past, with a probability"
            f" calibrated on it (kept with model version {model.version})"
        )
    told = f"by model version {model.version}"
    if model.promotion and model.promotion["forced"]:
        given = model.promotion
        told += f", promoted against the gate by {given['by']} on {given['at']}: {given['reason']}"
    return told


def _verdict(model: Registered | None) -> str:
    if model is None:
        return "No model was ever trained: run `expansion train` once outcomes are known."
    if isinstance(model.model, Simple):
        ruling = model.card.get("gate", {}).get("sentence", "It was not judged.")
        return f"No model has been promoted. Of version {model.version}: {ruling}"
    return str(model.card.get("verdict", "Not judged."))


def age_days(log: Activity, as_of: datetime) -> int:
    """Whole days before the as-of that the log does not cover."""
    return max((as_of.date() - log.last_day).days - 1, 0) if log.last_day else 0
