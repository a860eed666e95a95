"""Who is at work on a target: one sender at a time.

A lease is a row, renewed with every batch in the very transaction that says what is being sent, so
a sender whose lease was taken can send nothing more. Clocks only tell how long to wait for one
that may have died: a wrong one makes us wait, or take over early, and does no harm.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from serving import store
from serving.store.schema import LEASES
from serving.store.upsert import insert_or_skip

__all__ = ["Lease", "LeaseLostError", "acquire_lease"]

_LEASE_DURATION: Final = timedelta(minutes=3)
_UNKNOWN_HOLDER: Final = "one that came and went this moment"


class LeaseLostError(Exception):  # noqa: N818 - named as what has happened
    """Another sender has taken over."""


@dataclass(frozen=True)
class Lease:
    """The right to send to one target; ``clock`` gives the wall clock, UTC."""

    target: str
    owner: str
    clock: Callable[[], datetime]

    def renew(self, connection: sa.Connection) -> None:
        """Keep it for another while, within the caller's transaction.

        Raises
        ------
        LeaseLostError
            If another sender has it now.
        """
        if not self.try_renew(connection):
            raise LeaseLostError("another sender has taken over")

    def try_renew(self, connection: sa.Connection) -> bool:
        """Keep it for another while, and say whether it is still ours."""
        is_held = (LEASES.c.target == self.target) & (LEASES.c.owner == self.owner)
        until = self.clock() + _LEASE_DURATION
        return (
            connection.execute(sa.update(LEASES).where(is_held).values(until=until)).rowcount == 1
        )

    def release(self, engine: sa.Engine) -> None:
        """Let the next one in."""
        is_held = (LEASES.c.target == self.target) & (LEASES.c.owner == self.owner)
        with store.write_transaction(engine) as connection:
            connection.execute(sa.delete(LEASES).where(is_held))


def acquire_lease(engine: sa.Engine, target: str, clock: Callable[[], datetime]) -> Lease | str:
    """Take the lease, or say who has it.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses.
    """
    lease = Lease(target, f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}", clock)
    row = {"target": target, "owner": lease.owner, "until": clock() + _LEASE_DURATION}
    is_target = LEASES.c.target == target
    with store.write_transaction(engine) as connection:
        # Writing first takes the write lock before anything is compared.
        if insert_or_skip(connection, LEASES, row):
            return lease
        holder = connection.execute(sa.select(LEASES).where(is_target)).one_or_none()
        if holder is None or _is_holder_active(holder.owner, holder.until, clock()):
            return str(holder.owner) if holder else _UNKNOWN_HOLDER
        is_unchanged = is_target & (LEASES.c.owner == holder.owner)
        updated = connection.execute(sa.update(LEASES).where(is_unchanged).values(**row)).rowcount
    return lease if updated else _UNKNOWN_HOLDER


def _is_holder_active(owner: str, until: datetime, now: datetime) -> bool:
    """Whether a holder may be at work still; promised itself too long, its clock is wrong."""
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return now <= until <= now + 2 * _LEASE_DURATION and not _is_process_dead(owner)


def _is_process_dead(owner: str) -> bool:
    """Whether it was a process of this machine that is no more."""
    host, pid, _ = owner.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
