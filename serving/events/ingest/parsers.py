"""Parsers of webhook payloads: each source's format to one event type, or an error with the reason.

Input is parsed JSON; only the fields that the event log stores are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from data.config.settings import WebhooksConfig
from data.ingest.casting import pseudonymize_user
from data.schemas import EARLIEST_TIMESTAMP, MAX_QUANTITY

__all__ = ["InboundEvent", "InvalidMessageError", "list_messages", "parse_generic", "parse_segment"]

# Clocks run ahead by minutes; a day ahead is a wrong date, as in the log.
_MAX_CLOCK_SKEW: Final = timedelta(days=1)
_MAX_TEXT_LENGTH: Final = 400
_LATEST_EPOCH: Final = 1e18
_IGNORED_TYPES: Final = ("identify", "group", "alias", "page", "screen")
# Paths of each field by payload format; the first one present is used.
_PATHS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "segment": {
        "message_id": ("messageId",),
        "user": ("userId",),
        "event": ("event",),
        "feature": ("properties.feature",),
        "quantity": ("properties.quantity",),
        "timestamp": ("timestamp",),
    },
    "own": {
        "message_id": ("message_id", "event_id"),
        "account": ("account_id",),
        "user": ("user_id",),
        "event": ("event",),
        "feature": ("feature",),
        "quantity": ("quantity",),
        "timestamp": ("timestamp",),
    },
    "amplitude": {
        "message_id": ("insert_id", "uuid"),
        "account": ("groups.company", "groups.account", "group_properties.account_id"),
        "user": ("user_id",),
        "event": ("event_type",),
        "feature": ("event_properties.feature",),
        "quantity": ("event_properties.quantity",),
        "timestamp": ("time", "event_time"),
    },
    "mixpanel": {
        "message_id": ("properties.$insert_id",),
        "account": ("properties.company_id", "properties.account_id"),
        "user": ("properties.$user_id", "properties.distinct_id"),
        "event": ("event",),
        "feature": ("properties.feature",),
        "quantity": ("properties.quantity",),
        "timestamp": ("properties.time",),
    },
}
_UTC_FORMATS: Final = ("amplitude",)  # timestamps without a zone, documented as UTC


class InvalidMessageError(ValueError):
    """The message is not a valid event; the text states the reason."""


@dataclass(frozen=True, slots=True)
class InboundEvent:
    """One received event; ``workspace`` is the account or workspace it names."""

    message_id: str
    workspace: str | None
    user_id: str | None
    event: str | None
    feature: str | None
    quantity: float | None
    happened_at: datetime


def list_messages(body: Any) -> Sequence[Any]:  # noqa: ANN401 - any JSON
    """Return the messages of a request: one, a list, or a list under ``batch`` or ``events``.

    Raises ``InvalidMessageError`` if there is no message.
    """
    items = body
    if isinstance(body, dict):
        lists = [body[name] for name in ("batch", "events") if isinstance(body.get(name), list)]
        items = lists[0] if lists else [body]
    if not isinstance(items, list) or not items:
        raise InvalidMessageError("expected a message or a list of messages")
    return items


def parse_segment(message: Any, now: datetime, settings: WebhooksConfig) -> InboundEvent | None:  # noqa: ANN401
    """Parse a Segment message; return None for types that carry no event.

    Raises ``InvalidMessageError`` if it is not a valid Segment message.
    """
    payload = _require_object(message)
    message_type = payload.get("type")
    if message_type in _IGNORED_TYPES:
        return None
    if message_type != "track":
        raise InvalidMessageError(f"type: expected track, or one of {', '.join(_IGNORED_TYPES)}")
    if not _read_text(payload, "event"):
        raise InvalidMessageError("event is missing")
    paths = {**_PATHS["segment"], "account": settings.segment_account}
    return _read_event(payload, paths, now, zone_is_utc=False)


def parse_generic(message: Any, now: datetime, settings: WebhooksConfig) -> InboundEvent:  # noqa: ANN401
    """Parse a message of any other source, by the configured payload format and fields.

    Raises ``InvalidMessageError`` if a required field is missing or invalid.
    """
    payload = _require_object(message)
    paths: dict[str, tuple[str, ...]] = {
        **_PATHS[settings.payload_format],
        **{str(name): (path,) for name, path in settings.fields.items()},
    }
    zone_is_utc = settings.payload_format in _UTC_FORMATS
    return _read_event(payload, paths, now, zone_is_utc=zone_is_utc)


def _read_event(
    payload: Mapping[str, Any],
    paths: Mapping[str, Sequence[str]],
    now: datetime,
    *,
    zone_is_utc: bool,
) -> InboundEvent:
    message_id = _read_first(payload, paths["message_id"], _read_text) or _hash_payload(payload)
    account = _read_first(payload, paths["account"], _read_text)
    user = _read_first(payload, paths["user"], _read_text)
    timestamp = _read_first(payload, paths["timestamp"], _read_path)
    return InboundEvent(
        message_id,
        account,
        None if user is None else pseudonymize_user(user),
        _read_first(payload, paths["event"], _read_text),
        _read_first(payload, paths["feature"], _read_text),
        _read_first(payload, paths["quantity"], _read_quantity),
        _parse_timestamp(timestamp, now, zone_is_utc=zone_is_utc),
    )


def _require_object(message: Any) -> Mapping[str, Any]:  # noqa: ANN401
    if not isinstance(message, dict):
        raise InvalidMessageError("expected a JSON object")
    return message


def _hash_payload(payload: Mapping[str, Any]) -> str:
    """Derive an idempotency key from the content of a message without an id."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _read_first(
    payload: Mapping[str, Any], paths: Sequence[str], read: Callable[[Mapping[str, Any], str], Any]
) -> Any:  # noqa: ANN401
    values: Iterator[Any] = (read(payload, path) for path in paths)
    return next((value for value in values if value is not None), None)


