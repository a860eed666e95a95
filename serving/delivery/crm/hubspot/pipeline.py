"""Deal pipeline: mapping between opportunity states and pipeline stages."""

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

_READY, _WON, _NO_EXPANSION, _WITHDRAWN = "Ready to talk", "Won", "No expansion", "Withdrawn"
# Stages that we set; the others are for humans.
MANAGED_STAGES: Final = (_READY, _WON, _NO_EXPANSION, _WITHDRAWN)
# Stages that provisioning creates: label → win probability; 1 is won and 0 is lost, both closed.
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
    """Pipeline name, and the stage label of each opportunity state."""

    pipeline: str
    stage_by_state: Mapping[str, str]

    @classmethod
    def from_config(cls, pipeline: str, overrides: Mapping[Any, str]) -> StageMapping:
        """Create the mapping from the settings, with default stages for the other states."""
        defaults = {state: _DEFAULT_STAGE_BY_STATE.get(state, _NO_EXPANSION) for state in STATES}
        return cls(pipeline, {**defaults, **overrides})

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Labels of the required stages, in the order of the states."""
        return tuple(dict.fromkeys(self.stage_by_state.values()))


@dataclass(frozen=True)
class PipelineState:
    """The pipeline as it exists in HubSpot.

    Attributes
    ----------
    id : str
        Pipeline id.
    stage_by_state : mapping of str to str
        Opportunity state → stage id.
    stage_labels : mapping of str to str
        Stage id, of any pipeline → label.
    closed_stages : frozenset of str
        Ids of stages that close a deal.
    """

    id: str
    stage_by_state: Mapping[str, str]
    stage_labels: Mapping[str, str]
    closed_stages: frozenset[str]

    def resolve_state(self, written_state: str | None, stage: str | None) -> str | None:
        """Return the written state if the deal is still in its stage.

        Otherwise a human has moved the deal, and its stage label is returned instead.
        """
        if written_state and stage == self.stage_by_state.get(written_state):
            return written_state
        return f"stage {self.stage_labels.get(stage, stage)!r}" if stage else written_state


def resolve_pipeline(pipelines: Sequence[Mapping[str, Any]], stages: StageMapping) -> PipelineState:
    """Find the pipeline and its stages in HubSpot's list of pipelines.

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
            f" Add it in HubSpot, or map the state to one of {', '.join(ids)} under"
            " [crm.hubspot.stages]."
        )
    all_stages = [stage for pipeline in pipelines for stage in pipeline["stages"]]
    return PipelineState(
        str(selected["id"]),
        {state: ids[name] for state, name in stages.stage_by_state.items()},
        {str(stage["id"]): str(stage["label"]) for stage in all_stages},
        frozenset(str(stage["id"]) for stage in all_stages if _is_closed(stage)),
    )


def find_pipeline(pipelines: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """Return the pipeline with this label or id, or None."""
    by_name = {str(pipeline["id"]): pipeline for pipeline in pipelines}
    by_name |= {str(pipeline["label"]): pipeline for pipeline in reversed(pipelines)}
    return by_name.get(name)


def _is_closed(stage: Mapping[str, Any]) -> bool:
    metadata = stage.get("metadata") or {}
    if "isClosed" in metadata:
        return str(metadata["isClosed"]).lower() == "true"
    return str(metadata.get("probability")) in {"0.0", "1.0", "0", "1"}
