"""Laws of whose value it is, on a field that we, humans and crashes change in any order."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from serving.delivery.reconcile.three_way_merge import add_in_flight, is_converged, three_way_merge

NAMES = ("note", "tier")
values = st.sampled_from([None, "a", "b", "c", 1, 2])
fields = st.fixed_dictionaries(dict.fromkeys(NAMES, values))
some = st.dictionaries(st.sampled_from(NAMES), values)
tried = st.dictionaries(st.sampled_from(NAMES), st.lists(values, max_size=2))


@dataclass
class World:
    """An object at a target, what we remember of it, and who set each field last."""

    there: dict[str, Any] = field(default_factory=dict)
    acknowledged: dict[str, Any] = field(default_factory=dict)
    attempted: dict[str, Any] = field(default_factory=dict)
    by_human: set[str] = field(default_factory=set)
    overwritten: list[str] = field(default_factory=list)

    def send(self, wanted: dict[str, Any], *, lands: bool, answered: bool) -> None:
        """Send, and lose the request, or the answer to it, on the way."""
        decision = three_way_merge(wanted, self.there, self.acknowledged, self.attempted)
        self.overwritten += [name for name in decision.changes if name in self.by_human]
        before, self.attempted = self.attempted, add_in_flight(self.attempted, decision.changes)
        if lands:
            self.there |= decision.changes
        if lands and answered:
            self.acknowledged = dict(decision.last_applied)
            self.attempted = {} if is_converged(decision, before) else dict(before)

    def edit(self, name: str, value: Any) -> None:
        """A human sets a field to something that we have not sent."""
        self.there[name] = value
        self.by_human.add(name)


human = st.tuples(st.just("edit"), st.sampled_from(NAMES), st.sampled_from(["mine", "yours", 9]))
sent = st.tuples(
    st.just("send"), fields, st.sampled_from([(True, True), (True, False), (False, False)])
)


def lived(steps: list[tuple[str, Any, Any]]) -> World:
    world = World()
    for kind, what, how in steps:
        if kind == "edit":
            world.edit(what, how)
        else:
            world.send(what, lands=how[0], answered=how[1])
    return world


@given(st.lists(human | sent, max_size=12))
def test_what_a_human_set_is_never_written_over(steps: list[Any]) -> None:
    world = lived(steps)

    assert not world.overwritten
    assert all(world.there[name] in {"mine", "yours", 9} for name in world.by_human)


@given(st.lists(sent, max_size=12), fields)
def test_what_nobody_touched_ends_as_wanted_whatever_was_lost_on_the_way(
    steps: list[Any], wanted: dict[str, Any]
) -> None:
    world = lived(steps)

    world.send(wanted, lands=True, answered=True)

    assert {name: world.there.get(name) for name in NAMES} == wanted


@given(st.lists(human | sent, max_size=12), fields)
def test_once_it_is_acknowledged_nothing_is_left_to_write(
    steps: list[Any], wanted: dict[str, Any]
) -> None:
    world = lived(steps)
    world.send(wanted, lands=True, answered=True)

    again = three_way_merge(wanted, world.there, world.acknowledged, world.attempted)

    assert not again.changes
    assert set(again.human_fields) == world.by_human


@given(st.lists(human | sent, max_size=12), fields)
def test_a_crash_between_write_and_answer_never_looks_like_a_human(
    steps: list[Any], wanted: dict[str, Any]
) -> None:
    world = lived(steps)
    before = three_way_merge(wanted, world.there, world.acknowledged, world.attempted).human_fields

    world.send(wanted, lands=True, answered=False)

    assert (
        three_way_merge(wanted, world.there, world.acknowledged, world.attempted).human_fields
        == before
    )


@given(fields, fields, some, tried)
@example({"note": "a", "tier": 1}, {"note": "a", "tier": 1}, {}, {})
def test_a_value_is_written_or_a_humans_or_as_it_should_be(
    wanted: dict[str, Any], there: dict[str, Any], last: dict[str, Any], tries: dict[str, Any]
) -> None:
    decision = three_way_merge(wanted, there, last, tries)

    for name, value in wanted.items():
        told = (name in decision.changes) + (name in decision.human_fields)
        assert told == 1 or (told == 0 and there[name] == value)
        if name in decision.changes:
            assert there[name] in {last.get(name), *tries.get(name, ())}


def test_a_field_that_a_human_set_back_to_our_last_value_is_ours_again() -> None:
    last = {"tier": 2}
    theirs = three_way_merge({"tier": 1}, {"tier": 3}, last, {})
    back = three_way_merge({"tier": 1}, {"tier": 2}, theirs.last_applied, {})

    assert theirs.human_fields == ("tier",)
    assert back.changes == {"tier": 1}


def test_of_an_adopted_object_only_what_is_empty_is_filled() -> None:
    decision = three_way_merge(
        {"name": "seats", "amount": 90.0}, {"name": "Big deal", "amount": None}, {}, {}
    )

    assert decision.changes == {"amount": 90.0}
    assert decision.human_fields == ("name",)


def test_what_a_killed_sender_may_still_land_is_looked_at_once_more() -> None:
    landed = three_way_merge({"tier": 1}, {"tier": 2}, {"tier": 2}, {"tier": [3]})
    same = three_way_merge({"tier": 1}, {"tier": 2}, {"tier": 2}, {"tier": [1]})

    assert not is_converged(landed, {"tier": [3]})
    assert is_converged(same, {"tier": [1]})
