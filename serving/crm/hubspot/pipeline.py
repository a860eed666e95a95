"""The deal pipeline: which stage stands for which state of an opportunity, and the other way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serving.crm.target import Denied
from serving.outbox.objects import OPEN, STATES, WITHDRAWN

__all__ = ["STAGES", "STANDING", "Board", "Stages", "board", "made"]

_READY, _WON, _PASSED, _WITHDRAWN = "Ready to talk", "Won", "Passed by", "Withdrawn"
# Stages that we move deals to; the others are for humans.
STANDING: Final = (_READY, _WON, _PASSED, _WITHDRAWN)
# The board that setup makes: name → HubSpot's chance of it; 1 is won and 0 is lost, both closed.
STAGES: Final[Mapping[str, str]] = {
    _READY: "0.2",
    "In conversation": "0.4",
    "Offer made": "0.7",
    _WON: "1.0",
    "Lost": "0.0",
    _PASSED: "0.0",
    _WITHDRAWN: "0.0",
}
_OF_STATE: Final = {OPEN: _READY, "expanded": _WON, WITHDRAWN: _WITHDRAWN}


@dataclass(frozen=True)
class Stages:
    """Which stage, by name, stands for which state."""

    pipeline: str
    of_state: Mapping[str, str]

    @classmethod
    def of(cls, pipeline: str, told: Mapping[Any, str]) -> Stages:
        """Take the settings' names, ours for the rest: who was not talked to was passed by."""
        ours = {state: _OF_STATE.get(state, _PASSED) for state in STATES}
        return cls(pipeline, {**ours, **told})

    @property
    def names(self) -> tuple[str, ...]:
        """The stages that must be there, in the order of the states."""
        return tuple(dict.fromkeys(self.of_state.values()))


@dataclass(frozen=True)
class Board:
    """The pipeline as it stands at HubSpot.

    Attributes
    ----------
    id : str
        HubSpot's name of the pipeline.
    of_state : mapping of str to str
        State → HubSpot's name of its stage.
    labels : mapping of str to str
        HubSpot's name of a stage of any pipeline → its label.
    closed : frozenset of str
        HubSpot's names of the stages in which a deal has ended.
    """

    id: str
    of_state: Mapping[str, str]
    labels: Mapping[str, str]
    closed: frozenset[str]

    def state(self, told: str | None, stage: str | None) -> str | None:
        """Give the state that was written, if the deal still stands where that put it.

        Else a human has moved it, and the name of its stage is told.
        """
        if told and stage == self.of_state.get(told):
            return told
        return f"stage {self.labels.get(stage, stage)!r}" if stage else told


def board(told: Sequence[Mapping[str, Any]], stages: Stages) -> Board:
    """Find the pipeline and its stages among those that HubSpot tells of.

    Raises
    ------
    serving.crm.target.Denied
        If the pipeline or a stage is missing.
    """
    found = made(told, stages.pipeline)
    if found is None:
        raise Denied(f"HubSpot has no deal pipeline {stages.pipeline!r}. Run: expansion crm setup.")
    ids = {stage["label"]: str(stage["id"]) for stage in found["stages"]}
    missing = [name for name in stages.names if name not in ids]
    if missing:
        raise Denied(
            f"the deal pipeline {stages.pipeline!r} has no stage {', '.join(map(repr, missing))}."
            f" Add it at HubSpot, or say under [crm.hubspot.stages] which of {', '.join(ids)}"
            " stands for it."
        )
    everywhere = [stage for pipeline in told for stage in pipeline["stages"]]
    return Board(
        str(found["id"]),
        {state: ids[name] for state, name in stages.of_state.items()},
        {str(stage["id"]): str(stage["label"]) for stage in everywhere},
        frozenset(str(stage["id"]) for stage in everywhere if _is_closed(stage)),
    )


def made(told: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """Find a pipeline by its label, or by HubSpot's own name of it."""
    by_name = {str(pipeline["id"]): pipeline for pipeline in told}
    by_name |= {str(pipeline["label"]): pipeline for pipeline in reversed(told)}
    return by_name.get(name)


def _is_closed(stage: Mapping[str, Any]) -> bool:
    metadata = stage.get("metadata") or {}
    if "isClosed" in metadata:
        return str(metadata["isClosed"]).lower() == "true"
    return str(metadata.get("probability")) in {"0.0", "1.0", "0", "1"}
