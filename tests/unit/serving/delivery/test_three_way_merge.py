"""Laws of the three-way merge, for fields changed by us, by humans and by crashes in any order."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from serving.delivery.reconcile.three_way_merge import (
    MergeResult,
    add_in_flight,
    is_converged,
    three_way_merge,
)

NAMES = ("note", "tier")
values = st.sampled_from([None, "a", "b", "c", 1, 2])
fields = st.fixed_dictionaries(dict.fromkeys(NAMES, values))
partial_fields = st.dictionaries(st.sampled_from(NAMES), values)
in_flight_values = st.dictionaries(st.sampled_from(NAMES), st.lists(values, max_size=2))


@dataclass
class SimulatedObject:
    """An object at a target, its recorded state, and the fields that a human set."""

    live: dict[str, Any] = field(default_factory=dict)
    last_applied: dict[str, Any] = field(default_factory=dict)
    in_flight: dict[str, Any] = field(default_factory=dict)
    by_human: set[str] = field(default_factory=set)
    overwritten: list[str] = field(default_factory=list)

    def merge(self, desired: dict[str, Any]) -> MergeResult:
        return three_way_merge(desired, self.live, self.last_applied, self.in_flight)

    def send(self, desired: dict[str, Any], *, lands: bool, answered: bool) -> None:
        """Send, and lose the request, or its response, on the way."""
        merge = self.merge(desired)
        self.overwritten += [name for name in merge.changes if name in self.by_human]
        before, self.in_flight = self.in_flight, add_in_flight(self.in_flight, merge.changes)
        if lands:
            self.live |= merge.changes
        if lands and answered:
            self.last_applied = dict(merge.last_applied)
            self.in_flight = {} if is_converged(merge, before) else dict(before)

    def edit(self, name: str, value: Any) -> None:
        """Set a field as a human would, to a value that we have not sent."""
        self.live[name] = value
        self.by_human.add(name)


human_edits = st.tuples(
    st.just("edit"), st.sampled_from(NAMES), st.sampled_from(["mine", "yours", 9])
)
sends = st.tuples(
    st.just("send"), fields, st.sampled_from([(True, True), (True, False), (False, False)])
)


def simulate(steps: list[tuple[str, Any, Any]]) -> SimulatedObject:
    simulated = SimulatedObject()
    for kind, name_or_fields, value_or_fate in steps:
        if kind == "edit":
            simulated.edit(name_or_fields, value_or_fate)
        else:
            simulated.send(name_or_fields, lands=value_or_fate[0], answered=value_or_fate[1])
    return simulated


@given(st.lists(human_edits | sends, max_size=12))
def test_a_human_edit_is_never_overwritten(steps: list[Any]) -> None:
    simulated = simulate(steps)

    assert not simulated.overwritten
    assert all(simulated.live[name] in {"mine", "yours", 9} for name in simulated.by_human)


@given(st.lists(sends, max_size=12), fields)
def test_without_human_edits_the_object_converges_despite_lost_messages(
    steps: list[Any], desired: dict[str, Any]
) -> None:
    simulated = simulate(steps)

    simulated.send(desired, lands=True, answered=True)

    assert {name: simulated.live.get(name) for name in NAMES} == desired


@given(st.lists(human_edits | sends, max_size=12), fields)
def test_after_a_confirmed_write_nothing_is_left_to_write(
    steps: list[Any], desired: dict[str, Any]
) -> None:
    simulated = simulate(steps)
    simulated.send(desired, lands=True, answered=True)

    merge = simulated.merge(desired)

    assert not merge.changes
    assert set(merge.human_fields) == simulated.by_human


@given(st.lists(human_edits | sends, max_size=12), fields)
def test_a_crash_before_the_response_never_looks_like_a_human_edit(
    steps: list[Any], desired: dict[str, Any]
) -> None:
    simulated = simulate(steps)
    before = simulated.merge(desired).human_fields

    simulated.send(desired, lands=True, answered=False)

    assert simulated.merge(desired).human_fields == before


@given(fields, fields, partial_fields, in_flight_values)
@example({"note": "a", "tier": 1}, {"note": "a", "tier": 1}, {}, {})
def test_each_field_is_written_or_human_edited_or_in_sync(
    desired: dict[str, Any],
    live: dict[str, Any],
    last_applied: dict[str, Any],
    in_flight: dict[str, Any],
) -> None:
    merge = three_way_merge(desired, live, last_applied, in_flight)

    for name, value in desired.items():
        outcomes = (name in merge.changes) + (name in merge.human_fields)
        assert outcomes == 1 or (outcomes == 0 and live[name] == value)
        if name in merge.changes:
            assert live[name] in {last_applied.get(name), *in_flight.get(name, ())}


def test_a_field_set_back_to_our_last_value_is_managed_again() -> None:
    last_applied = {"tier": 2}
    edited = three_way_merge({"tier": 1}, {"tier": 3}, last_applied, {})
    restored = three_way_merge({"tier": 1}, {"tier": 2}, edited.last_applied, {})

    assert edited.human_fields == ("tier",)
    assert restored.changes == {"tier": 1}


def test_only_the_empty_fields_of_an_adopted_object_are_filled() -> None:
    merge = three_way_merge(
        {"name": "seats", "amount": 90.0}, {"name": "Big deal", "amount": None}, {}, {}
    )

    assert merge.changes == {"amount": 90.0}
    assert merge.human_fields == ("name",)


def test_an_object_with_a_different_value_in_flight_has_not_converged() -> None:
    landed = three_way_merge({"tier": 1}, {"tier": 2}, {"tier": 2}, {"tier": [3]})
    same = three_way_merge({"tier": 1}, {"tier": 2}, {"tier": 2}, {"tier": [1]})

    assert not is_converged(landed, {"tier": [3]})
    assert is_converged(same, {"tier": [1]})
