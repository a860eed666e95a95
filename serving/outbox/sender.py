"""The sender: makes true at a CRM what the outbox says should be."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from serving.crm.target import Target
from serving.outbox.sent import Planned, Sent

__all__ = ["send"]


def send(
    engine: sa.Engine,
    target: Target,
    *,
    now: datetime,
    budget_seconds: float = 1800.0,
    max_writes: int | None = None,
    full: bool = False,
    dry_run: bool = False,
    run_id: int | None = None,
    tell: Callable[[Planned], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send what differs from what the target acknowledged last.

    Can be killed at any point, and called again: nothing is lost and nothing doubled. Where
    another sender is at work on the target, it takes these rows too, and we leave at once.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    target : serving.crm.target.Target
        Where to; it stays open.
    now : datetime.datetime
        The wall clock at the start, UTC: what the stamps say. Nothing depends on its being right.
    budget_seconds : float
        After so long the rest is left for the next time.
    max_writes : int, optional
        At most so many objects are written, the best places first.
    full : bool
        Look at every object, also those that were acknowledged as they are.
    dry_run : bool
        Read at the target, write nowhere.
    run_id : int, optional
        Only objects that this run put into the outbox.
    tell : callable, optional
        Is given what becomes of each object that differs, as it comes.
    clock, sleep : callable
        Seconds that only run forward, and how to wait.

    Returns
    -------
    Sent
        Counts, and why it stopped early where it did.

    Raises
    ------
    data.errors.DeliveryError
        If the target denies us, or the database refuses. What was acknowledged before is kept.
    """
    raise NotImplementedError
