"""Whose value is it? Decides field by field what may be written, and what stays a human's.

What stands at a target is ours if it is what the target acknowledged last, or what we have sent
since without an answer, or nothing where we never wrote. Anything else a human has set, and it
stays, even where it is what we would have written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from serving.delivery.crm.base import Fields, Value

__all__ = ["InFlight", "MergeResult", "add_in_flight", "is_converged", "three_way_merge"]

# Field → the values that were sent since the last acknowledgement.
InFlight: TypeAlias = Mapping[str, Sequence[Value]]
_NEVER_APPLIED: Final = object()


@dataclass(frozen=True)
class MergeResult:
    """What is to be done about one object.

    Attributes
    ----------
    changes : mapping of str to Value
        Fields to set.
    before : mapping of str to Value
        What stands in them now.
    human_fields : tuple of str
        Fields that a human has set, by name.
    last_applied : mapping of str to Value
        What is to be remembered as acknowledged, once the write has been. Of a human's field it
        is the value that was ours last: set back to it, the field is ours again.
    """

    changes: Fields
    before: Fields
    human_fields: tuple[str, ...]
    last_applied: Fields


def three_way_merge(
    desired: Fields, live: Fields, last_applied: Fields, in_flight: InFlight
) -> MergeResult:
    """Decide about each wanted field, given what stands there and what we know of having sent.

    Parameters
    ----------
    desired, live : mapping of str to Value
        As the target would give them back; a field that is not present is empty.
    last_applied : mapping of str to Value
        What the target has acknowledged last.
    in_flight : mapping of str to sequence of Value
        What was sent since without an answer: it may stand there or not, and is ours either way.

    Examples
    --------
    >>> three_way_merge({"tier": 1, "note": "b"}, {"tier": 2, "note": "mine"}, {"tier": 2, "note": "a"}, {})
    MergeResult(changes={'tier': 1}, before={'tier': 2}, human_fields=('note',), new_last_applied={'tier': 1, 'note': 'a'})
    """
    new_last_applied = dict(last_applied)
    human_fields, changes = [], {}
    for name, value in desired.items():
        live_value = live.get(name)
        if not _is_managed(
            live_value, last_applied.get(name, _NEVER_APPLIED), in_flight.get(name, ())
        ):
            human_fields.append(name)
            continue
        new_last_applied[name] = value
        if live_value != value:
            changes[name] = value
    before = {name: live.get(name) for name in changes}
    return MergeResult(changes, before, tuple(sorted(human_fields)), new_last_applied)


def add_in_flight(in_flight: InFlight, changes: Fields) -> dict[str, list[Value]]:
    """Remember that these values are being sent; once each, however often they are tried."""
    updated = {name: list(values) for name, values in in_flight.items()}
    for name, value in changes.items():
        if value not in updated.setdefault(name, []):
            updated[name].append(value)
    return updated


def is_converged(merge: MergeResult, in_flight: InFlight) -> bool:
    """Whether no other value of ours can be under way to the target still.

    A sender that was killed may have left a request behind which takes effect after ours. Where it
    carried the same values that is no matter; else the object is looked at once more.
    """
    return not merge.changes or all(
        value == merge.last_applied.get(name)
        for name, values in in_flight.items()
        for value in values
    )


def _is_managed(live_value: Value, last_applied: object, in_flight: Sequence[Value]) -> bool:
    if last_applied is _NEVER_APPLIED:
        return live_value is None or live_value in in_flight
    return live_value == last_applied or live_value in in_flight
