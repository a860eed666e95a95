"""What sources send, as rows of one shape; a message that makes no sense says why.

Everything here is given parsed JSON and keeps of it only what the log keeps of an event.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from data.contracts import EARLIEST, LARGEST_QUANTITY
from data.settings import Webhooks
from data.values import anonymous

__all__ = ["Malformed", "Message", "generic", "messages", "segment"]

# Clocks run ahead by minutes; a day is a wrong date, as in the log.
_SKEW: Final = timedelta(days=1)
_LONGEST: Final = 400
_LATEST_EPOCH: Final = 1e18
_NOT_EVENTS: Final = ("identify", "group", "alias", "page", "screen")
# Where each thing stands, by shape; of several paths the first that is there.
_PATHS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
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
_UTC_SHAPES: Final = ("amplitude",)  # whose times carry no zone and are documented to be UTC


class Malformed(ValueError):  # noqa: N818 - what it is
    """A message that cannot be an event, with the reason in words."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event as it arrived; ``workspace`` is the account that it names, or a part of one."""

    message_id: str
    workspace: str | None
    user_id: str | None
    event: str | None
    feature: str | None
    quantity: float | None
    happened_at: datetime


def messages(body: Any) -> Sequence[Any]:  # noqa: ANN401 - any JSON
    """Give the messages of a request: one, a list of them, or a list under a name for it.

    Raises
    ------
    Malformed
        If there is none.
    """
    found = body
    if isinstance(body, dict):
        named = [body[name] for name in ("batch", "events") if isinstance(body.get(name), list)]
        found = named[0] if named else [body]
    if not isinstance(found, list) or not found:
        raise Malformed("expected a message or a list of messages")
    return found


def segment(message: Any, now: datetime, settings: Webhooks) -> Message | None:  # noqa: ANN401
    """Read a message of Segment's; None where it is of a kind that tells of no event.

    Raises
    ------
    Malformed
        If it is no message of Segment's.
    """
    told = _object(message)
    kind = told.get("type")
    if kind in _NOT_EVENTS:
        return None
    if kind != "track":
        raise Malformed(f"type: expected track, or one of {', '.join(_NOT_EVENTS)}")
    event = _text(told, "event")
    if not event:
        raise Malformed("event is missing")
    return Message(
        _text(told, "messageId") or _digest(told),
        _first(told, settings.segment_account, _text),
        _person(_text(told, "userId")),
        event,
        _text(told, "properties.feature"),
        _quantity(told, "properties.quantity"),
        _moment(_at(told, "timestamp"), now, zone_is_utc=False),
    )


def generic(message: Any, now: datetime, settings: Webhooks) -> Message:  # noqa: ANN401
    """Read a message of any other source, by ``webhooks.shape`` and ``webhooks.fields``.

    Raises
    ------
    Malformed
        If something that it must have is missing, or makes no sense.
    """
    told = _object(message)
    paths: dict[str, tuple[str, ...]] = {
        **_PATHS[settings.shape],
        **{str(name): (path,) for name, path in settings.fields.items()},
    }
    return Message(
        _first(told, paths["message_id"], _text) or _digest(told),
        _first(told, paths["account"], _text),
        _person(_first(told, paths["user"], _text)),
        _first(told, paths["event"], _text),
        _first(told, paths["feature"], _text),
        _first(told, paths["quantity"], _quantity),
        _moment(
            _first(told, paths["timestamp"], _at), now, zone_is_utc=settings.shape in _UTC_SHAPES
        ),
    )


def _object(message: Any) -> Mapping[str, Any]:  # noqa: ANN401
    if not isinstance(message, dict):
        raise Malformed("expected a JSON object")
    return message


def _digest(told: Mapping[str, Any]) -> str:
    """Name a message that has no name by what it says, so that its copies are known as such."""
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _first(
    told: Mapping[str, Any], paths: Sequence[str], read: Callable[[Mapping[str, Any], str], Any]
) -> Any:  # noqa: ANN401
    found: Iterator[Any] = (read(told, path) for path in paths)
    return next((value for value in found if value is not None), None)


def _at(told: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401
    here: Any = told
    for name in path.split("."):
        if not isinstance(here, dict):
            return None
        here = here.get(name)
    return here


def _text(told: Mapping[str, Any], path: str) -> str | None:
    value = _at(told, path)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list) and len(value) == 1:  # Amplitude's groups
        (value,) = value
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Malformed(f"{path}: expected text")
    text = str(value)
    if len(text) > _LONGEST:
        raise Malformed(f"{path} is longer than {_LONGEST} characters")
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise Malformed(f"{path} holds signs that no database stores")
    return text


def _person(user: str | None) -> str | None:
    return None if user is None else anonymous(user)


def _quantity(told: Mapping[str, Any], path: str) -> float | None:
    value = _at(told, path)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"{path}: expected a number")
    if not 0 <= value <= LARGEST_QUANTITY:  # whole numbers may be larger than any float
        raise Malformed(f"{path}: expected a number from 0 to {LARGEST_QUANTITY:.0e}")
    return float(value)


def _moment(value: Any, now: datetime, *, zone_is_utc: bool) -> datetime:  # noqa: ANN401
    if value is None:
        raise Malformed("timestamp is missing")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Malformed("timestamp: expected ISO 8601 text or a number")
    moment = _written(value, zone_is_utc=zone_is_utc) if isinstance(value, str) else _epoch(value)
    if not EARLIEST <= moment <= now + _SKEW:
        raise Malformed("timestamp is in the future" if moment > now else "timestamp is too old")
    return moment


def _written(value: str, *, zone_is_utc: bool) -> datetime:
    try:
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is None and zone_is_utc:
            moment = moment.replace(tzinfo=UTC)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed("timestamp is not a time") from None
    raise Malformed("timestamp has no time zone")


def _epoch(value: float) -> datetime:
    """Seconds, milli- or microseconds since 1970: their sizes do not meet in our lifetime."""
    if not abs(value) < _LATEST_EPOCH:
        raise Malformed("timestamp is not a time")
    per_second = 1 if abs(value) < 1e11 else 1_000 if abs(value) < 1e14 else 1_000_000
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value / per_second)
    except OverflowError:
        raise Malformed("timestamp is not a time") from None
