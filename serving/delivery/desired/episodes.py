"""Stretches of pressure on one limit of one account: opened, seen again, closed.

An episode gives an opportunity its key, so what must hold is said here without any database: one
open episode per account and limit, the same answer to the same question, and no way back in time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby

from serving.delivery.crm.fields import OPEN, WITHDRAWN, make_episode_key
from serving.delivery.desired.entitlements import Entitlements, has_increased

__all__ = ["Episode", "LimitPressure", "advance_episodes", "apply_alert"]


@dataclass(frozen=True)
class LimitPressure:
    """What an account runs into now, where a tier fires; and whether an ask may be made."""

    limit: str
    outreach_allowed: bool


@dataclass(frozen=True)
class Episode:
    """One stretch of pressure.

    Attributes
    ----------
    episode : int
        From 1, per account and limit.
    opened_on, seen_on, closed_on : datetime.date
        As-ofs: of the first ask, of the last pressure, and of the end.
    ending : str or None
        One of :data:`serving.delivery.crm.fields.CLOSE_REASONS`, or withdrawn where the list that began it was
        replaced by one that does not; None while it is open.
    levels : Levels
        The contract when it began.
    """

    account_id: str
    limit: str
    episode: int
    opened_on: date
    seen_on: date
    closed_on: date | None
    ending: str | None
    levels: Entitlements

    @property
    def key(self) -> str:
        """Our name of it, at every target."""
        return make_episode_key(self.account_id, self.limit, self.episode)

    @property
    def state(self) -> str:
        """What its opportunity and its tasks are to say of it."""
        return self.ending or OPEN

    @property
    def last_day(self) -> date:
        """The newest as-of that had a say in it."""
        return max(day for day in (self.opened_on, self.seen_on, self.closed_on) if day)


def advance_episodes(
    episodes: Iterable[Episode],
    pressure: Mapping[str, LimitPressure],
    entitlements: Mapping[str, Entitlements],
    as_of: date,
    *,
    clear_after_days: int,
    expiry_days: int,
) -> list[Episode]:
    """Carry the episodes on to an as-of.

    One that is open closes as *lapsed* where the contract has ended, as *expanded* where its level
    has risen since, as *relieved* after ``clear_after_days`` without pressure, as *expired* after
    ``expiry_days`` in all. One opens where an ask is to be made on a limit that has none open;
    after an expired one only once the pressure had been gone for ``clear_after_days``.

    A second list of one as-of replaces the first: what that one had opened or closed is decided
    anew. When the pressure before was last seen it cannot take back.

    Parameters
    ----------
    episodes : iterable of Episode
        All there ever were.
    pressure : mapping of str to Pressure
        Account → what it runs into at the as-of; accounts on which no tier fires are not in it.
    entitlements : mapping of str to Levels
        Account → its contract at the as-of, as known then.
    as_of : datetime.date
        00:00 UTC; one older than what any episode has seen changes nothing.
    clear_after_days, expiry_days : int
        See above.

    Returns
    -------
    list of Episode
        By account, limit and number.
    """
    ordered = sorted(episodes, key=_sort_key)
    if any(episode.last_day > as_of for episode in ordered):
        return ordered
    context = _AdvanceContext(as_of, clear_after_days, expiry_days)
    opened_today = {episode.key: episode for episode in ordered if episode.opened_on == as_of}
    earlier = [
        _reopen_same_day(episode, as_of) for episode in ordered if episode.key not in opened_today
    ]
    by_limit = {
        account_limit: list(group) for account_limit, group in groupby(earlier, key=_account_limit)
    }
    outreach_by_limit = {
        (account, each.limit): each.outreach_allowed for account, each in pressure.items()
    }
    advanced: list[Episode] = []
    for place in sorted({*by_limit, *outreach_by_limit}):
        current = entitlements.get(place[0], Entitlements())
        advanced += _advance_limit(
            place, by_limit.get(place, []), outreach_by_limit.get(place), current, context
        )
    withdrawn = opened_today.keys() - {episode.key for episode in advanced}
    advanced += [replace(opened_today[key], closed_on=as_of, ending=WITHDRAWN) for key in withdrawn]
    return sorted(advanced, key=_sort_key)


def apply_alert(
    episodes: list[Episode],
    account_limit: tuple[str, str],
    entitlements: Entitlements,
    day: date,
    *,
    outreach_allowed: bool,
) -> list[Episode]:
    """Carry one account's episodes on one limit on by a signal between two lists.

    It says that there is pressure, and may begin an episode; only a list ends one.

    Parameters
    ----------
    episodes : list of Episode
        Those on this limit, by number.
    account_limit : tuple of str
        Account and limit.
    entitlements : Levels
        The contract.
    day : datetime.date
        Of the signal.
    outreach_allowed : bool
        Whether an ask is to be made.

    Returns
    -------
    list of Episode
        By number.
    """
    last = episodes[-1] if episodes else None
    if last is not None and (last.ending is None or last.last_day > day):
        return [*episodes[:-1], replace(last, seen_on=max(last.seen_on, day))]
    if not outreach_allowed or entitlements.ended:
        return episodes
    return [
        *episodes,
        Episode(*account_limit, len(episodes) + 1, day, day, None, None, entitlements),
    ]


@dataclass(frozen=True)
class _AdvanceContext:
    as_of: date
    clear_after_days: int
    expiry_days: int


def _sort_key(episode: Episode) -> tuple[str, str, int]:
    return episode.account_id, episode.limit, episode.episode


def _account_limit(episode: Episode) -> tuple[str, str]:
    return episode.account_id, episode.limit


def _reopen_same_day(episode: Episode, as_of: date) -> Episode:
    return replace(episode, closed_on=None, ending=None) if episode.closed_on == as_of else episode


def _advance_limit(
    account_limit: tuple[str, str],
    episodes: list[Episode],
    outreach_allowed: bool | None,
    entitlements: Entitlements,
    context: _AdvanceContext,
) -> list[Episode]:
    """Carry one account's episodes on one limit on; ``outreach_allowed`` is None without any pressure on it."""
    advanced = list(episodes)
    continues = False
    if advanced:
        last = advanced[-1]
        continues = (
            last.ending == "expired"
            and _days_since(last.seen_on, context) < context.clear_after_days
        )
        if outreach_allowed is not None and (last.ending is None or continues):
            last = replace(last, seen_on=context.as_of)
        if last.ending is None:
            last = _close_if_due(last, entitlements, context)
            continues = last.ending in {None, "expired"}
        advanced[-1] = last
    if outreach_allowed and not continues and not entitlements.ended:
        day = context.as_of
        advanced.append(
            Episode(*account_limit, len(advanced) + 1, day, day, None, None, entitlements)
        )
    return advanced


def _close_if_due(
    episode: Episode, entitlements: Entitlements, context: _AdvanceContext
) -> Episode:
    """Close an episode where there is a reason to."""
    if entitlements.ended:
        close_reason = "lapsed"
    elif has_increased(episode.limit, episode.levels, entitlements):
        close_reason = "expanded"
    elif _days_since(episode.seen_on, context) >= context.clear_after_days:
        close_reason = "relieved"
    elif _days_since(episode.opened_on, context) >= context.expiry_days:
        close_reason = "expired"
    else:
        return episode
    return replace(episode, closed_on=context.as_of, ending=close_reason)


def _days_since(since: date, context: _AdvanceContext) -> int:
    return (context.as_of - since).days
