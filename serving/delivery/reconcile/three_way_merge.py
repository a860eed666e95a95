"""Three-way merge of desired, live and last-applied values; human edits win.

A live value is ours if it equals the value applied last, or a value in flight (sent without a
response), or if it is empty and we never wrote the field. Any other value is a human edit and is
kept, even if it equals the desired value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from serving.delivery.crm.base import Fields, Value

__all__ = ["InFlight", "MergeResult", "add_in_flight", "is_converged", "three_way_merge"]

# Field → the values that were sent since the last confirmed write.
InFlight: TypeAlias = Mapping[str, Sequence[Value]]
_NEVER_APPLIED: Final = object()


@dataclass(frozen=True)
class MergeResult:
    """Result of merging one object.

    Attributes
    ----------
    changes : mapping of str to Value
        Fields to set.
    before : mapping of str to Value
        Their live values.
    human_fields : tuple of str
        Names of the fields that a human has set.
    last_applied : mapping of str to Value
        Values to record as applied once the write succeeds. For a human's field it is the value
        that we applied last: if the human sets it back, the field is ours again.
    """

    changes: Fields
    before: Fields
    human_fields: tuple[str, ...]
    last_applied: Fields


def three_way_merge(
    desired: Fields, live: Fields, last_applied: Fields, in_flight: InFlight
) -> MergeResult:
    """Merge the desired fields with the live ones, given what we applied and sent before.

    Parameters
    ----------
    desired, live : mapping of str to Value
        Values as the target would return them; an absent live field is empty.
    last_applied : mapping of str to Value
        Values that the target confirmed last.
    in_flight : mapping of str to sequence of Value
        Values sent since without a response; they may or may not have been applied.

    Examples
    --------
    >>> merge = three_way_merge(
    ...     desired={"tier": 1, "note": "b"},
    ...     live={"tier": 2, "note": "mine"},
    ...     last_applied={"tier": 2, "note": "a"},
    ...     in_flight={},
    ... )
    >>> merge.changes, merge.before, merge.human_fields
    ({'tier': 1}, {'tier': 2}, ('note',))
    >>> merge.last_applied
    {'tier': 1, 'note': 'a'}
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
    """Add the values that are about to be sent, each once."""
    updated = {name: list(values) for name, values in in_flight.items()}
    for name, value in changes.items():
        if value not in updated.setdefault(name, []):
            updated[name].append(value)
    return updated


def is_converged(merge: MergeResult, in_flight: InFlight) -> bool:
    """Return True if no other value of ours can still reach the target.

    A killed sender may have left a request that takes effect after ours. If it had the same
    values, nothing changes; otherwise the object is checked again.
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
