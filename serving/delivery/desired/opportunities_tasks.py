"""Desired state of opportunities and tasks, derived from the episodes and the list."""

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
# (kind, key) → the desired fields stored before
ExistingFields: TypeAlias = Mapping[tuple[str, str], Fields]
_INCREASES: Final = {
    "seats": "more seats",
    "usage": "a higher usage limit",
    "plan": "a larger plan",
}
_COPIED_FIELDS: Final = ("readiness_date", "limit", "motion", "contact_role", "signals")


@dataclass(frozen=True)
class _TaskTemplate:
    """Task of a tier, and its due date in days if there is no readiness date."""

    tier: int
    subject_with_contact: str
    subject_without_contact: str
    due_in_days: int


_TASK_TEMPLATES: Final = {
    "talk": _TaskTemplate(
        1, "{name}: talk to the {contact} about {increase}", "{name}: talk about {increase}", 14
    ),
    "prepare": _TaskTemplate(
        2, "{name}: prepare a QBR with the {contact}", "{name}: prepare a QBR", 30
    ),
}


def build_episode_objects(
    episodes: Iterable[Episode], rows: Mapping[str, ListRow], existing: ExistingFields, as_of: date
) -> Iterator[DesiredObject]:
    """Yield the desired opportunity and tasks of each episode.

    An opportunity is created at tier 1 if outreach is allowed, and updated as long as the account
    is under pressure on that limit; after that only its probability and finally its state change.
    A task is written once, so its due date does not move: talk to the buyer at tier 1, prepare a
    review at tier 2. An object that a rollback withdrew is restored only where it would be created.

    ``rows`` are the fields of the listed accounts, as
    :func:`serving.delivery.desired.account_fields.build_account_objects` builds them.
    """
    for episode in episodes:
        row = rows.get(episode.account_id)
        priority = int(row["rank"] or 0) if row and not episode.close_reason else len(rows) + 1
        for kind, key, fields in _build_objects(episode, row, existing, as_of):
            yield DesiredObject(kind, key, episode.account_id, episode.limit, priority, fields)


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
    for action, template in _TASK_TEMPLATES.items():
        key = make_task_key(episode.key, action)
        task = existing.get(("task", key))
        is_allowed = pressing_row is not None and _allows_outreach(pressing_row, tier=template.tier)
        if task is not None and not _is_withdrawn(task):
            yield "task", key, {**task, "state": episode.state}
        elif pressing_row is not None and is_allowed:
            yield "task", key, _build_task(episode, pressing_row, template, as_of)
        elif task is not None:
            yield "task", key, task


def _is_under_pressure(episode: Episode, row: ListRow) -> bool:
    """Return True if the account is reaching the limit of an open episode now."""
    has_limit_and_tier = row["limit"] == episode.limit and row["tier"] is not None
    return has_limit_and_tier and episode.close_reason is None


def _is_withdrawn(fields: Fields | None) -> TypeGuard[Fields]:
    return fields is not None and fields["state"] == WITHDRAWN


def _allows_outreach(row: ListRow, *, tier: int) -> bool:
    return row["tier"] == tier and bool(row["outreach_allowed"])


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
    if before is not None and row["motion"] == "cooldown":
        # During the cool-down after a human contact, motion and contact role do not change.
        fields |= {name: before[name] for name in ("motion", "contact_role")}
    return fields


def _update_without_pressure(
    episode: Episode, row: ListRow | None, before: Fields
) -> dict[str, Value]:
    """Update state and probability only; an account without a score has no probability."""
    if episode.close_reason is not None:
        return {**before, "state": episode.state}
    return {**before, "state": OPEN, "probability": row["probability"] if row else None}


def _build_task(
    episode: Episode, row: ListRow, template: _TaskTemplate, as_of: date
) -> dict[str, Value]:
    subject = (
        template.subject_with_contact if row["contact_role"] else template.subject_without_contact
    )
    parts = {
        "name": _get_account_name(episode, row),
        "contact": row["contact_role"],
        "increase": _describe_increase(episode),
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
    """Return typical uplift × ARR: the expected ARR without the probability factor."""
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
