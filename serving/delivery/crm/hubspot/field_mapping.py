"""Field mapping: CRM fields to HubSpot properties, opportunity states to pipeline stages.

Standard properties are used where HubSpot has them: a deal's name, amount, close date and stage; a
task's subject, body, due date and status. All others are custom properties, created by
:mod:`.provision`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from data.config.delivery import HubSpotConfig
from serving.delivery.crm.base import AccessDeniedError, Kind, Value
from serving.delivery.crm.fields import FIELDS, OPEN, STATES, WITHDRAWN, FieldMapping

__all__ = [
    "COMPLETED",
    "DEFAULT_STAGES",
    "FIELD_MAPPING",
    "KEY_PROPERTY",
    "MANAGED_STAGES",
    "OBJECT_TYPES",
    "PROPERTIES",
    "PROPERTY_GROUP",
    "PROPERTY_PREFIX",
    "STATE_PROPERTY",
    "HubSpotProperty",
    "PipelineState",
    "find_pipeline",
    "map_stages",
    "resolve_pipeline",
]

OBJECT_TYPES: Final[Mapping[Kind, str]] = {
    "account": "companies",
    "opportunity": "deals",
    "task": "tasks",
}
PROPERTY_PREFIX: Final = "expansion_"
PROPERTY_GROUP: Final = "expansion"
KEY_PROPERTY: Final = f"{PROPERTY_PREFIX}key"  # unique key of a deal or task
STATE_PROPERTY: Final = f"{PROPERTY_PREFIX}state"
COMPLETED: Final = "COMPLETED"  # completed by a human, or closed with its episode
_LIMIT_CHOICES: Final = ("seats", "usage", "plan", "none")
_MAX_TEXT_LENGTH: Final = 65_536  # characters in a text property
_LINE_BREAK_TAGS: Final = re.compile(r"<br\s*/?>|</(?:p|div|li|h\d)>", re.IGNORECASE)
_HTML_TAGS: Final = re.compile(r"<[^>]*>")
# Standard properties by kind and field name. Days are stored as noon UTC, so that they are the
# same day from Honolulu to Auckland.
_STANDARD_PROPERTIES: Final[Mapping[Kind, Mapping[str, tuple[str, str]]]] = {
    "account": {"name": ("name", "text")},
    "opportunity": {
        "name": ("dealname", "text"),
        "amount": ("amount", "number"),
        "expected_close_date": ("closedate", "noon"),
    },
    "task": {
        "subject": ("hs_task_subject", "text"),
        "due_date": ("hs_timestamp", "noon"),
        "notes": ("hs_task_body", "html"),
    },
}


@dataclass(frozen=True)
class HubSpotProperty:
    """A HubSpot property, by its internal name.

    ``type`` is that of :class:`serving.delivery.crm.fields.CrmField`, or "choice" of an
    enumeration, "html" of rich text, or "noon" of a day stored as a moment.
    """

    name: str
    type: str
    description: str = ""
    decimals: int = 0
    choices: tuple[str, ...] = ()

    @property
    def is_custom(self) -> bool:
        """True for custom properties, which provisioning creates."""
        return self.name.startswith(PROPERTY_PREFIX)

    def normalize(self, value: Value) -> Value:
        """Return a value as HubSpot would return it."""
        if value is None:
            return None
        if self.type == "number":
            return round(float(value), self.decimals) + 0.0  # + 0.0 turns -0.0 into 0.0
        if self.type == "integer":
            return int(value)
        if self.type == "boolean":
            return bool(value)
        text = str(value).replace("\x00", "")
        lines = [" ".join(line.split()) for line in text.splitlines()]
        separator = "\n" if self.type in {"multiline", "html"} else " "
        return self._truncate_text(separator.join(line for line in lines if line)) or None

    def serialize(self, value: Value) -> str:
        """Return the text of a value; an empty text clears the property."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            return str(int(value)) if value.is_integer() else repr(value)
        text = str(value)
        if self.type == "noon":
            return f"{text}T12:00:00Z"
        if self.type == "html":
            return "<br>".join(html.escape(line) for line in text.split("\n"))
        return text

    def deserialize(self, value: Any) -> Value:  # noqa: ANN401 - text or None
        """Return our value of a property's text."""
        if not value:
            return None
        text = str(value)
        match self.type:
            case "number":
                return round(float(text), self.decimals) + 0.0
            case "integer":
                return round(float(text))
            case "boolean":
                return text.lower() == "true"
            case "date" | "noon":
                return _parse_day(text)
            case "html":
                markup = _LINE_BREAK_TAGS.sub("\n", text)
                text = html.unescape(_HTML_TAGS.sub("", markup))
        return self.normalize(text)

    def _truncate_text(self, text: str) -> str:
        """Truncate a text so that its serialized form fits."""
        while (excess := len(self.serialize(text)) - _MAX_TEXT_LENGTH) > 0:
            text = text[: len(text) - max(1, excess // 8)].rstrip()
        return text


def _build_property(kind: Kind, name: str) -> HubSpotProperty:
    field = FIELDS[kind][name]
    if name in _STANDARD_PROPERTIES[kind]:
        property_name, property_type = _STANDARD_PROPERTIES[kind][name]
        return HubSpotProperty(property_name, property_type, field.description, field.decimals)
    if name in {"limit", "state"}:
        choices = _LIMIT_CHOICES if name == "limit" else STATES
        return HubSpotProperty(PROPERTY_PREFIX + name, "choice", field.description, choices=choices)
    return HubSpotProperty(
        PROPERTY_PREFIX + name.removeprefix(PROPERTY_PREFIX),
        field.type,
        field.description,
        field.decimals,
    )


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
# The state of a deal or task also sets its stage or status.
FIELD_MAPPING: Final = FieldMapping(
    {kind: {name: _build_property(kind, name) for name in FIELDS[kind]} for kind in OBJECT_TYPES}
)
PROPERTIES: Final[Mapping[Kind, Mapping[str, HubSpotProperty]]] = FIELD_MAPPING.fields


def _parse_day(text: str) -> str:
    """Return the UTC day of a timestamp, which HubSpot sends as ISO text or epoch milliseconds."""
    if text.lstrip("-").isdigit():
        return f"{datetime.fromtimestamp(int(text) / 1000, UTC):%Y-%m-%d}"
    return text[:10]


@dataclass(frozen=True)
class PipelineState:
    """The pipeline as it exists in HubSpot."""

    id: str
    stage_by_state: Mapping[str, str]  # opportunity state → stage id
    stage_labels: Mapping[str, str]  # stage id, of any pipeline → label
    closed_stages: frozenset[str]  # ids of stages that close a deal

    def resolve_state(self, properties: Mapping[str, Any]) -> str | None:
        """Return the written state if the deal is still in its stage.

        Otherwise a human has moved the deal, and its stage label is returned instead.
        """
        written_state, stage = properties.get(STATE_PROPERTY), properties.get("dealstage")
        if stage and not (written_state and stage == self.stage_by_state.get(written_state)):
            return f"stage {self.stage_labels.get(stage, stage)!r}"
        return written_state


def map_stages(config: HubSpotConfig) -> dict[str, str]:
    """Return the stage label of each opportunity state."""
    defaults = {state: _DEFAULT_STAGE_BY_STATE.get(state, _NO_EXPANSION) for state in STATES}
    overrides: Mapping[Any, str] = config.stages
    return {**defaults, **overrides}


def resolve_pipeline(
    pipelines: Sequence[Mapping[str, Any]], config: HubSpotConfig
) -> PipelineState:
    """Find the pipeline and its stages in HubSpot's list of pipelines.

    Raises
    ------
    serving.delivery.crm.base.AccessDeniedError
        If the pipeline or a stage is missing.
    """
    selected = find_pipeline(pipelines, config.pipeline)
    if selected is None:
        raise AccessDeniedError(
            f"HubSpot has no deal pipeline {config.pipeline!r}. Run: expansion crm setup."
        )
    ids = {stage["label"]: str(stage["id"]) for stage in selected["stages"]}
    stages = map_stages(config)
    missing = [name for name in dict.fromkeys(stages.values()) if name not in ids]
    if missing:
        raise AccessDeniedError(
            f"the deal pipeline {config.pipeline!r} has no stage {', '.join(map(repr, missing))}."
            f" Add it in HubSpot, or map the state to one of {', '.join(ids)} under"
            " [crm.hubspot.stages]."
        )
    all_stages = [stage for pipeline in pipelines for stage in pipeline["stages"]]
    return PipelineState(
        str(selected["id"]),
        {state: ids[name] for state, name in stages.items()},
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