def _read_path(payload: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401
    value: Any = payload
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _read_text(payload: Mapping[str, Any], path: str) -> str | None:
    value = _read_path(payload, path)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list) and len(value) == 1:  # Amplitude's groups
        (value,) = value
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidMessageError(f"{path}: expected text")
    text = str(value)
    if len(text) > _MAX_TEXT_LENGTH:
        raise InvalidMessageError(f"{path} is longer than {_MAX_TEXT_LENGTH} characters")
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InvalidMessageError(f"{path} contains characters that cannot be stored")
    return text


def _read_quantity(payload: Mapping[str, Any], path: str) -> float | None:
    value = _read_path(payload, path)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidMessageError(f"{path}: expected a number")
    if not 0 <= value <= MAX_QUANTITY:  # an int may exceed the range of float
        raise InvalidMessageError(f"{path}: expected a number from 0 to {MAX_QUANTITY:.0e}")
    return float(value)


def _parse_timestamp(value: Any, now: datetime, *, zone_is_utc: bool) -> datetime:  # noqa: ANN401
    if value is None:
        raise InvalidMessageError("timestamp is missing")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidMessageError("timestamp: expected ISO 8601 text or a number")
    moment = (
        _parse_iso(value, zone_is_utc=zone_is_utc)
        if isinstance(value, str)
        else _parse_epoch(value)
    )
    if not EARLIEST_TIMESTAMP <= moment <= now + _MAX_CLOCK_SKEW:
        raise InvalidMessageError(
            "timestamp is in the future" if moment > now else "timestamp is too old"
        )
    return moment


def _parse_iso(value: str, *, zone_is_utc: bool) -> datetime:
    try:
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is None and zone_is_utc:
            moment = moment.replace(tzinfo=UTC)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidMessageError("timestamp is not a valid time") from None
    raise InvalidMessageError("timestamp has no time zone")


def _parse_epoch(value: float) -> datetime:
    """Parse seconds, milliseconds or microseconds since 1970; their ranges do not overlap."""
    if not abs(value) < _LATEST_EPOCH:
        raise InvalidMessageError("timestamp is not a valid time")
    per_second = 1 if abs(value) < 1e11 else 1_000 if abs(value) < 1e14 else 1_000_000
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value / per_second)
    except OverflowError:
        raise InvalidMessageError("timestamp is not a valid time") from None
