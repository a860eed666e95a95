"""The deal pipeline: which stage stands for which state of an opportunity, and the other way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serving.delivery.crm.base import AccessDeniedError
from serving.delivery.crm.fields import OPEN, STATES, WITHDRAWN

__all__ = [
    "DEFAULT_STAGES",
    "MANAGED_STAGES",
    "PipelineState",
    "StageMapping",
    "find_pipeline",
    "resolve_pipeline",
]

_READY, _WON, _NO_EXPANSION, _WITHDRAWN = "Ready to talk", "Won", "Passed by", "Withdrawn"
# Stages that we move deals to; the others are for humans.
MANAGED_STAGES: Final = (_READY, _WON, _NO_EXPANSION, _WITHDRAWN)
# The board that setup makes: name → HubSpot's chance of it; 1 is won and 0 is lost, both closed.
DEFAULT_STAGES: Final[Mapping[str, str]] = {
    _READY: "0.2",
    "In conversation": "0.4",
    "Offer made": "0.7",
    _WON: "1.0",
    "Lost": "0.0",
    _NO_EXPANSION: "0.0",
    _WITHDRAWN: "0.0",
}
_DEFAULT_STAGE_BY_STATE: Final = {OPEN: _READY, "expanded": _WON, WITHDRAWN: _WITHDRAWN}


@dataclass(frozen=True)
class StageMapping:
    """Which stage, by name, stands for which state."""

    pipeline: str
    stage_by_state: Mapping[str, str]

    @classmethod
    def from_config(cls, pipeline: str, overrides: Mapping[Any, str]) -> StageMapping:
        """Take the settings' names, ours for the rest: who was not talked to was passed by."""
        defaults = {state: _DEFAULT_STAGE_BY_STATE.get(state, _NO_EXPANSION) for state in STATES}
        return cls(pipeline, {**defaults, **overrides})

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The stages that must be there, in the order of the states."""
        return tuple(dict.fromkeys(self.stage_by_state.values()))


@dataclass(frozen=True)
class PipelineState:
    """The pipeline as it stands at HubSpot.

    Attributes
    ----------
    id : str
        HubSpot's name of the pipeline.
    stage_by_state : mapping of str to str
        State → HubSpot's name of its stage.
    stage_labels : mapping of str to str
        HubSpot's name of a stage of any pipeline → its label.
    closed_stages : frozenset of str
        HubSpot's names of the stages in which a deal has ended.
    """

    id: str
    stage_by_state: Mapping[str, str]
    stage_labels: Mapping[str, str]
    closed_stages: frozenset[str]

    def resolve_state(self, written_state: str | None, stage: str | None) -> str | None:
        """Give the state that was written, if the deal still stands where that put it.

        Else a human has moved it, and the name of its stage is told.
        """
        if written_state and stage == self.stage_by_state.get(written_state):
            return written_state
        return f"stage {self.stage_labels.get(stage, stage)!r}" if stage else written_state


def resolve_pipeline(pipelines: Sequence[Mapping[str, Any]], stages: StageMapping) -> PipelineState:
    """Find the pipeline and its stages among those that HubSpot tells of.

    Raises
    ------
    serving.delivery.crm.base.AccessDeniedError
        If the pipeline or a stage is missing.
    """
    selected = find_pipeline(pipelines, stages.pipeline)
    if selected is None:
        raise AccessDeniedError(
            f"HubSpot has no deal pipeline {stages.pipeline!r}. Run: expansion crm setup."
        )
    ids = {stage["label"]: str(stage["id"]) for stage in selected["stages"]}
    missing = [name for name in stages.stage_names if name not in ids]
    if missing:
        raise AccessDeniedError(
            f"the deal pipeline {stages.pipeline!r} has no stage {', '.join(map(repr, missing))}."
            f" Add it at HubSpot, or say under [crm.hubspot.stages] which of {', '.join(ids)}"
            " stands for it."
        )
    all_stages = [stage for pipeline in pipelines for stage in pipeline["stages"]]
    return PipelineState(
        str(selected["id"]),
        {state: ids[name] for state, name in stages.stage_by_state.items()},
        {str(stage["id"]): str(stage["label"]) for stage in all_stages},
        frozenset(str(stage["id"]) for stage in all_stages if _is_closed(stage)),
    )


def find_pipeline(pipelines: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """Find a pipeline by its label, or by HubSpot's own name of it."""
    by_name = {str(pipeline["id"]): pipeline for pipeline in pipelines}
    by_name |= {str(pipeline["label"]): pipeline for pipeline in reversed(pipelines)}
    return by_name.get(name)


def _is_closed(stage: Mapping[str, Any]) -> bool:
    metadata = stage.get("metadata") or {}
    if "isClosed" in metadata:
        return str(metadata["isClosed"]).lower() == "true"
    return str(metadata.get("probability")) in {"0.0", "1.0", "0", "1"}
