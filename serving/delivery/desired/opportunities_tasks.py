"""What should be true of the opportunities and tasks of a CRM, given the episodes and the list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, TypeAlias, TypeGuard

from serving.delivery.crm.base import Fields, Kind, Value
from serving.delivery.crm.fields import OPEN, WITHDRAWN, make_task_key
from serving.delivery.desired.account_fields import DesiredObject
from serving.delivery.desired.episodes import Episode

__all__ = ["ExistingFields", "ListRow", "build_episode_objects"]

ListRow: TypeAlias = Fields
# (kind, key) → what the outbox held before
ExistingFields: TypeAlias = Mapping[tuple[str, str], Fields]
_INCREASES: Final = {
    "seats": "more seats",
    "usage": "a higher usage limit",
    "plan": "a larger plan",
}
_COPIED_FIELDS: Final = ("readiness_date", "limit", "motion", "buyer", "signals")


@dataclass(frozen=True)
class _TaskTemplate:
    """What is to be done at a tier, and within how many days where no date is named."""

    tier: int
    subject_with_buyer: str
    subject_without_buyer: str
    due_in_days: int


_TASK_TEMPLATES: Final = {
    "talk": _TaskTemplate(
        1, "{name}: talk to the {buyer} about {more}", "{name}: talk about {more}", 14
    ),
    "prepare": _TaskTemplate(
        2, "{name}: prepare a QBR with the {buyer}", "{name}: prepare a QBR", 30
    ),
}


def build_episode_objects(
    episodes: Iterable[Episode], rows: Mapping[str, ListRow], existing: ExistingFields, as_of: date
) -> Iterator[DesiredObject]:
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
    rows : mapping of str to mapping
        Account → its line, as :func:`serving.delivery.desired.account_fields.build_account_objects` tells it; only accounts
        that are listed.
    existing : mapping
        (kind, key) → the fields that the outbox held before.
    as_of : datetime.date
        Of the list.
    """
    for episode in episodes:
        line = rows.get(episode.account_id)
        place = int(line["rank"] or 0) if line and not episode.ending else len(rows) + 1
        for kind, key, fields in _build_objects(episode, line, existing, as_of):
            yield DesiredObject(kind, key, episode.account_id, episode.limit, place, fields)


def _build_objects(
    episode: Episode, row: ListRow | None, existing: ExistingFields, as_of: date
) -> Iterator[tuple[Kind, str, Fields]]:
    pressing_row = row if row is not None and _is_under_pressure(episode, row) else None
    before = existing.get(("opportunity", episode.key))
    is_allowed = pressing_row is not None and _allows_outreach(pressing_row, tier=1)
    if _is_withdrawn(before) and not is_allowed:
        yield "opportunity", episode.key, before
    elif pressing_row is not None and (before is not None or is_allowed):
        yield "opportunity", episode.key, _build_opportunity(episode, pressing_row, before)
    elif before is not None:
        yield "opportunity", episode.key, _update_without_pressure(episode, row, before)
    for name, action in _TASK_TEMPLATES.items():
        key = make_task_key(episode.key, name)
        task = existing.get(("task", key))
        is_allowed = pressing_row is not None and _allows_outreach(pressing_row, tier=action.tier)
        if task is not None and not _is_withdrawn(task):
            yield "task", key, {**task, "state": episode.state}
        elif pressing_row is not None and is_allowed:
            yield "task", key, _build_task(episode, pressing_row, action, as_of)
        elif task is not None:
            yield "task", key, task


def _is_under_pressure(episode: Episode, row: ListRow) -> bool:
    """Whether the account runs into the limit of an open episode now."""
    has_limit_and_tier = row["limit"] == episode.limit and row["tier"] is not None
    return has_limit_and_tier and episode.ending is None


def _is_withdrawn(fields: Fields | None) -> TypeGuard[Fields]:
    return fields is not None and fields["state"] == WITHDRAWN


def _allows_outreach(row: ListRow, *, tier: int) -> bool:
    return row["tier"] == tier and bool(row["ask"])


def _build_opportunity(episode: Episode, row: ListRow, before: Fields | None) -> dict[str, Value]:
    fields = {
        "name": f"{_get_account_name(episode, row)}: {_describe_increase(episode)}",
        "state": OPEN,
        "probability": row["probability"],
        "amount": _estimate_amount(row),
        "expected_close_date": row["expected_date"],
        **{name: row[name] for name in _COPIED_FIELDS},
        "episode": episode.key,
    }
    if before is not None and row["motion"] == "rest":
        # While a human is on it, what to do and with whom stays as it was told.
        fields |= {name: before[name] for name in ("motion", "buyer")}
    return fields


def _update_without_pressure(
    episode: Episode, row: ListRow | None, before: Fields
) -> dict[str, Value]:
    """No pressure just now, or the end; and no old number stands at an account without one."""
    if episode.ending is not None:
        return {**before, "state": episode.state}
    return {**before, "state": OPEN, "probability": row["probability"] if row else None}


def _build_task(
    episode: Episode, row: ListRow, template: _TaskTemplate, as_of: date
) -> dict[str, Value]:
    subject = template.subject_with_buyer if row["buyer"] else template.subject_without_buyer
    parts = {
        "name": _get_account_name(episode, row),
        "buyer": row["buyer"],
        "more": _describe_increase(episode),
    }
    return {
        "subject": subject.format(**parts),
        "state": OPEN,
        "due_date": row["readiness_date"] or str(as_of + timedelta(days=template.due_in_days)),
        "notes": row["signals"],
        "motion": row["motion"],
        "episode": episode.key,
    }


def _estimate_amount(row: ListRow) -> float | None:
    """The usual rise × yearly revenue: what is expected, were it certain."""
    probability, expected = row["probability"], row["expected_arr"]
    return (
        round(float(expected) / float(probability), 0)
        if expected is not None and probability
        else None
    )


def _get_account_name(episode: Episode, row: ListRow) -> str:
    return str(row["name"] or episode.account_id)


def _describe_increase(episode: Episode) -> str:
    return _INCREASES.get(episode.limit, episode.limit)
