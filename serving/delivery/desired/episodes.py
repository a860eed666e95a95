"""Episodes: stretches of pressure on one limit of one account, opened, continued and closed.

An episode gives an opportunity its key, so its rules are pure functions without a database: one
open episode per account and limit, idempotent, never going back in time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, TypeAlias

from serving.delivery.crm.fields import OPEN, WITHDRAWN, make_episode_key
from serving.delivery.desired.entitlements import Entitlements, has_increased

if TYPE_CHECKING:
    from data.config.settings import EpisodesConfig

__all__ = ["AccountLimit", "Episode", "advance_episodes", "apply_alert"]

AccountLimit: TypeAlias = tuple[str, str]  # account id, limit


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
    pressure: Mapping[AccountLimit, bool],
    entitlements: Mapping[str, Entitlements],
    as_of: date,
    rules: EpisodesConfig,
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
    pressure : mapping of (str, str) to bool
        Account and limit that it is reaching at the as-of → whether outreach is allowed.
    entitlements : mapping of str to Entitlements
        Account → its contract at the as-of, as known then.
    as_of : datetime.date
        00:00 UTC; an as-of older than the last change of any episode changes nothing.
    rules : data.config.delivery.EpisodesConfig
        When an episode closes, see above.

    Returns
    -------
    list of Episode
        Ordered by account, limit and number.
    """
    ordered = sorted(episodes, key=_sort_key)
    if any(episode.last_day > as_of for episode in ordered):
        return ordered
    opened_today = {episode.key: episode for episode in ordered if episode.opened_on == as_of}
    by_limit: defaultdict[AccountLimit, list[Episode]] = defaultdict(list)
    for episode in ordered:
        if episode.key not in opened_today:
            closed_today = episode.closed_on == as_of
            reopened = replace(episode, closed_on=None, close_reason=None)
            by_limit[episode.account_id, episode.limit].append(
                reopened if closed_today else episode
            )
    advanced: list[Episode] = []
    for account_limit in sorted({*by_limit, *pressure}):
        advanced += _advance_limit(
            account_limit,
            by_limit[account_limit],
            entitlements.get(account_limit[0], Entitlements()),
            as_of,
            rules,
            outreach_allowed=pressure.get(account_limit),
        )
    withdrawn = opened_today.keys() - {episode.key for episode in advanced}
    advanced += [
        replace(opened_today[key], closed_on=as_of, close_reason=WITHDRAWN) for key in withdrawn
    ]
    return sorted(advanced, key=_sort_key)


def apply_alert(
    episodes: list[Episode],
    account_limit: AccountLimit,
    entitlements: Entitlements,
    day: date,
    *,
    outreach_allowed: bool,
) -> list[Episode]:
    """Apply an alert raised between two lists to the episodes of one account and limit.

    An alert reports pressure and may open an episode; only a list closes one.

    ``episodes`` are those on this limit, by number, and so is the result.
    """
    last = episodes[-1] if episodes else None
    if last is not None and (last.close_reason is None or last.last_day > day):
        return [*episodes[:-1], replace(last, last_seen_on=max(last.last_seen_on, day))]
    if not outreach_allowed or entitlements.ended:
        return episodes
    return [*episodes, _open_episode(account_limit, len(episodes) + 1, day, entitlements)]


def _open_episode(
    account_limit: AccountLimit, number: int, day: date, entitlements: Entitlements
) -> Episode:
    return Episode(*account_limit, number, day, day, None, None, entitlements)


def _sort_key(episode: Episode) -> tuple[str, str, int]:
    return episode.account_id, episode.limit, episode.episode


def _advance_limit(
    account_limit: AccountLimit,
    episodes: list[Episode],
    entitlements: Entitlements,
    as_of: date,
    rules: EpisodesConfig,
    *,
    outreach_allowed: bool | None,
) -> list[Episode]:
    """Advance the episodes of one account and limit.

    ``outreach_allowed`` is None if there is no pressure.
    """
    advanced = list(episodes)
    continues = False
    if advanced:
        last = advanced[-1]
        days_without_pressure = (as_of - last.last_seen_on).days
        continues = (
            last.close_reason == "expired" and days_without_pressure < rules.clear_after_days
        )
        if outreach_allowed is not None and (last.close_reason is None or continues):
            last = replace(last, last_seen_on=as_of)
        if last.close_reason is None:
            last = _close_if_due(last, entitlements, as_of, rules)
            continues = last.close_reason in {None, "expired"}
        advanced[-1] = last
    if outreach_allowed and not continues and not entitlements.ended:
        advanced.append(_open_episode(account_limit, len(advanced) + 1, as_of, entitlements))
    return advanced


def _close_if_due(
    episode: Episode, entitlements: Entitlements, as_of: date, rules: EpisodesConfig
) -> Episode:
    """Close an episode if a closing rule applies."""
    if entitlements.ended:
        close_reason = "lapsed"
    elif has_increased(episode.limit, episode.entitlements, entitlements):
        close_reason = "expanded"
    elif (as_of - episode.last_seen_on).days >= rules.clear_after_days:
        close_reason = "relieved"
    elif (as_of - episode.opened_on).days >= rules.expiry_days:
        close_reason = "expired"
    else:
        return episode
    return replace(episode, closed_on=as_of, close_reason=close_reason)
