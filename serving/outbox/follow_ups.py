"""What should be true of the opportunities and tasks of a CRM, given the episodes and the list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, TypeAlias, TypeGuard

from serving.crm.target import Fields, Kind, Value
from serving.outbox.episodes import Episode
from serving.outbox.objects import OPEN, WITHDRAWN, task_key
from serving.outbox.wanted import Wanted

__all__ = ["Earlier", "Line", "of_episodes"]

Line: TypeAlias = Fields
# (kind, key) → what the outbox held before
Earlier: TypeAlias = Mapping[tuple[str, str], Fields]
_MORE: Final = {"seats": "more seats", "usage": "a higher usage limit", "plan": "a larger plan"}
_FROM_LINE: Final = ("readiness_date", "limit", "motion", "buyer", "signals")


@dataclass(frozen=True)
class _Action:
    """What is to be done at a tier, and within how many days where no date is named."""

    tier: int
    with_buyer: str
    without: str
    days: int


_ACTIONS: Final = {
    "talk": _Action(1, "{name}: talk to the {buyer} about {more}", "{name}: talk about {more}", 14),
    "prepare": _Action(2, "{name}: prepare a QBR with the {buyer}", "{name}: prepare a QBR", 30),
}


def of_episodes(
    episodes: Iterable[Episode], lines: Mapping[str, Line], earlier: Earlier, as_of: date
) -> Iterator[Wanted]:
    """Say what should stand in the opportunity and the tasks of each episode.

    An opportunity is made at tier 1 where an ask is to be made, and kept up to date as long as the
    account runs into that limit; after that only its probability and, in the end, its state
    change. A task is worded once, so that its day does not move: talk to the buyer at tier 1,
    prepare a review at tier 2. What was withdrawn, since its run was undone, comes back only where
    it would be made anew.

    Parameters
    ----------
    episodes : iterable of Episode
        All of them, as of the list.
    lines : mapping of str to mapping
        Account → its line, as :func:`serving.outbox.wanted.of_accounts` tells it; only accounts
        that are listed.
    earlier : mapping
        (kind, key) → the fields that the outbox held before.
    as_of : datetime.date
        Of the list.
    """
    for episode in episodes:
        line = lines.get(episode.account_id)
        place = int(line["rank"] or 0) if line and not episode.ending else len(lines) + 1
        for kind, key, fields in _follow_ups(episode, line, earlier, as_of):
            yield Wanted(kind, key, episode.account_id, episode.limit, place, fields)


def _follow_ups(
    episode: Episode, line: Line | None, earlier: Earlier, as_of: date
) -> Iterator[tuple[Kind, str, Fields]]:
    pressing = line if line is not None and _presses(episode, line) else None
    before = earlier.get(("opportunity", episode.key))
    is_asked = pressing is not None and _asks(pressing, tier=1)
    if _is_withdrawn(before) and not is_asked:
        yield "opportunity", episode.key, before
    elif pressing is not None and (before is not None or is_asked):
        yield "opportunity", episode.key, _opportunity(episode, pressing, before)
    elif before is not None:
        yield "opportunity", episode.key, _left_alone(episode, line, before)
    for name, action in _ACTIONS.items():
        key = task_key(episode.key, name)
        told = earlier.get(("task", key))
        is_asked = pressing is not None and _asks(pressing, tier=action.tier)
        if told is not None and not _is_withdrawn(told):
            yield "task", key, {**told, "state": episode.state}
        elif pressing is not None and is_asked:
            yield "task", key, _task(episode, pressing, action, as_of)
        elif told is not None:
            yield "task", key, told


def _presses(episode: Episode, line: Line) -> bool:
    """Whether the account runs into the limit of an open episode now."""
    limited = line["limit"] == episode.limit and line["tier"] is not None
    return limited and episode.ending is None


def _is_withdrawn(fields: Fields | None) -> TypeGuard[Fields]:
    return fields is not None and fields["state"] == WITHDRAWN


def _asks(line: Line, *, tier: int) -> bool:
    return line["tier"] == tier and bool(line["ask"])


def _opportunity(episode: Episode, line: Line, before: Fields | None) -> dict[str, Value]:
    told = {
        "name": f"{_name(episode, line)}: {_more(episode)}",
        "state": OPEN,
        "probability": line["probability"],
        "amount": _amount(line),
        "expected_close_date": line["expected_date"],
        **{name: line[name] for name in _FROM_LINE},
        "episode": episode.key,
    }
    if before is not None and line["motion"] == "rest":
        # While a human is on it, what to do and with whom stays as it was told.
        told |= {name: before[name] for name in ("motion", "buyer")}
    return told


def _left_alone(episode: Episode, line: Line | None, before: Fields) -> dict[str, Value]:
    """No pressure just now, or the end; and no old number stands at an account without one."""
    if episode.ending is not None:
        return {**before, "state": episode.state}
    return {**before, "state": OPEN, "probability": line["probability"] if line else None}


def _task(episode: Episode, line: Line, action: _Action, as_of: date) -> dict[str, Value]:
    subject = action.with_buyer if line["buyer"] else action.without
    parts = {"name": _name(episode, line), "buyer": line["buyer"], "more": _more(episode)}
    return {
        "subject": subject.format(**parts),
        "state": OPEN,
        "due_date": line["readiness_date"] or str(as_of + timedelta(days=action.days)),
        "notes": line["signals"],
        "motion": line["motion"],
        "episode": episode.key,
    }


def _amount(line: Line) -> float | None:
    """The usual rise × yearly revenue: what is expected, were it certain."""
    chance, expected = line["probability"], line["expected_arr"]
    return round(float(expected) / float(chance), 0) if expected is not None and chance else None


def _name(episode: Episode, line: Line) -> str:
    return str(line["name"] or episode.account_id)


def _more(episode: Episode) -> str:
    return _MORE.get(episode.limit, episode.limit)
