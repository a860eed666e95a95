"""Stretches of pressure on one limit of one account: opened, seen again, closed.

An episode gives an opportunity its key, so what must hold is said here without any database: one
open episode per account and limit, the same answer to the same question, and no way back in time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby

from serving.outbox.levels import Levels, rose
from serving.outbox.objects import OPEN, WITHDRAWN, episode_key

__all__ = ["Episode", "Pressure", "advanced", "pressed"]


@dataclass(frozen=True)
class Pressure:
    """What an account runs into now, where a tier fires; and whether an ask may be made."""

    limit: str
    ask: bool


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
        One of :data:`serving.outbox.objects.ENDINGS`, or withdrawn where the list that began it was
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
    levels: Levels

    @property
    def key(self) -> str:
        """Our name of it, at every target."""
        return episode_key(self.account_id, self.limit, self.episode)

    @property
    def state(self) -> str:
        """What its opportunity and its tasks are to say of it."""
        return self.ending or OPEN

    @property
    def last_day(self) -> date:
        """The newest as-of that had a say in it."""
        return max(day for day in (self.opened_on, self.seen_on, self.closed_on) if day)


def advanced(
    episodes: Iterable[Episode],
    pressure: Mapping[str, Pressure],
    levels: Mapping[str, Levels],
    as_of: date,
    *,
    relief_days: int,
    expiry_days: int,
) -> list[Episode]:
    """Carry the episodes on to an as-of.

    One that is open closes as *lapsed* where the contract has ended, as *expanded* where its level
    has risen since, as *relieved* after ``relief_days`` without pressure, as *expired* after
    ``expiry_days`` in all. One opens where an ask is to be made on a limit that has none open;
    after an expired one only once the pressure had been gone for ``relief_days``.

    A second list of one as-of replaces the first: what that one had opened or closed is decided
    anew. When the pressure before was last seen it cannot take back.

    Parameters
    ----------
    episodes : iterable of Episode
        All there ever were.
    pressure : mapping of str to Pressure
        Account → what it runs into at the as-of; accounts on which no tier fires are not in it.
    levels : mapping of str to Levels
        Account → its contract at the as-of, as known then.
    as_of : datetime.date
        00:00 UTC; one older than what any episode has seen changes nothing.
    relief_days, expiry_days : int
        See above.

    Returns
    -------
    list of Episode
        By account, limit and number.
    """
    known = sorted(episodes, key=_order)
    if any(episode.last_day > as_of for episode in known):
        return known
    clock = _Clock(as_of, relief_days, expiry_days)
    begun = {episode.key: episode for episode in known if episode.opened_on == as_of}
    before = [_not_yet_closed(episode, as_of) for episode in known if episode.key not in begun]
    stretches = {place: list(group) for place, group in groupby(before, key=_place)}
    pressed = {(account, each.limit): each.ask for account, each in pressure.items()}
    found: list[Episode] = []
    for place in sorted({*stretches, *pressed}):
        now = levels.get(place[0], Levels())
        found += _carried(place, stretches.get(place, []), pressed.get(place), now, clock)
    gone = begun.keys() - {episode.key for episode in found}
    found += [replace(begun[key], closed_on=as_of, ending=WITHDRAWN) for key in gone]
    return sorted(found, key=_order)


def pressed(
    stretch: list[Episode], place: tuple[str, str], now: Levels, day: date, *, ask: bool
) -> list[Episode]:
    """Carry one account's episodes on one limit on by a signal between two lists.

    It says that there is pressure, and may begin an episode; only a list ends one.

    Parameters
    ----------
    stretch : list of Episode
        Those on this limit, by number.
    place : tuple of str
        Account and limit.
    now : Levels
        The contract.
    day : datetime.date
        Of the signal.
    ask : bool
        Whether an ask is to be made.

    Returns
    -------
    list of Episode
        By number.
    """
    last = stretch[-1] if stretch else None
    if last is not None and (last.ending is None or last.last_day > day):
        return [*stretch[:-1], replace(last, seen_on=max(last.seen_on, day))]
    if not ask or now.ended:
        return stretch
    return [*stretch, Episode(*place, len(stretch) + 1, day, day, None, None, now)]


@dataclass(frozen=True)
class _Clock:
    as_of: date
    relief_days: int
    expiry_days: int


def _order(episode: Episode) -> tuple[str, str, int]:
    return episode.account_id, episode.limit, episode.episode


def _place(episode: Episode) -> tuple[str, str]:
    return episode.account_id, episode.limit


def _not_yet_closed(episode: Episode, as_of: date) -> Episode:
    return replace(episode, closed_on=None, ending=None) if episode.closed_on == as_of else episode


def _carried(
    place: tuple[str, str], stretch: list[Episode], ask: bool | None, now: Levels, clock: _Clock
) -> list[Episode]:
    """Carry one account's episodes on one limit on; ``ask`` is None without any pressure on it."""
    kept = list(stretch)
    goes_on = False
    if kept:
        last = kept[-1]
        goes_on = last.ending == "expired" and _days(last.seen_on, clock) < clock.relief_days
        if ask is not None and (last.ending is None or goes_on):
            last = replace(last, seen_on=clock.as_of)
        if last.ending is None:
            last = _ended(last, now, clock)
            goes_on = last.ending in {None, "expired"}
        kept[-1] = last
    if ask and not goes_on and not now.ended:
        day = clock.as_of
        kept.append(Episode(*place, len(kept) + 1, day, day, None, None, now))
    return kept


def _ended(episode: Episode, now: Levels, clock: _Clock) -> Episode:
    """Close an episode where there is a reason to."""
    if now.ended:
        ending = "lapsed"
    elif rose(episode.limit, episode.levels, now):
        ending = "expanded"
    elif _days(episode.seen_on, clock) >= clock.relief_days:
        ending = "relieved"
    elif _days(episode.opened_on, clock) >= clock.expiry_days:
        ending = "expired"
    else:
        return episode
    return replace(episode, closed_on=clock.as_of, ending=ending)


def _days(since: date, clock: _Clock) -> int:
    return (clock.as_of - since).days
