"""Episodes: stretches of pressure on one limit of one account, opened, continued and closed.

An episode gives an opportunity its key, so its rules are pure functions without a database: one
open episode per account and limit, idempotent, never going back in time.
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
    """Limit that an account is reaching now, and whether outreach is allowed."""

    limit: str
    outreach_allowed: bool


@dataclass(frozen=True)
class Episode:
    """One stretch of pressure.

    Attributes
    ----------
    episode : int
        Number from 1, per account and limit.
    opened_on, last_seen_on, closed_on : datetime.date
        As-ofs of the first outreach, of the last pressure, and of the end.
    close_reason : str or None
        One of :data:`serving.delivery.crm.fields.CLOSE_REASONS`, or withdrawn if the list that
        opened it was replaced by one that does not; None while it is open.
    entitlements : Entitlements
        The contract when it opened.
    """

    account_id: str
    limit: str
    episode: int
    opened_on: date
    last_seen_on: date
    closed_on: date | None
    close_reason: str | None
    entitlements: Entitlements

    @property
    def key(self) -> str:
        """External key of its opportunity, the same at every target."""
        return make_episode_key(self.account_id, self.limit, self.episode)

    @property
    def state(self) -> str:
        """State of its opportunity and tasks."""
        return self.close_reason or OPEN

    @property
    def last_day(self) -> date:
        """Newest as-of that changed the episode."""
        return max(day for day in (self.opened_on, self.last_seen_on, self.closed_on) if day)


def advance_episodes(
    episodes: Iterable[Episode],
    pressure: Mapping[str, LimitPressure],
    entitlements: Mapping[str, Entitlements],
    as_of: date,
    *,
    clear_after_days: int,
    expiry_days: int,
) -> list[Episode]:
    """Advance the episodes to an as-of.

    An open episode closes as *lapsed* if the contract has ended, as *expanded* if its entitlement
    has increased since, as *relieved* after ``clear_after_days`` without pressure, as *expired*
    after ``expiry_days`` in all. A new one opens if outreach is allowed on a limit without an open
    episode; after an expired one only once pressure was absent for ``clear_after_days``.

    A second list of one as-of replaces the first: what the first opened or closed is decided
    again. The day on which pressure was last seen is not taken back.

    Parameters
    ----------
    episodes : iterable of Episode
        All episodes, open and closed.
    pressure : mapping of str to LimitPressure
        Account → the limit it is reaching at the as-of; accounts without pressure are absent.
    entitlements : mapping of str to Entitlements
        Account → its contract at the as-of, as known then.
    as_of : datetime.date
        00:00 UTC; an as-of older than the last change of any episode changes nothing.
    clear_after_days, expiry_days : int
        See above.

    Returns
    -------
    list of Episode
        Ordered by account, limit and number.
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
        (account, limit_pressure.limit): limit_pressure.outreach_allowed
        for account, limit_pressure in pressure.items()
    }
    advanced: list[Episode] = []
    for account_limit in sorted({*by_limit, *outreach_by_limit}):
        advanced += _advance_limit(
            account_limit,
            by_limit.get(account_limit, []),
            outreach_by_limit.get(account_limit),
            entitlements.get(account_limit[0], Entitlements()),
            context,
        )
    withdrawn = opened_today.keys() - {episode.key for episode in advanced}
    advanced += [
        replace(opened_today[key], closed_on=as_of, close_reason=WITHDRAWN) for key in withdrawn
    ]
    return sorted(advanced, key=_sort_key)


def apply_alert(
    episodes: list[Episode],
    account_limit: tuple[str, str],
    entitlements: Entitlements,
    day: date,
    *,
    outreach_allowed: bool,
) -> list[Episode]:
    """Apply an alert raised between two lists to the episodes of one account and limit.

    An alert reports pressure and may open an episode; only a list closes one.

    Parameters
    ----------
    episodes : list of Episode
        Episodes on this limit, by number.
    account_limit : tuple of str
        Account and limit.
    entitlements : Entitlements
        The contract.
    day : datetime.date
        Day of the alert.
    outreach_allowed : bool
        Whether an episode may be opened.

    Returns
    -------
    list of Episode
        Ordered by number.
    """
    last = episodes[-1] if episodes else None
    if last is not None and (last.close_reason is None or last.last_day > day):
        return [*episodes[:-1], replace(last, last_seen_on=max(last.last_seen_on, day))]
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
    if episode.closed_on != as_of:
        return episode
    return replace(episode, closed_on=None, close_reason=None)


def _advance_limit(
    account_limit: tuple[str, str],
    episodes: list[Episode],
    outreach_allowed: bool | None,
    entitlements: Entitlements,
    context: _AdvanceContext,
) -> list[Episode]:
    """Advance the episodes of one account and limit.

    ``outreach_allowed`` is None if there is no pressure.
    """
    advanced = list(episodes)
    continues = False
    if advanced:
        last = advanced[-1]
        continues = (
            last.close_reason == "expired"
            and _count_days_since(last.last_seen_on, context) < context.clear_after_days
        )
        if outreach_allowed is not None and (last.close_reason is None or continues):
            last = replace(last, last_seen_on=context.as_of)
        if last.close_reason is None:
            last = _close_if_due(last, entitlements, context)
            continues = last.close_reason in {None, "expired"}
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
    """Close an episode if a closing rule applies."""
    if entitlements.ended:
        close_reason = "lapsed"
    elif has_increased(episode.limit, episode.entitlements, entitlements):
        close_reason = "expanded"
    elif _count_days_since(episode.last_seen_on, context) >= context.clear_after_days:
        close_reason = "relieved"
    elif _count_days_since(episode.opened_on, context) >= context.expiry_days:
        close_reason = "expired"
    else:
        return episode
    return replace(episode, closed_on=context.as_of, close_reason=close_reason)


def _count_days_since(since: date, context: _AdvanceContext) -> int:
    return (context.as_of - since).days
