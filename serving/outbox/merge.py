"""Whose value is it? Decides field by field what may be written, and what stays a human's.

What stands at a target is ours if it is what the target acknowledged last, or what we have sent
since without an answer, or nothing where we never wrote. Anything else a human has set, and it
stays, even where it is what we would have written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from serving.crm.target import Fields, Value

__all__ = ["Attempted", "Decision", "after_attempt", "decide", "is_settled"]

# Field → the values that were sent since the last acknowledgement.
Attempted: TypeAlias = Mapping[str, Sequence[Value]]
_NEVER: Final = object()


@dataclass(frozen=True)
class Decision:
    """What is to be done about one object.

    Attributes
    ----------
    write : mapping of str to Value
        Fields to set.
    before : mapping of str to Value
        What stands in them now.
    theirs : tuple of str
        Fields that a human has set, by name.
    ours : mapping of str to Value
        What is to be remembered as acknowledged, once the write has been. Of a human's field it
        is the value that was ours last: set back to it, the field is ours again.
    """

    write: Fields
    before: Fields
    theirs: tuple[str, ...]
    ours: Fields


def decide(wanted: Fields, present: Fields, acknowledged: Fields, attempted: Attempted) -> Decision:
    """Decide about each wanted field, given what stands there and what we know of having sent.

    Parameters
    ----------
    wanted, present : mapping of str to Value
        As the target would give them back; a field that is not present is empty.
    acknowledged : mapping of str to Value
        What the target has acknowledged last.
    attempted : mapping of str to sequence of Value
        What was sent since without an answer: it may stand there or not, and is ours either way.

    Examples
    --------
    >>> decide({"tier": 1, "note": "b"}, {"tier": 2, "note": "mine"}, {"tier": 2, "note": "a"}, {})
    Decision(write={'tier': 1}, before={'tier': 2}, theirs=('note',), ours={'tier': 1, 'note': 'a'})
    """
    ours = dict(acknowledged)
    theirs, write = [], {}
    for name, value in wanted.items():
        now = present.get(name)
        if not _is_ours(now, acknowledged.get(name, _NEVER), attempted.get(name, ())):
            theirs.append(name)
            continue
        ours[name] = value
        if now != value:
            write[name] = value
    before = {name: present.get(name) for name in write}
    return Decision(write, before, tuple(sorted(theirs)), ours)


def after_attempt(attempted: Attempted, write: Fields) -> dict[str, list[Value]]:
    """Remember that these values are being sent; once each, however often they are tried."""
    kept = {name: list(values) for name, values in attempted.items()}
    for name, value in write.items():
        if value not in kept.setdefault(name, []):
            kept[name].append(value)
    return kept


def is_settled(decision: Decision, attempted: Attempted) -> bool:
    """Whether no other value of ours can be under way to the target still.

    A sender that was killed may have left a request behind which takes effect after ours. Where it
    carried the same values that is no matter; else the object is looked at once more.
    """
    return not decision.write or all(
        value == decision.ours.get(name) for name, values in attempted.items() for value in values
    )


def _is_ours(now: Value, acknowledged: object, attempted: Sequence[Value]) -> bool:
    if acknowledged is _NEVER:
        return now is None or now in attempted
    return now == acknowledged or now in attempted
